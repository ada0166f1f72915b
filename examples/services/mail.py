"""A mail server for one mailbox, in memory: SMTP takes mails into it, IMAP gives them out. For examples and tests."""

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

USERNAME, PASSWORD = "acme", "correct horse"


@dataclass
class Mail:
    uid: int
    content: bytes
    recipients: list[str] = field(default_factory=list)
    is_seen: bool = False


@dataclass
class Mailbox:
    """Mails by the order in which they came; what was sent to anybody is kept, too."""

    inbox: list[Mail] = field(default_factory=list)
    sent: list[Mail] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    refuses: dict[str, str] = field(default_factory=dict)
    """Command or recipient -> what is answered to it."""
    tls: ssl.SSLContext | None = None

    def receive(self, content: bytes) -> None:
        with self.lock:
            self.inbox.append(Mail(len(self.inbox) + 1, content))


class _Talk(socketserver.StreamRequestHandler):
    """Lines, and a change to TLS in between."""

    box: Mailbox

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        self.wfile.flush()

    def line(self) -> str | None:
        read = self.rfile.readline(65_536)
        return read.decode("utf-8", "replace").rstrip("\r\n") if read else None

    def secure(self) -> None:
        assert self.box.tls is not None
        self.request = self.connection = self.box.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")

    def handle(self) -> None:
        try:
            self.talk()
        except (OSError, ValueError):  # the other side has gone
            return

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # over TLS it is another one than the server knows of

    def talk(self) -> None:
        raise NotImplementedError


class Smtp(_Talk):
    def talk(self) -> None:
        self.recipients: list[str] = []
        self.say("220 mail.example ESMTP")
        while (line := self.line()) is not None:
            verb = line[:4].upper()
            if verb in self.box.refuses:
                self.say(self.box.refuses[verb])
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                getattr(self, f"on_{verb.lower()}", self.on_else)(line)

    def on_ehlo(self, _: str) -> None:
        offers = ["AUTH PLAIN LOGIN", *(["STARTTLS"] if self.box.tls else [])]
        self.say("250-mail.example", *(f"250-{offer}" for offer in offers), "250 8BITMIME")

    def on_star(self, _: str) -> None:
        self.say("220 go on")
        self.secure()

    def on_auth(self, line: str) -> None:
        given = line.removeprefix("AUTH PLAIN ")
        _, username, password = base64.b64decode(given).decode().split("\0")
        is_right = (username, password) == (USERNAME, PASSWORD)
        self.say("235 welcome" if is_right else "535 5.7.8 wrong user or password")

    def on_mail(self, _: str) -> None:
        self.recipients = []
        self.say("250 ok")

    def on_rcpt(self, line: str) -> None:
        recipient = line.partition("<")[2].partition(">")[0]
        if recipient in self.box.refuses:
            self.say(self.box.refuses[recipient])
        else:
            self.recipients.append(recipient)
            self.say("250 ok")

    def on_data(self, _: str) -> None:
        self.say("354 go ahead")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        with self.box.lock:
            self.box.sent.append(Mail(len(self.box.sent) + 1, b"".join(lines), self.recipients))
        self.say("250 taken")

    def on_else(self, _: str) -> None:
        self.say("250 ok")


class Imap(_Talk):
    def talk(self) -> None:
        self.is_in = False
        self.say("* OK mail.example IMAP4rev1")
        while (line := self.line()) is not None:
            tag, _, command = line.partition(" ")
            verb, _, rest = command.partition(" ")
            if verb.upper() == "LOGOUT":
                self.say("* BYE", f"{tag} OK bye")
                return
            self.answer(tag, verb.upper(), rest)

    def answer(self, tag: str, verb: str, rest: str) -> None:
        if verb in self.box.refuses:
            self.say(f"{tag} {self.box.refuses[verb]}")
        elif verb == "CAPABILITY":
            self.say(f"* CAPABILITY IMAP4rev1{' STARTTLS' if self.box.tls else ''}", f"{tag} OK done")
        elif verb == "STARTTLS":
            self.say(f"{tag} OK go on")
            self.secure()
        elif verb == "LOGIN":
            self.is_in = rest == f'"{USERNAME}" "{PASSWORD}"'
            self.say(f"{tag} OK welcome" if self.is_in else f"{tag} NO wrong user or password")
        elif not self.is_in:
            self.say(f"{tag} NO log in first")
        elif verb in ("SELECT", "EXAMINE"):
            known = rest == '"INBOX"'
            self.say(*([f"* {len(self.box.inbox)} EXISTS"] if known else []), f"{tag} {'OK' if known else 'NO'} {rest}")
        elif verb == "UID":
            self.by_uid(tag, *rest.split(" ", 2))
        else:
            self.say(f"{tag} OK done")

    def by_uid(self, tag: str, verb: str, which: str, more: str = "") -> None:
        with self.box.lock:
            if verb == "SEARCH":
                found = [mail.uid for mail in self.box.inbox if not (mail.is_seen and "UNSEEN" in f"{which} {more}")]
                self.say(f"* SEARCH {' '.join(map(str, found))}")
            for mail in self.box.inbox:
                if verb != "SEARCH" and str(mail.uid) in which.split(","):
                    self.on_mail(mail, verb, more)
        self.say(f"{tag} OK done")

    def on_mail(self, mail: Mail, verb: str, more: str) -> None:
        if verb == "STORE":
            mail.is_seen = "Seen" in more
            return
        content = mail.content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if "HEADER" in more else mail.content
        asked = "BODY[HEADER]" if "HEADER" in more else "BODY[]"
        self.wfile.write(
            f"* {mail.uid} FETCH (UID {mail.uid} {asked} {{{len(content)}}}\r\n".encode() + content + b")\r\n"
        )


@dataclass(frozen=True)
class MailServer:
    box: Mailbox
    smtp_port: int
    imap_port: int


@contextmanager
def mail_server(
    *, smtp_port: int = 0, imap_port: int = 0, tls: ssl.SSLContext | None = None, implicit: bool = False
) -> Iterator[MailServer]:
    """On loopback. `tls`: offered by STARTTLS, or from the first byte where it is `implicit`."""
    box = Mailbox(tls=None if implicit else tls)
    servers = [
        _server(talk, port, box, tls if implicit else None) for talk, port in ((Smtp, smtp_port), (Imap, imap_port))
    ]
    threads = [threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield MailServer(box, *(int(each.server_address[1]) for each in servers))
    finally:
        for each in servers:
            each.shutdown()
            each.server_close()


def _server(
    talk: type[_Talk], port: int, mailbox: Mailbox, tls: ssl.SSLContext | None
) -> socketserver.ThreadingTCPServer:
    class Handler(talk):  # type: ignore[misc, valid-type]
        box = mailbox

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

        def get_request(self) -> Any:
            connection, address = super().get_request()
            return (tls.wrap_socket(connection, server_side=True) if tls else connection), address

        def handle_error(self, *_: Any) -> None:
            pass

    return Server(("127.0.0.1", port), Handler)
