"""What `email_send` and `email_fetch` share: where the server is, who signs in, and mails as JSON."""

import base64
import re
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime, quote
from typing import TypeVar

from pydantic import Field

from src.core.outcome import Context, Json
from src.core.values import plain_text
from src.nodes.config import NodeContext
from src.nodes.outward import FieldProblem, OutwardNode, Template, filled, filled_text
from src.outside.deadline import Deadline
from src.outside.messages import DEFAULT_SECONDS
from src.outside.sockets import Place, Security

MAX_TEXT = 1_000_000
MAX_NAME = 1000
MAX_HEADER = 10_000
"""Characters of a header that is taken apart: Python needs a minute for a megabyte."""
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What Python's parser says of mails that follow no standard."""
SPECIAL = re.compile(r'[][()<>@,:;"\\.]')
"""Characters that end a name before an address, where it is not quoted."""
MAX_PORT = 65_535

Found = TypeVar("Found")


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
    found = [_address(name, address) for name, address in getaddresses(listed) if address]
    if not found or any("@" not in each for each in found):
        raise FieldProblem(field, f"no address can be read in {', '.join(listed)!r}")
    return found


def _address(name: str, address: str) -> str:
    if not name:
        return address
    return f'"{quote(name)}" <{address}>' if SPECIAL.search(name) else f"{name} <{address}>"


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
    message = _parsed(raw)
    parts = _parts(message)
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


def _parsed(raw: bytes) -> Message:
    try:
        return message_from_bytes(raw, policy=policy.default)
    except UNREADABLE:  # such as parts in parts in parts; its headers can be read, as they stand
        return BytesHeaderParser(policy=policy.compat32).parsebytes(raw)


def _parts(message: Message) -> list[Message]:
    """Without the headers that would take minutes to read for what is in them."""
    none: list[Message] = []
    parts = _read(lambda: [part for part in message.walk() if not part.is_multipart()], none)
    for part in parts:
        for name in {name for name, value in part.raw_items() if len(str(value)) > MAX_HEADER}:
            if name.lower().startswith("content-"):
                del part[name]
    return parts


def _read(read: Callable[[], Found], otherwise: Found) -> Found:
    """What others send need not follow any standard, and some of it is sent to break who reads it."""
    try:
        return read()
    except UNREADABLE:
        return otherwise


def _header(message: Message, name: str) -> str:
    raw = next(("".join(str(value).splitlines()) for each, value in message.raw_items() if each.lower() == name), "")
    text = raw if len(raw) > MAX_HEADER else _read(lambda: str(message[name] or ""), "")
    return plain_text(text, max_length=MAX_TEXT)


def _moment(text: str) -> str | None:
    return _read(lambda: parsedate_to_datetime(text).isoformat(), None)


def _is_attached(part: Message) -> bool:
    return _read(lambda: part.get_content_disposition() == "attachment" or part.get_filename() is not None, True)


def _type(part: Message) -> str:
    return plain_text(_read(part.get_content_type, "application/octet-stream"), max_length=MAX_NAME)


def _content(part: Message) -> bytes:
    content = _read(lambda: part.get_payload(decode=True), None)
    return content if isinstance(content, bytes) else b""


def _body(parts: list[Message], kind: str) -> str:
    for part in parts:
        if _type(part) == kind and not _is_attached(part):
            charset = _read(lambda part=part: part.get_content_charset("utf-8"), "utf-8")  # type: ignore[misc]
            return plain_text(_decoded(_content(part), charset), max_length=MAX_TEXT)
    return ""


def _decoded(content: bytes, charset: str) -> str:
    return _read(lambda: content.decode(charset, "replace"), content.decode("utf-8", "replace"))


def _attachment(part: Message) -> Context:
    content = _content(part)
    return {
        "name": plain_text(_read(part.get_filename, None) or "attachment", max_length=MAX_NAME),
        "type": _type(part),
        "size": len(content),
        "base64": base64.b64encode(content).decode(),
    }
