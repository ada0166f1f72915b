"""The queue is the rows that are `queued`. A bell tells somebody of one; who misses it is told again by the sweep."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ColumnElement, case, func, or_, select, update

from src.core.status import Status
from src.database import Database, pieces
from src.models import Execution
from src.models.columns import moment, seconds_since
from src.runtime.concurrency import freed, next_in_line

DEFAULT_QUEUE = "nova"
"""What workers call the queue of executions that name none."""
FOR_WORKFLOW = "workflow"
"""What an execution waits for whose workflow is paused."""
FOR_TURN = "turn"
"""What an execution waits for while an earlier one of its schedule has not ended, or as many other children of its
parent are unfinished as may be at once."""
RING_AGAIN_SECONDS = 10.0
"""After the first bell; four times as long after the second, and so on: most bells are not lost, they wait."""
MAX_RUNG = 200
"""Executions that one sweep rings for, so that it never takes long."""


class Priority(IntEnum):
    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class Queued:
    """What a bell tells of an execution."""

    execution_id: int
    task_id: str
    queue: str | None
    priority: int
    rings: int
    """How often it was rung for, with this time; 0 where it has just become the first in line."""


class Bell(Protocol):
    def ring(self, queued: Queued) -> bool:
        """Say that the execution is in the queue. False where nobody could be told now; never raises.

        A bell may be lost, doubled, late or out of order.
        """


class Depth(NamedTuple):
    """What waits in the queue for a runner."""

    waiting: int
    oldest_seconds: float | None


class Queue:
    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell

    def ring(self, *execution_ids: int) -> None:
        """Ring for executions that came into the queue just now."""
        for piece in pieces(execution_ids):
            with self._database.read() as connection:
                rows = connection.execute(select(*_BELL).where(Execution.id.in_(piece), *_WAITING)).all()
            self._ring(rows)

    def ring_next(self, *execution_ids: int) -> None:
        """These run no longer, or wait in line no longer: there may be room for as many that wait behind them. Those
        were rung for in vain, perhaps often, and begin anew: the bell that counts must not be the one that is missed.
        """
        with self._database.read() as connection:  # where nobody waits there is nothing to lock
            places = freed(connection, execution_ids)
            if not next_in_line(connection, places, most=1):
                return
        with self._database.write("ring") as connection:
            ids = next_in_line(connection, places, most=MAX_RUNG)
            rung = update(Execution).where(Execution.id.in_(ids), *_WAITING).values(rung_at=moment(0.0), rings=0)
            rows = connection.execute(rung.returning(*_BELL)).all()
        self._ring(_in_order(rows))

    def ring_due(self) -> int:
        """Ring for everything in the queue that was not rung for, or some time ago. Answers for how many."""
        rings = case((Execution.rings == 0, 1), else_=Execution.rings)
        since = moment(-RING_AGAIN_SECONDS * rings * rings)
        due = (*_WAITING, or_(Execution.rung_at.is_(None), Execution.rung_at < since))
        ids = select(Execution.id).where(*due).order_by(Execution.priority, Execution.id).limit(MAX_RUNG)
        with self._database.read() as connection:  # most of the time there is nothing, and nothing to lock
            if connection.execute(ids.limit(1)).first() is None:
                return 0
        with self._database.write("ring") as connection:
            found = list(connection.execute(ids.with_for_update(skip_locked=True)).scalars())
            rung = update(Execution).where(Execution.id.in_(found))
            values = {"rung_at": moment(0.0), "rings": Execution.rings + 1}
            rows = connection.execute(rung.values(**values).returning(*_BELL)).all()
        self._ring(_in_order(rows))
        return len(rows)

    def depth(self) -> dict[str | None, Depth]:
        """What waits, by queue."""
        oldest = func.max(seconds_since(Execution.queued_at))
        query = select(Execution.queue, func.count(), oldest).where(*_WAITING).group_by(Execution.queue)
        with self._database.read() as connection:
            return {name: Depth(count, seconds) for name, count, seconds in connection.execute(query)}

    def _ring(self, rows: Iterable[Any]) -> None:
        unheard = [row.id for row in rows if not self._bell.ring(Queued(*row))]
        if unheard:  # the next sweep tries again, and does not count these
            silent = update(Execution).where(Execution.id.in_(unheard), *_WAITING)
            with self._database.write("unheard") as connection:
                connection.execute(silent.values(rung_at=None, rings=0))


def _in_order(rows: Iterable[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row.priority, row.id))


_WAITING: tuple[ColumnElement[bool], ...] = (Execution.status == Status.QUEUED, Execution.completed_at.is_(None))
"""The second is for the index of what is unfinished."""
_BELL = (Execution.id, Execution.task_id, Execution.queue, Execution.priority, Execution.rings)
