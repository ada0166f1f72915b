"""Who did what. A note is written in the transaction of the act it tells of: neither is there without the other.

Runs are not noted: the row of an execution says itself who asked for it, and under which request.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, literal, select

from src.core.about import ids
from src.core.outcome import Json
from src.database import Database
from src.models import AuditEvent, Execution
from src.models.columns import is_id

ANONYMOUS = "anonymous"
RUN = "execution.run"
Thing = Mapping[str, Json]


class Asked(NamedTuple):
    """Who asks for what is done now, and by which request."""

    actor: str
    request_id: str | None


def asked() -> Asked:
    known = ids()
    request_id = known.get("request_id")
    return Asked(str(known.get("actor") or ANONYMOUS), None if request_id is None else str(request_id))


def note(
    connection: Connection,
    action: str,
    subject: str,
    *,
    before: Thing | None = None,
    after: Thing | None = None,
    actor: str | None = None,
) -> None:
    """Note an act in the transaction that does it.

    Args:
        action: `workflow.save`: the kind of thing, and the verb.
        subject: `workflow/12`.
        before, after: the thing itself, of which only a hash is kept; never a secret, whose hash could be guessed.
        actor: where it is not whoever sent the request.
    """
    who = asked()
    values = {"actor": actor or who.actor, "action": action, "subject": subject, "request_id": who.request_id}
    hashes = {"before_sha256": _sha256(before), "after_sha256": _sha256(after)}
    connection.execute(insert(AuditEvent).values(**values, **hashes, at=datetime.now(UTC)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which notes to show."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    before: datetime | None = None
    """Only what was done earlier."""


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, action: str, subject: str, **more: Any) -> None:
        """Likewise, for an act that has no transaction of its own. See `note`."""
        with self._database.write("audit") as connection:
            note(connection, action, subject, **more)

    def page(self, wanted: Wanted, *, limit: int) -> list[Any]:
        """What was done, the newest first: notes, and the runs that were asked for."""
        columns = AuditEvent.__table__.columns
        notes = select(*columns).where(
            *(columns[name] == value for name in ("actor", "action", "subject") if (value := getattr(wanted, name)))
        )
        if wanted.before is not None:
            notes = notes.where(AuditEvent.at < wanted.before)
        with self._database.read() as connection:
            rows = list(connection.execute(notes.order_by(AuditEvent.at.desc(), AuditEvent.id.desc()).limit(limit)))
            if wanted.action in (None, RUN):
                rows += connection.execute(_runs(wanted).limit(limit)).all()
        return sorted(rows, key=lambda row: row.at, reverse=True)[:limit]


def _runs(wanted: Wanted) -> Any:
    """Executions as notes. Those that another has started are its doing."""
    query = select(
        Execution.id, Execution.actor, literal(RUN).label("action"), _SUBJECT.label("subject"),
        literal(None).label("before_sha256"), literal(None).label("after_sha256"),
        Execution.request_id, Execution.created_at.label("at"),
    ).where(Execution.parent_id.is_(None), Execution.actor.is_not(None))  # fmt: skip
    if wanted.actor:
        query = query.where(Execution.actor == wanted.actor)
    if wanted.subject:
        query = query.where(Execution.id == _id_in(wanted.subject))
    if wanted.before is not None:
        query = query.where(Execution.created_at < wanted.before)
    return query.order_by(Execution.id.desc())


_SUBJECT = literal("execution/").concat(Execution.id.cast(AuditEvent.subject.type))


def _id_in(subject: str) -> int:
    kind, _, number = subject.partition("/")
    return int(number) if kind == "execution" and is_id(number) else 0


def _sha256(thing: Thing | None) -> str | None:
    if thing is None:
        return None
    return hashlib.sha256(json.dumps(thing, sort_keys=True, default=str).encode()).hexdigest()
