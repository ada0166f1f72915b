"""`email_send` and `email_fetch` against real SMTP and IMAP conversations on loopback."""

import socket
import ssl
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from examples.services.mail import PASSWORD, USERNAME, MailServer, mail_server
from src.core.outcome import ErrorClass, Failed
from src.outside.guard import Allowed
from src.outside.outside import Outside
from tests.nodes.visits import failed, problems_of, succeeded
from tests.outside.peers import certificate_for, raw_peer, server_context

Json = dict[str, Any]
INBOX = Path(__file__).resolve().parents[2] / "examples" / "invoice" / "inbox"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def reaching(server: MailServer, **options: Any) -> Outside:
    places = [f"mail.internal:{port}" for port in (server.smtp_port, server.imap_port)]
    return Outside(Allowed.read(places), resolve=lambda *_: ["127.0.0.1"], **options)


def sending(server: MailServer, **fields: Any) -> Json:
    return {
        "type": "email_send",
        "host": "mail.internal",
        "port": server.smtp_port,
        "security": "none",
        "from": "Acme <invoices@acme.example>",
        "to": "ada@example.com",
        "subject": "Hello",
        "text": "Good day",
        **fields,
    }


def fetching(server: MailServer, **fields: Any) -> Json:
    return {
        "type": "email_fetch",
        "host": "mail.internal",
        "port": server.imap_port,
        "security": "none",
        "username": USERNAME,
        "password": PASSWORD,
        **fields,
    }


