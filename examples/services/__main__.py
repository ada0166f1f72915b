"""`python -m examples.services --port 8600 --smtp-port 8625 --imap-port 8643`: the stand-ins, until told to stop."""

import argparse
from pathlib import Path

import uvicorn

from examples.services.app import create_app
from examples.services.mail import mail_server

INBOX = Path(__file__).parent.parent / "invoice" / "inbox"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("port", 8600), ("smtp-port", 8625), ("imap-port", 8643)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    ports = parser.parse_args()
    with mail_server(smtp_port=ports.smtp_port, imap_port=ports.imap_port) as server:
        for mail in sorted(INBOX.glob("*.eml")):
            server.box.receive(mail.read_bytes())
        uvicorn.run(create_app(slow_seconds=2.0), host="127.0.0.1", port=ports.port, log_level="warning")


if __name__ == "__main__":
    main()
