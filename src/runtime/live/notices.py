"""What a page or a program is told of all the runs it may see: that one has started, how far it is, how it ended, and
that one needs a person. Made of rows, like everything that must not get lost; only progress is of none.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, func, or_, select

from src.core.outcome import WaitFor
from src.core.status import AttemptStatus, Status
from src.database import Database
from src.models import ChainOfWork, Execution, Workflow

LATE_SECONDS = 5.0
"""A row may be committed so much later than the moment that it bears."""
MAX_LOOKED_AT = 20_000
"""Executions, the newest, among which a look for what was missed looks."""
MAX_FOUND = 500
TASK_STARTED = "task_started"
TASK_PROGRESS = "task_progress"
TASK_COMPLETE = "task_complete"
TASK_FAILED = "task_failed"
HITL_PENDING = "hitl_pending"

_EXECUTION = select(
    Execution.id, Execution.task_id, Execution.workflow_id, Workflow.name.label("workflow"), Execution.client_id,
    Execution.status, Execution.error, Execution.started_at, Execution.completed_at, Execution.execution_time,
).join(Workflow, Workflow.id == Execution.workflow_id).where(
    # what a retry has taken over is completed, and nothing has happened in it
    or_(Execution.started_at.is_not(None), Execution.status != Status.COMPLETED)
)  # fmt: skip
_REVIEW = select(
    ChainOfWork.execution_id, ChainOfWork.node_id, ChainOfWork.attempt, ChainOfWork.details, ChainOfWork.timestamp
).where(ChainOfWork.status == AttemptStatus.WAITING, ChainOfWork.waiting_for == WaitFor.REVIEW)


@dataclass(frozen=True, slots=True)
class Notice:
    type: str
    execution_id: int
    client_id: int | None
    at: datetime
    data: dict[str, Any]
    is_kept: bool = True
    """It can be told again to who comes back."""

    @property
    def id(self) -> str:
        """The same wherever and whenever it is made. Begins with its moment, so that a later one is greater."""
        microseconds = int(self.at.timestamp() * 1_000_000)
        return f"{microseconds}-{self.execution_id}-{self.type}-{self.data.get('node_id', '')}"

    @property
    def text(self) -> str:
        told = {"type": self.type, "event_id": self.id if self.is_kept else None, "execution_id": self.execution_id}
        at = self.at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return json.dumps(told | {"at": at} | self.data, ensure_ascii=False)


def moment_of(event_id: str | None) -> datetime | None:
    """When the notice was made that bears this id; None where it is none of ours."""
    digits = (event_id or "").partition("-")[0]
    if not (digits.isascii() and digits.isdecimal() and len(digits) < len(str(10**17))):
        return None
    return datetime.fromtimestamp(int(digits) / 1_000_000, UTC)


class Notices:
    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, execution_ids: Iterable[int]) -> list[Notice]:
        """All that there is to tell of these executions, in its order."""
        ids = list(execution_ids)
        return self._read(_EXECUTION.where(Execution.id.in_(ids)), _REVIEW.where(ChainOfWork.execution_id.in_(ids)))

    def since(self, moment: datetime) -> list[Notice]:
        """What has happened since then, and shortly before: some of it may be known already."""
        since = moment - timedelta(seconds=LATE_SECONDS)
        newest = select(func.coalesce(func.max(Execution.id), 0) - MAX_LOOKED_AT).scalar_subquery()
        awaited = _REVIEW.where(ChainOfWork.timestamp > since, ChainOfWork.execution_id > newest)
        reviewed = select(awaited.limit(MAX_FOUND).subquery().c.execution_id)
        happened = or_(Execution.started_at > since, Execution.completed_at > since, Execution.id.in_(reviewed))
        found = _EXECUTION.where(Execution.id > newest, happened).order_by(Execution.id.desc()).limit(MAX_FOUND)
        return [notice for notice in self._read(found, awaited.limit(MAX_FOUND)) if notice.at > since]

    def _read(self, executions: Select[Any], reviews: Select[Any]) -> list[Notice]:
        with self._database.read() as connection:
            rows = {row.id: row for row in connection.execute(executions)}
            waits = connection.execute(reviews).all()
        found = [notice for row in rows.values() for notice in _of_execution(row)]
        found += [_of_review(rows[wait.execution_id], wait) for wait in waits if wait.execution_id in rows]
        return sorted(found, key=lambda notice: notice.at)


def progress_of(row: "Notice", node_id: str, fraction: float, message: str) -> Notice:
    """What a node of the execution tells, of which `row` is a notice."""
    told = {name: row.data[name] for name in ("task_id", "workflow_id", "workflow")}
    told |= {"node_id": node_id, "progress": fraction, "message": message}
    return Notice(TASK_PROGRESS, row.execution_id, row.client_id, datetime.now(UTC), told, is_kept=False)


def _of_execution(row: Row[Any]) -> Iterator[Notice]:
    if row.started_at is not None:
        yield Notice(TASK_STARTED, row.id, row.client_id, row.started_at, _told(row))
    if row.completed_at is not None:
        is_done = row.status == Status.COMPLETED
        error = {name: (row.error or {}).get(name) for name in ("node_id", "type", "message")}
        more = {"status": row.status, "execution_time": row.execution_time} | ({} if is_done else {"error": error})
        kind = TASK_COMPLETE if is_done else TASK_FAILED
        yield Notice(kind, row.id, row.client_id, row.completed_at, _told(row) | more)


def _of_review(row: Row[Any], wait: Row[Any]) -> Notice:
    more = {"node_id": wait.node_id, "attempt": wait.attempt, "title": (wait.details or {}).get("title")}
    return Notice(HITL_PENDING, row.id, row.client_id, wait.timestamp, _told(row) | more)


def _told(row: Row[Any]) -> dict[str, Any]:
    return {"task_id": row.task_id, "workflow_id": row.workflow_id, "workflow": row.workflow}


class Board:
    """What one connection is told, of the executions of one client or of all."""

    def __init__(self, client_id: int | None = None, *, last_event_id: str | None = None) -> None:
        self._client_id = client_id
        self._sent: dict[str, None] = {last_event_id: None} if last_event_id else {}

    def chosen(self, notices: Sequence[Notice]) -> list[Notice]:
        """Those that it may see and has not seen."""
        found = [notice for notice in notices if self._may_see(notice) and notice.id not in self._sent]
        self._sent |= {notice.id: None for notice in found if notice.is_kept}
        while len(self._sent) > MAX_FOUND * 4:
            del self._sent[next(iter(self._sent))]
        return found

    def _may_see(self, notice: Notice) -> bool:
        """The one place that decides it."""
        return self._client_id is None or notice.client_id == self._client_id