def sent(server: MailServer) -> EmailMessage:
    [mail] = server.box.sent
    message = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_a_mail_is_sent_to_everybody_who_is_named(server: MailServer) -> None:
    node = sending(
        server,
        to=["Ada <ada@example.com>", "bob@example.com"],
        cc="{{ context.chief }}",
        bcc="secret@example.com",
        reply_to="office@acme.example",
        subject="Invoice {{ context.number }} - ü",
        text="Dear {{ context.name }}",
        html="<p>Dear {{ context.name }}</p>",
        attachments=[{"name": "note.txt", "text": "ü", "type": "text/plain"}, {"name": "a.pdf", "base64": "JVBERi0="}],
    )
    context = {"chief": "eve@example.com", "number": 7, "name": "Ada"}

    output = succeeded(node, context, outside=reaching(server)).output

    message = sent(server)
    assert server.box.sent[0].recipients == [
        "ada@example.com", "bob@example.com", "eve@example.com", "secret@example.com"
    ]  # fmt: skip
    assert (message["To"], message["Cc"], message["Bcc"]) == (
        "Ada <ada@example.com>, bob@example.com", "eve@example.com", None
    )  # fmt: skip
    assert (message["Subject"], message["Reply-To"]) == ("Invoice 7 - ü", "office@acme.example")
    plain, html = (message.get_body([kind]) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert [each.get_content().strip() for each in (plain, html)] == ["Dear Ada", "<p>Dear Ada</p>"]
    assert [each.get_filename() for each in message.iter_attachments()] == ["note.txt", "a.pdf"]
    assert output == {"node": {"message_id": message["Message-ID"], "refused": {}}}


def test_a_name_with_a_comma_is_one_name(server: MailServer) -> None:
    node = sending(server, to='"Lovelace, Ada" <ada@example.com>, Bob <bob@example.com>', text="hi")

    succeeded(node, {}, outside=reaching(server))

    assert server.box.sent[0].recipients == ["ada@example.com", "bob@example.com"]
    assert [each.display_name for each in sent(server)["To"].addresses] == ["Lovelace, Ada", "Bob"]


def test_every_attempt_sends_the_same_message_id(server: MailServer) -> None:
    for attempt in (1, 2):
        succeeded(sending(server), outside=reaching(server), attempt=attempt)

    one, other = (message_from_bytes(mail.content)["Message-ID"] for mail in server.box.sent)
    assert one == other
    assert one.endswith("@acme.example>")


def test_whom_the_server_refuses_is_told(server: MailServer) -> None:
    server.box.refuses["nobody@example.com"] = "550 5.1.1 no such user"

    output = succeeded(sending(server, to="ada@example.com, nobody@example.com"), outside=reaching(server)).output

    assert output["node"]["refused"] == {"nobody@example.com": "550 5.1.1 no such user"}


@pytest.mark.parametrize(
    ("command", "answer", "error_class"),
    [
        ("RCPT", "550 no such user", ErrorClass.PERMANENT),
        ("RCPT", "450 greylisted", ErrorClass.TRANSIENT),
        ("MAIL", "421 too busy", ErrorClass.TRANSIENT),
        ("DATA", "554 spam", ErrorClass.PERMANENT),
        ("AUTH", "535 wrong", ErrorClass.PERMANENT),
        ("AUTH", "454 try later", ErrorClass.TRANSIENT),
    ],
)
def test_what_the_server_says_is_an_error_of_its_class(
    server: MailServer, command: str, answer: str, error_class: ErrorClass
) -> None:
    server.box.refuses[command] = answer

    error = failed(sending(server, username=USERNAME, password=PASSWORD), outside=reaching(server)).error

    assert error.error_class is error_class
    assert answer[:3] in error.message
    assert server.box.sent == []


def test_a_server_that_is_not_there_is_a_fault(server: MailServer) -> None:
    with raw_peer(lambda connection: connection.close()) as peer:
        outside = Outside(Allowed.read([peer.place]))
        error = failed(sending(server, host="127.0.0.1", port=peer.port), outside=outside).error

    assert error.error_class is ErrorClass.TRANSIENT


@pytest.mark.parametrize(("kind", "port"), [("email_send", 25), ("email_fetch", 993), ("email_send", 8080)])
def test_a_mail_server_on_a_private_address_or_another_port_is_refused(kind: str, port: int) -> None:
    own = {"from": "a@b.c", "to": "a@b.c", "text": "x"} if kind == "email_send" else {"username": "a", "password": "b"}

    error = failed({"type": kind, "host": "127.0.0.1", "port": port, **own}).error

    assert (error.type, error.error_class) == ("Refused", ErrorClass.PERMANENT)


@pytest.mark.parametrize("implicit", [True, False])
def test_both_ways_to_tls_look_at_the_name_in_the_certificate(tmp_path: Path, implicit: bool) -> None:
    path = certificate_for("mail.internal", tmp_path)
    trust = ssl.create_default_context(cafile=str(path))
    tls = {"security": "tls" if implicit else "starttls", "username": USERNAME, "password": PASSWORD}

    with mail_server(tls=server_context(path), implicit=implicit) as server:
        server.box.receive(b"Subject: hi\r\n\r\nhello")
        succeeded(sending(server, **tls), outside=reaching(server, trust=trust))
        mails = succeeded(fetching(server, **tls), outside=reaching(server, trust=trust)).output["node"]
        refused = [failed(node, outside=reaching(server)) for node in (sending(server, **tls), fetching(server, **tls))]

    assert [mail["subject"] for mail in mails] == ["hi"]
    assert len(server.box.sent) == 1
    assert all(isinstance(each, Failed) and "self-signed certificate" in each.error.message for each in refused), (
        refused
    )


def test_a_password_is_not_sent_where_tls_is_not_offered(server: MailServer) -> None:
    node = sending(server, security="starttls", username=USERNAME, password=PASSWORD)

    assert failed(node, outside=reaching(server)).error.error_class is ErrorClass.PERMANENT


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"to": "nobody"}, "to"),
        ({"to": []}, "to"),
        ({"to": "a@b.c\r\nBcc: x@y.z"}, "to"),
        ({"to": [5]}, "to"),
        ({"subject": "a\r\nBcc: x@y.z"}, "subject"),
        ({"username": "a\r\nb", "password": "c"}, "username"),
        ({"host": "a\r\nb"}, "host"),
        ({"attachments": [{"name": "x"}]}, "attachments"),
        ({"attachments": [{"name": "x", "base64": "?"}]}, "attachments"),
    ],
)
def test_a_field_that_cannot_be_sent_is_named(server: MailServer, fields: Json, where: str) -> None:
    error = failed(sending(server, **fields), outside=reaching(server)).error

    assert (error.type, error.message.partition(":")[0]) == ("FieldProblem", where)
    assert server.box.sent == []


# Fetching.


def test_a_mail_is_read_with_its_parts(server: MailServer) -> None:
    server.box.receive((INBOX / "over-limit.eml").read_bytes())

    [mail] = succeeded(fetching(server), outside=reaching(server)).output["node"]

    assert (mail["uid"], mail["date"]) == (1, "2026-10-05T09:12:44+02:00")
    assert mail["from"] == "Muster Bürotechnik GmbH <rechnung@muster-buerotechnik.example>"
    assert mail["subject"] == "Rechnung RE-2026-0417 für Ihre Büromöbel"
    assert "Büromöbel" in mail["text"]
    assert any(each["type"] == "application/pdf" and each["base64"] for each in mail["attachments"])


