"""What rows tell a watcher of an execution: its state, and every attempt at its nodes, each once and in order."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from sqlalchemy import Connection, Row, and_, bindparam, func, select

from src.core.errors import NotFound
from src.core.status import AttemptStatus, Status
from src.database import Database
from src.models import ChainOfWork, Execution, WorkflowVersion
from src.models.columns import is_id

MAX_ATTEMPTS = 500
"""In one look."""
EXECUTION = "execution"
NODE = "node"
DONE = "done"

_WHICH = Execution.id == bindparam("which")
_OF_STATE = (
    "id", "task_id", "workflow_id", "workflow_version", "status", "mode", "waiting_for", "wake_at", "requested",
    "error", "created_at", "started_at", "completed_at", "execution_time",
)  # fmt: skip
_OF_ATTEMPT = (
    "id", "execution_id", "node_id", "node_type", "attempt", "status", "decision_result", "path_taken", "error_type",
    "error_class", "error_message", "waiting_for", "wakes_at", "execution_time", "started_at", "timestamp",
)  # fmt: skip
_NEW = and_(ChainOfWork.execution_id == Execution.id, ChainOfWork.id > bindparam("after"))
_SINCE = (
    select(
        *(getattr(Execution, name).label(f"state_{name}") for name in (*_OF_STATE, "lease_token")),
        *(getattr(ChainOfWork, name) for name in _OF_ATTEMPT),
    )
    .outerjoin(ChainOfWork, _NEW)
    .where(_WHICH)
    .order_by(ChainOfWork.id)
    .limit(MAX_ATTEMPTS)
)
"""The state of an execution beside each attempt that is new: one question, for every one has threads wait for each
other. Where nothing is new, the state alone.
"""
_DONE = (
    select(func.count())
    .where(ChainOfWork.execution_id == Execution.id, ChainOfWork.status == AttemptStatus.SUCCESS)
    .scalar_subquery()
)
_PROGRESS = (
    select(Execution.status, _DONE.label("done"), WorkflowVersion.graph_definition)
    .join(
        WorkflowVersion,
        (WorkflowVersion.workflow_id == Execution.workflow_id)
        & (WorkflowVersion.version == Execution.workflow_version),
    )
    .where(_WHICH)
)
_LAST = select(func.max(ChainOfWork.id)).where(ChainOfWork.execution_id == Execution.id).scalar_subquery()
_HEADS = select(
    Execution.id, Execution.lease_token, Execution.status, Execution.waiting_for, Execution.requested,
    func.coalesce(_LAST, 0).label("attempt_id"),
).where(Execution.id.in_(bindparam("which", expanding=True)))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher has come. Made of rows alone, so that any process can go on from it. One execution is written
    by one runner at a time: its attempts are committed in the order of their ids.
    """

    attempt_id: int = 0
    state: str = ""
    """The state that was sent last."""

    def __str__(self) -> str:
        return f"{self.attempt_id}-{self.state}"

    @classmethod
    def read(cls, text: str | None) -> Self:
        """What is no cursor of ours is the beginning."""
        number, _, state = (text or "").partition("-")
        if not is_id(number):
            return cls()
        return cls(int(number), state)

    def after(self, event: "Event") -> "Cursor":
        """How far a watcher is with `event`; this same place where it was sent before, or is of no row."""
        if event.cursor is None:
            return self
        attempt_id = max(self.attempt_id, event.cursor.attempt_id)
        return Cursor(attempt_id, self.state if event.name == NODE else event.cursor.state)


@dataclass(frozen=True)
class Event:
    """What is sent to a watcher."""

    name: str
    text: str
    """JSON."""
    cursor: Cursor | None = None
    """None for what no row says: who comes back does not get it again."""
    node: tuple[str, int] = ("", 0)
    """The node and the attempt that it tells of."""

    @cached_property
    def head(self) -> bytes:
        """As it goes over the wire to every watcher, but for the id. JSON of ours is one line."""
        return f"event: {self.name}\ndata: {self.text}\n".encode()


PING = Event("ping", "")
"""Nothing has happened for a while."""


class Rows:
    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, execution_id: int, cursor: Cursor) -> list[Event]:
        """What a watcher has not seen yet; at the end of an execution, `done`. Raises NotFound."""
        with self._database.read() as connection:
            rows = _since(connection, execution_id, cursor.attempt_id)
        state = rows[0]  # of the first look: by then all attempts of what has ended are there
        new = [row for row in rows if row.id is not None]
        events = [Event(NODE, _json(row, _OF_ATTEMPT), Cursor(row.id), (row.node_id, row.attempt)) for row in new]
        word = _word(state.state_lease_token, state.state_status, state.state_waiting_for, state.state_requested)
        last = Cursor(new[-1].id if new else cursor.attempt_id, word)
        if last.state != cursor.state:
            events.append(Event(EXECUTION, _json(state, _OF_STATE, "state_"), last))
        if Status(state.state_status).is_final:
            told = {"execution_id": execution_id, "status": state.state_status}
            events.append(Event(DONE, json.dumps(told), last))
        return events

    def progress(self, execution_id: int) -> tuple[Status, int, int]:
        """The status, how many nodes are done, and of how many. Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(_PROGRESS, {"which": execution_id}).one_or_none()
        if row is None:
            raise NotFound("execution", execution_id)
        return Status(row.status), row.done, len(row.graph_definition.get("nodes", ()))

    def heads(self, execution_ids: Sequence[int]) -> Mapping[int, Cursor]:
        """How far each of the executions is."""
        with self._database.read() as connection:
            rows = connection.execute(_HEADS, {"which": execution_ids}).all()
        return {row.id: Cursor(row.attempt_id, _word(*row[1:5])) for row in rows}


def _since(connection: Connection, execution_id: int, after: int) -> list[Row[Any]]:
    """At least one row. Raises NotFound."""
    found: list[Row[Any]] = []
    while True:
        rows = connection.execute(_SINCE, {"which": execution_id, "after": after}).all()
        if not rows:
            raise NotFound("execution", execution_id)
        found += rows
        if len(rows) < MAX_ATTEMPTS:
            return found
        after = rows[-1].id


def _word(lease_token: int, status: str, waiting_for: str | None, requested: str | None) -> str:
    """The state in one word: it differs whenever somebody who watches should know."""
    return ".".join((str(lease_token), status, waiting_for or "", requested or ""))


def _json(row: Row[Any], names: Iterable[str], prefix: str = "") -> str:
    values = {name: getattr(row, prefix + name) for name in names}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_iso)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
