"""Who may ask for what: keys to the API. A key is shown once; what is kept of it recognises it and no more."""

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import insert, select, update

from src.core.errors import Invalid, NotFound, Problem
from src.database import Database
from src.models import ApiKey, Client, Execution, Schedule, Workflow
from src.models.columns import is_id
from src.runtime.audit import ANONYMOUS, note

PATTERN = re.compile(r"nova_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
ENVIRONMENT = "environment"
"""The public id of NOVA_API_KEY."""
CACHE_SECONDS = 5.0
"""How long another process may go on taking a key that was revoked."""
USED_SECONDS = 60.0
"""How exactly `last_used_at` is kept."""
logger = logging.getLogger(__name__)
NOBODY = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
"""Compared with where there is no such key, so that it takes as long."""
_LISTED: tuple[Any, ...] = (
    ApiKey.public_id, ApiKey.name, ApiKey.scopes, Client.slug.label("client_slug"), ApiKey.created_at,
    ApiKey.expires_at, ApiKey.revoked_at, ApiKey.last_used_at,
)  # fmt: skip
_CHECKED: tuple[Any, ...] = (*_LISTED, ApiKey.sha256, ApiKey.client_id)
_OWNED: Mapping[str, tuple[str, Any, Any]] = {
    "execution_id": ("execution", Execution.id, Execution.client_id),
    "one_id": ("execution", Execution.id, Execution.client_id),
    "other_id": ("execution", Execution.id, Execution.client_id),
    "task_id": ("task", Execution.task_id, Execution.client_id),
    "workflow_id": ("workflow", Workflow.id, Workflow.client_id),
    "schedule_id": ("schedule", Schedule.id, Schedule.client_id),
    "slug": ("client", Client.slug, Client.id),
}
"""Parameters of paths that name what belongs to a client."""


class Scope(StrEnum):
    READ = "read"
    """Look at workflows, executions, schedules."""
    RUN = "run"
    """Start executions, take them in hand, answer reviews."""
    WRITE = "write"
    """Save workflows, schedules and credentials."""
    ADMIN = "admin"
    """All of these, and clients and keys."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sends a request."""

    actor: str
    """What notes and logs call it."""
    scopes: frozenset[Scope]
    key_id: str | None = None
    """The public id of its key."""
    client_id: int | None = None
    """It sees and does nothing that is not this client's."""
    client_slug: str | None = None

    @property
    def named(self) -> str | None:
        """None where nobody has said who it is."""
        return None if self.key_id is None else self.actor

    def client_for(self, slug: str | None) -> str | None:
        """The client that it may do something for, where it asks for `slug`. Raises NotFound."""
        if self.client_slug is None or slug in (None, self.client_slug):
            return self.client_slug if slug is None else slug
        raise NotFound("active client", slug)

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


LOCAL = Caller(ANONYMOUS, frozenset(Scope))
"""Whoever reaches a server that is open to its own machine alone."""


class Keys:
    """
    Args:
        given: NOVA_API_KEY, which may do everything; empty for none.
        cookie_secret: what sessions are signed with; where it is empty they end with this process.
    """

    def __init__(self, database: Database, given: str, cookie_secret: str) -> None:
        self._database = database
        self._given = _sha256(given) if given else None
        secret = cookie_secret or secrets.token_hex(32)
        self._signature_key = hashlib.sha256(f"nova session:{secret}".encode()).digest()
        self._known: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def create(
        self,
        name: str,
        scopes: Collection[Scope],
        *,
        client_slug: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[str, str]:
        """Its public id, and the key itself, which nobody can find out again. Raises NotFound, Invalid."""
        if not scopes or (client_slug is not None and Scope.ADMIN in scopes):
            raise Invalid([Problem("/scopes", "expected at least one; a key of a client cannot have admin")])
        public_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row: dict[str, Any] = {"public_id": public_id, "name": name, "sha256": _sha256(secret)}
        row["scopes"] = ",".join(sorted(scopes))
        with self._database.write("key") as connection:
            client_id = None
            if client_slug is not None:
                found = select(Client.id).where(Client.slug == client_slug)
                client_id = connection.execute(found).scalar() if client_slug.isprintable() else None
                if client_id is None:
                    raise NotFound("client", client_slug)
            row |= {"client_id": client_id, "created_at": datetime.now(UTC), "expires_at": expires_at}
            connection.execute(insert(ApiKey).values(**row))
            note(connection, "key.create", f"key/{public_id}")
        return public_id, f"nova_{public_id}_{secret}"

    def listing(self) -> list[Any]:
        query = select(*_LISTED).outerjoin_from(ApiKey, Client).order_by(ApiKey.id)
        with self._database.read() as connection:
            return list(connection.execute(query).all())

    def find(self, public_id: str) -> Any:
        """Raises NotFound."""
        for row in self.listing():
            if row.public_id == public_id:
                return row
        raise NotFound("key", public_id)

    def revoke(self, public_id: str) -> None:
        """Raises NotFound."""
        self.find(public_id)
        with self._database.write("key") as connection:
            this = (ApiKey.public_id == public_id, ApiKey.revoked_at.is_(None))
            connection.execute(update(ApiKey).where(*this).values(revoked_at=datetime.now(UTC)))
            note(connection, "key.revoke", f"key/{public_id}")
        with self._lock:
            self._known.pop(public_id, None)

    def say_who_may_come_in(self, *, asks_for_keys: bool) -> None:
        with self._database.read() as connection:
            usable = select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)
            is_there_one = self._given is not None or connection.execute(usable).first() is not None
        if not asks_for_keys:
            logger.info("no key is needed, and nobody but this machine is answered (API_KEYS, NOVA_API_KEY)")
        elif not is_there_one:
            logger.warning("nobody can come in: set NOVA_API_KEY, or python -m src keys create admin --scope admin")

    def check(self, key: str) -> Caller | None:
        """Whose key it is; None where it is nobody's, or no longer."""
        if self._given is not None and hmac.compare_digest(_sha256(key), self._given):
            return Caller("NOVA_API_KEY", frozenset(Scope), ENVIRONMENT)
        parts = PATTERN.fullmatch(key)
        row = self._row(parts[1]) if parts else None
        is_right = hmac.compare_digest(_sha256(parts[2] if parts else key), row.sha256 if row else NOBODY)
        return self._caller(row) if row and is_right else None

    def session_for(self, caller: Caller, *, seconds: int) -> str:
        """What a browser keeps instead of the key."""
        told = f"{caller.key_id}.{int(time.time()) + seconds}"
        return f"{told}.{self._signature(told)}"

    def check_session(self, session: str) -> Caller | None:
        """Likewise, for what `session_for` has answered. A key that was revoked has no sessions."""
        told, _, signature = session.rpartition(".")
        key_id, _, until = told.partition(".")
        is_right = hmac.compare_digest(signature.encode(), self._signature(told).encode())
        if not (is_right and until.isdecimal() and int(until) > time.time()):
            return None
        if key_id == ENVIRONMENT:
            return Caller("NOVA_API_KEY", frozenset(Scope), ENVIRONMENT) if self._given else None
        row = self._row(key_id)
        return self._caller(row) if row else None

    def check_own(self, caller: Caller, parameter: str, value: object) -> None:
        """Likewise of what a body names. Raises NotFound where it is another client's."""
        if caller.client_id is not None and (foreign := self.foreign(caller, {parameter: str(value)})):
            raise foreign

    def foreign(self, caller: Caller, parameters: Mapping[str, str]) -> NotFound | None:
        """What a path names that is not the caller's, as if it were not there."""
        for name, value in parameters.items():
            if name not in _OWNED:
                continue
            what, key, client = _OWNED[name]
            which: Any = value if key.type.python_type is str else _number(value)
            if isinstance(which, str) and not which.isprintable():
                return NotFound(what, which)
            with self._database.read() as connection:
                if connection.execute(select(key).where(key == which, client == caller.client_id)).first() is None:
                    return NotFound(what, which)
        return None

    def _row(self, public_id: str) -> Any:
        at, row = self._known.get(public_id, (0.0, None))
        if time.monotonic() - at > CACHE_SECONDS or row is None:
            query = select(*_CHECKED).outerjoin_from(ApiKey, Client).where(ApiKey.public_id == public_id)
            with self._database.read() as connection:
                row = connection.execute(query).one_or_none()
            if row is not None:
                self._mark_used(row)
                with self._lock:
                    self._known[public_id] = (time.monotonic(), row)
        return row

    def _mark_used(self, row: Any) -> None:
        now = datetime.now(UTC)
        if row.last_used_at is None or (now - row.last_used_at).total_seconds() > USED_SECONDS:
            with self._database.write("key_used") as connection:
                this = ApiKey.public_id == row.public_id
                connection.execute(update(ApiKey).where(this).values(last_used_at=now))

    def _caller(self, row: Any) -> Caller | None:
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= datetime.now(UTC)):
            return None
        scopes = frozenset(Scope(each) for each in row.scopes.split(","))
        return Caller(f"{row.name} ({row.public_id})", scopes, row.public_id, row.client_id, row.client_slug)

    def _signature(self, told: str) -> str:
        return hmac.new(self._signature_key, told.encode(), hashlib.sha256).hexdigest()


def _number(text: str) -> int:
    """The number as the route reads it: cut short, it would be another thing's. 0, which is nobody's, for no id."""
    return int(text) if is_id(text) else 0


def is_checked(parameter: str) -> bool:
    return parameter in _OWNED


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
