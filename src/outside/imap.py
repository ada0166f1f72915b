"""Fetching mails: the standard library's IMAP, on a connection that was checked. Reading them is not here."""

import imaplib
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from src.outside.deadline import Deadline
from src.outside.errors import Fault, Refused, TooLarge
from src.outside.guard import Guard
from src.outside.sockets import Place, Security, connected, ended_in_time, fault_of, secured, trusting

Parts = Literal["all", "headers", "none"]
ASKED = {"all": "(UID BODY.PEEK[])", "headers": "(UID BODY.PEEK[HEADER])"}
"""PEEK: looking does not mark as seen."""
UID = re.compile(rb"UID (\d+)")


@dataclass(frozen=True, slots=True)
class ImapServer:
    place: Place
    security: Security
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Search:
    folder: str
    criteria: str
    """As IMAP writes them: `UNSEEN FROM "billing@example.com"`."""
    uids: Sequence[int] | None = None
    """These and no others, in place of a search."""
    limit: int = 20
    parts: Parts = "all"
    mark_seen: bool = False
    max_bytes: int = 4 * 1024 * 1024


def fetch_mails(
    guard: Guard, server: ImapServer, search: Search, *, deadline: Deadline, trust: ssl.SSLContext | None = None
) -> list[tuple[int, bytes]]:
    """The oldest that are found first: UID and what was sent.

    Raises:
        OutsideError
    """
    try:
        imap = _Connection(guard, server, deadline, trusting(server.security, trust))
        with _left(imap), ended_in_time(imap.sock, deadline):
            return _fetched(imap, server, search)
    except imaplib.IMAP4.abort as error:
        deadline.check()
        raise Fault(f"{server.place}: {error}") from None
    except imaplib.IMAP4.error as error:
        raise Refused(f"{server.place}: {_text(error.args[0] if error.args else error)}") from None
    except (OSError, EOFError) as error:
        deadline.check()
        raise fault_of(error, server.place) from None


def _fetched(imap: "_Connection", server: ImapServer, search: Search) -> list[tuple[int, bytes]]:
    if server.security == "starttls":
        imap.starttls(ssl_context=imap.trust)
    imap.login(_quoted(server.username), server.password)
    _ok(imap.select(_quoted(search.folder), readonly=not search.mark_seen))
    uids = list(search.uids) if search.uids is not None else _found(imap, search.criteria)
    uids = uids[: search.limit]
    mails: list[tuple[int, bytes]] = []
    left = search.max_bytes
    for uid in uids:
        content = _content(imap, uid, search.parts)
        left -= len(content or b"")
        if left < 0:
            raise TooLarge(f"more than {search.max_bytes:,} bytes of mail (OUTBOUND_MAX_BYTES): ask for fewer at once")
        if content is not None:
            mails.append((uid, content))
    if search.mark_seen and mails:
        _ok(imap.uid("STORE", ",".join(str(uid) for uid, _ in mails), "+FLAGS.SILENT", r"(\Seen)"))
    return mails


@contextmanager
def _left(imap: imaplib.IMAP4) -> Iterator[None]:
    """Unlike its own `with`, which tells of its own end in place of what went wrong before."""
    try:
        yield
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            imap.logout()
        with suppress(OSError):
            imap.shutdown()


class _Connection(imaplib.IMAP4):
    def __init__(self, guard: Guard, server: ImapServer, deadline: Deadline, trust: ssl.SSLContext) -> None:
        self.trust = trust
        self._way = guard, server, deadline
        super().__init__(server.place.host, server.place.port)

    def _create_socket(self, timeout: float | None) -> socket.socket:  # noqa: ARG002
        """What `imaplib` asks for its connection; IMAP4_SSL does it likewise."""
        guard, server, deadline = self._way
        connection = connected(guard, server.place, deadline)
        connection.settimeout(deadline.left_seconds)
        return secured(connection, self.trust, server.place) if server.security == "tls" else connection


def _found(imap: imaplib.IMAP4, criteria: str) -> list[int]:
    [listed] = _ok(imap.uid("SEARCH", criteria))
    return sorted(int(uid) for uid in (listed or b"").split())


def _content(imap: imaplib.IMAP4, uid: int, parts: Parts) -> bytes | None:
    """None where the mail is gone."""
    if parts == "none":
        return b""
    for each in _ok(imap.uid("FETCH", str(uid), ASKED[parts])):
        if isinstance(each, tuple) and UID.search(each[0]):
            return bytes(each[1])
    return None


def _ok(answer: tuple[str, list[Any]]) -> list[Any]:
    status, data = answer
    if status != "OK":
        raise imaplib.IMAP4.error(_text(data[0] if data else status))
    return data


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(told: object) -> str:
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
