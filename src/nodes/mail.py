"""What `email_send` and `email_fetch` share: where the server is, who signs in, and mails as JSON."""

import base64
from collections.abc import Iterable
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.utils import getaddresses, parsedate_to_datetime

from pydantic import Field

from src.core.outcome import Context, Json
from src.core.values import plain_text
from src.nodes.config import NodeContext
from src.nodes.outward import FieldProblem, OutwardNode, Template, filled, filled_text
from src.outside.deadline import Deadline
from src.outside.messages import DEFAULT_SECONDS
from src.outside.sockets import Place, Security

MAX_TEXT = 1_000_000
MAX_PORT = 65_535


class MailNode(OutwardNode):
    host: Template
    port: int | None = Field(None, ge=1, le=MAX_PORT)
    security: Security
    username: Template | None = None
    password: Template | None = None

    def place(self, context: NodeContext, usual_port: int) -> Place:
        return Place(one_line(self.host, context, "host"), self.port or usual_port)

    def deadline(self, context: NodeContext) -> Deadline:
        return Deadline(self.timeout or DEFAULT_SECONDS, context.visit.cancelled)

    def account(self, context: NodeContext) -> tuple[str | None, str | None]:
        username = None if self.username is None else one_line(self.username, context, "username")
        password = None if self.password is None else one_line(self.password, context, "password")
        return username, password


def one_line(value: str, context: NodeContext, field: str) -> str:
    """Whoever could end a line could give the server a command. Raises FieldProblem."""
    text = filled_text(value, context, field)
    if not text.isprintable():
        raise FieldProblem(field, "expected one line")
    return text


def addresses(value: Json, context: NodeContext, field: str) -> list[str]:
    """From a text with commas between, or a list. Raises FieldProblem."""
    given = filled(value, context, field)
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(each, str) and each.isprintable() for each in listed):
        raise FieldProblem(field, "expected addresses as a line of text, or a list of such")
    found = [f"{name} <{address}>" if name else address for name, address in getaddresses(listed) if address]
    if not found or any("@" not in each for each in found):
        raise FieldProblem(field, f"no address can be read in {', '.join(listed)!r}")
    return found


def bare(address: str) -> str:
    [(_, only)] = getaddresses([address])
    return only


def attach(message: EmailMessage, attachments: Json) -> None:
    """`[{"name", "base64" or "text", "type"?}]`. Raises FieldProblem."""
    for each in attachments if isinstance(attachments, list) else [attachments]:
        try:
            text = each.get("text")
            content = text.encode() if text is not None else base64.b64decode(each["base64"], validate=True)
            main, _, sub = str(each.get("type") or "application/octet-stream").partition("/")
            message.add_attachment(content, maintype=main, subtype=sub or "octet-stream", filename=str(each["name"]))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f'expected a list of {{"name", "base64" or "text"}}: {type(error).__name__}: {error}'
            raise FieldProblem("attachments", problem) from None


def as_json(uid: int, raw: bytes) -> Context:
    """A mail as a context can keep it. What cannot be read in it is left out, not an error: anybody can send a mail."""
    message = message_from_bytes(raw, policy=policy.default)
    parts = list(_parts(message))
    return {
        "uid": uid,
        "message_id": _header(message, "message-id"),
        "from": _header(message, "from"),
        "to": _header(message, "to"),
        "subject": _header(message, "subject"),
        "date": _moment(_header(message, "date")),
        "text": _body(parts, "text/plain"),
        "html": _body(parts, "text/html"),
        "attachments": [_attachment(part) for part in parts if _is_attached(part)],
    }


def _header(message: Message, name: str) -> str:
    try:
        return plain_text(str(message[name] or ""), max_length=MAX_TEXT)
    except (AttributeError, LookupError, TypeError, ValueError):  # what others send need not follow any standard
        return ""


def _moment(text: str) -> str | None:
    try:
        return parsedate_to_datetime(text).isoformat()
    except ValueError:
        return None


def _parts(message: Message) -> Iterable[Message]:
    return (part for part in message.walk() if not part.is_multipart())


def _is_attached(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _body(parts: list[Message], kind: str) -> str:
    for part in parts:
        if part.get_content_type() == kind and not _is_attached(part):
            content = part.get_payload(decode=True)
            charset = part.get_content_charset("utf-8")
            return plain_text(_decoded(content if isinstance(content, bytes) else b"", charset), max_length=MAX_TEXT)
    return ""


def _decoded(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset, "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def _attachment(part: Message) -> Context:
    content = part.get_payload(decode=True)
    content = content if isinstance(content, bytes) else b""
    return {
        "name": plain_text(part.get_filename() or "attachment", max_length=1000),
        "type": part.get_content_type(),
        "size": len(content),
        "base64": base64.b64encode(content).decode(),
    }
