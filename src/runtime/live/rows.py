"""What rows tell a watcher of an execution: its state, and every attempt at its nodes, each once and in order."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Self

from sqlalchemy import Connection, Row, bindparam, func, select

from src.core.errors import NotFound
from src.core.status import AttemptStatus, Status
from src.database import Database
from src.models import ChainOfWork, Execution, WorkflowVersion

MAX_ATTEMPTS = 500
"""In one look."""
MAX_DIGITS = 19
"""Of a BIGINT."""
EXECUTION = "execution"
NODE = "node"
DONE = "done"

_WHICH = Execution.id == bindparam("which")
_STATE = select(
    Execution.id, Execution.task_id, Execution.workflow_id, Execution.workflow_version, Execution.status,
    Execution.mode, Execution.waiting_for, Execution.wake_at, Execution.requested, Execution.error,
    Execution.created_at, Execution.started_at, Execution.completed_at, Execution.execution_time,
    Execution.lease_token,
).where(_WHICH)  # fmt: skip
_ATTEMPTS = (
    select(
        ChainOfWork.id, ChainOfWork.execution_id, ChainOfWork.node_id, ChainOfWork.node_type, ChainOfWork.attempt,
        ChainOfWork.status, ChainOfWork.decision_result, ChainOfWork.path_taken, ChainOfWork.error_type,
        ChainOfWork.error_class, ChainOfWork.error_message, ChainOfWork.waiting_for, ChainOfWork.wakes_at,
        ChainOfWork.execution_time, ChainOfWork.started_at, ChainOfWork.timestamp,
    )
    .where(ChainOfWork.execution_id == bindparam("which"), ChainOfWork.id > bindparam("after"))
    .order_by(ChainOfWork.id)
    .limit(MAX_ATTEMPTS)
)  # fmt: skip
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
        if not (number.isascii() and number.isdecimal() and len(number) < MAX_DIGITS):
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
            state = _state(connection, execution_id)  # first: by then all attempts of what has ended are there
            rows = _attempts(connection, execution_id, cursor.attempt_id)
        events = [Event(NODE, _json(row), Cursor(row.id), (row.node_id, row.attempt)) for row in rows]
        last = Cursor(rows[-1].id if rows else cursor.attempt_id, _word(state))
        if last.state != cursor.state:
            events.append(Event(EXECUTION, _json(state), last))
        if Status(state.status).is_final:
            events.append(Event(DONE, json.dumps({"execution_id": execution_id, "status": state.status}), last))
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
        return {row.id: Cursor(row.attempt_id, _word(row)) for row in rows}


def _attempts(connection: Connection, execution_id: int, after: int) -> list[Row[Any]]:
    found: list[Row[Any]] = []
    while True:
        rows: list[Row[Any]] = list(connection.execute(_ATTEMPTS, {"which": execution_id, "after": after}))
        found += rows
        if len(rows) < MAX_ATTEMPTS:
            return found
        after = rows[-1].id


def _state(connection: Connection, execution_id: int) -> Row[Any]:
    row = connection.execute(_STATE, {"which": execution_id}).one_or_none()
    if row is None:
        raise NotFound("execution", execution_id)
    return row


def _word(row: Row[Any]) -> str:
    """The state in one word: it differs whenever somebody who watches should know."""
    return ".".join((str(row.lease_token), row.status, row.waiting_for or "", row.requested or ""))


def _json(row: Row[Any]) -> str:
    hidden = ("lease_token",)
    values = {name: value for name, value in row._mapping.items() if name not in hidden}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=_iso)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