def test_looking_does_not_mark_as_seen_and_marking_does(server: MailServer) -> None:
    for subject in (b"one", b"two"):
        server.box.receive(b"Subject: " + subject + b"\r\n\r\n")

    for _ in range(2):
        mails = succeeded(fetching(server), outside=reaching(server)).output["node"]
        assert [mail["subject"] for mail in mails] == ["one", "two"]
    mark = fetching(server, uids="{{ context.done }}", parts="none", mark_seen=True)
    succeeded(mark, {"done": [1]}, outside=reaching(server))

    assert [mail.is_seen for mail in server.box.inbox] == [True, False]
    assert [mail["uid"] for mail in succeeded(fetching(server), outside=reaching(server)).output["node"]] == [2]


def test_the_oldest_come_first_and_no_more_than_the_limit(server: MailServer) -> None:
    for number in range(5):
        server.box.receive(f"Subject: {number}\r\n\r\nbody".encode())

    mails = succeeded(fetching(server, limit=2, parts="headers"), outside=reaching(server)).output["node"]

    assert [(mail["subject"], mail["text"]) for mail in mails] == [("0", ""), ("1", "")]


def test_a_mail_to_very_many_names_them_all(server: MailServer) -> None:
    everybody = [f"Somebody With A Name <number{number}@example.com>" for number in range(300)]
    server.box.receive(b"To: " + ",\r\n ".join(everybody).encode() + b"\r\nSubject: all\r\n\r\nhi")

    [mail] = succeeded(fetching(server), outside=reaching(server)).output["node"]

    assert mail["to"] == ", ".join(everybody)
    assert (mail["subject"], mail["text"]) == ("all", "hi")


def test_more_mail_than_is_taken_is_refused(server: MailServer) -> None:
    server.box.receive(b"Subject: x\r\n\r\n" + b"x" * 5000)

    assert failed(fetching(server), outside=reaching(server, max_bytes=1000)).error.type == "TooLarge"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: =?x-unknown?q?a?=\r\nFrom: ,,<\r\nDate: yesterday\r\n\r\n\x00\xff",
        b"Content-Type: text/plain; charset=no-such\r\n\r\nhi",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b'Content-Type: text/plain; charset="\x00"\r\n\r\nhi',
        b"Content-Type: text/plain; charset=idna\r\n\r\n\xff",
        b"Content-Type: multipart/mixed; boundary*\r\n\r\nhi",
        b"Content-Disposition: attachment; filename*=undefined''%41\r\n\r\nhi",
        b"To: " + b"(" * 5000 + b"\r\n\r\nhi",
        b"Content-Type: message/rfc822\r\n\r\n" * 3000 + b"hi",
        b"Subject: " + b"=?utf-8?q?a?= " * 60_000 + b"\r\n\r\nhi",
    ],
    ids=range(13),
)
def test_what_anybody_can_send_fails_no_node(server: MailServer, raw: bytes) -> None:
    server.box.receive(raw)

    [mail] = succeeded(fetching(server), outside=reaching(server)).output["node"]

    assert mail["uid"] == 1


@pytest.mark.parametrize(
    ("fields", "error_class"),
    [
        ({"password": "wrong"}, ErrorClass.PERMANENT),
        ({"folder": "Nowhere"}, ErrorClass.PERMANENT),
        ({"folder": 'a" b'}, ErrorClass.PERMANENT),
        ({"search": "ALL\r\nx LOGOUT"}, ErrorClass.PERMANENT),
        ({"username": "a\r\nb"}, ErrorClass.PERMANENT),
        ({"uids": "{{ 'x' }}"}, ErrorClass.PERMANENT),
        ({"uids": [0]}, ErrorClass.PERMANENT),
    ],
)
def test_a_mailbox_that_cannot_be_read_fails_for_good(
    server: MailServer, fields: Json, error_class: ErrorClass
) -> None:
    assert failed(fetching(server, **fields), outside=reaching(server)).error.error_class is error_class


def test_a_server_that_says_nothing_gets_no_more_than_the_time(server: MailServer) -> None:
    def silence(connection: socket.socket) -> None:
        connection.recv(1000)

    with raw_peer(silence) as peer:
        outside = Outside(Allowed.read([peer.place]))
        node = fetching(server, host="127.0.0.1", port=peer.port, timeout=0.3)
        error = failed(node, outside=outside).error

    assert error.error_class is ErrorClass.TRANSIENT


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"type": "email_send", "host": "h", "from": "a@b.c", "to": "a@b.c"}, ""),
        ({"type": "email_send", "host": "h", "to": "a@b.c", "text": ""}, "/from"),
        ({"type": "email_fetch", "host": "h", "username": "a", "password": "b", "limit": 0}, "/limit"),
        ({"type": "email_fetch", "host": "h", "username": "a", "password": "b", "security": "ssl"}, "/security"),
    ],
)
def test_a_definition_with_a_problem_is_refused_at_it(fields: Json, pointer: str) -> None:
    assert problems_of({"id": "n", **fields}).keys() == {pointer}
