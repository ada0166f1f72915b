"""What is old goes: finished runs, events, big values that nothing names any more. In small batches, from the sweep.

Never a run that has not ended, one that another refers to as its parent or origin, nor a child whose parent stays.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select, text
from sqlalchemy.orm import aliased

from src.database import Database
from src.models import Blob, ChainOfWork, Execution, ExecutionEvent, Review
from src.models.columns import moment
from src.runtime.blobs import MARK, names_in
from src.runtime.leases import ENDS_OF_CLAIMS

logger = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0
SLICE_SECONDS = 2.0
"""How long one sweep is kept; the next goes on with the rest."""
BATCH = 200
"""Runs in one transaction, so that no lock is held for long."""
MAX_PAGES = 2000
"""Of a SQLite file, given back at once."""
DAY = 86_400.0
BEGUN = "housekeeping_begun_at"
BEGIN = text("INSERT INTO figures (name, labels, value) VALUES (:name, '{}', 0) ON CONFLICT DO NOTHING")
TAKE = text("UPDATE figures SET value = :now WHERE name = :name AND labels = '{}' AND value < :before")


class Housekeeping:
    """
    Args:
        runs_days, events_days: how long they are kept; 0 keeps them for ever.
    """

    def __init__(
        self, database: Database, runs_days: float, events_days: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._runs_days = runs_days
        self._events_days = events_days
        self._clock = clock
        self._looked_at = 0.0
        self._is_at_it = False
        self._lost_names: set[str] = set()
        """Big values that runs named which have gone."""

    def tidy(self) -> None:
        """For the sweep: once an hour, in one process of all, and for a moment at a time."""
        if not self._is_at_it and not self._is_my_turn():
            return
        self._is_at_it = True
        give_up_at = time.monotonic() + SLICE_SECONDS
        while time.monotonic() < give_up_at:
            if not (self.delete_runs() or self.delete_events()):
                self.delete_blobs()
                self._is_at_it = self.shrink()  # the rest with the next sweep
                return

    def delete_runs(self) -> int:
        """One batch of finished runs whose time is over; answers how many."""
        if not self._runs_days:
            return 0
        ids = select(Execution.id).where(*_is_over(self._runs_days)).order_by(Execution.completed_at).limit(BATCH)
        with self._database.read() as connection:
            if connection.execute(ids.limit(1)).first() is None:
                return 0
        with self._database.write("housekeeping") as connection:
            old = list(connection.execute(ids.with_for_update(skip_locked=True)).scalars())
            self._lost_names |= _names_of(connection, old)
            connection.execute(delete(Execution).where(Execution.id.in_(old)))
        return len(old)

    def delete_events(self) -> int:
        """One batch of events of finished runs. Those that `verify` counts stay as long as their run."""
        if not self._events_days:
            return 0
        old = (ExecutionEvent.at < moment(-self._events_days * DAY), ExecutionEvent.kind.not_in(ENDS_OF_CLAIMS))
        ended = exists().where(Execution.id == ExecutionEvent.execution_id, Execution.completed_at.is_not(None))
        ids = select(ExecutionEvent.id).where(*old, ended).order_by(ExecutionEvent.id).limit(5 * BATCH)
        with self._database.read() as connection:
            found = list(connection.execute(ids).scalars())
        if found:
            with self._database.write("housekeeping") as connection:
                connection.execute(delete(ExecutionEvent).where(ExecutionEvent.id.in_(found)))
        return len(found)

    def delete_blobs(self) -> int:
        """The big values that what has gone has named, and nothing else names. Looks through all rows once, and once
        more at those that came meanwhile, while nobody can add a big value.
        """
        if not self._lost_names:
            return 0
        with self._database.read() as connection:
            newest = [connection.execute(select(key).order_by(key.desc()).limit(1)).scalar() or 0 for key, _ in _NAMING]
            lost = self._lost_names - _named(connection, [0] * len(newest))
        with self._database.write("housekeeping") as connection:
            if not self._database.is_sqlite:
                connection.execute(text("LOCK TABLE blobs IN SHARE ROW EXCLUSIVE MODE"))
            lost -= _named(connection, newest)
            connection.execute(delete(Blob).where(Blob.sha256.in_(lost)))
        self._lost_names.clear()
        return len(lost)

    def shrink(self) -> bool:
        """Give what is free in a SQLite file back to the disk; answers whether there is more. PostgreSQL's autovacuum
        reuses it.
        """
        if not self._database.is_sqlite:
            return False
        with self._database.turn, self._database.engine.connect() as connection:
            before = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            # Page by page: a driver that takes one step of it gives one page back.
            script: Any = connection.connection.driver_connection
            script.executescript(f"PRAGMA incremental_vacuum({MAX_PAGES})")
            left = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
        return bool(0 < left < before)

    def _is_my_turn(self) -> bool:
        """Whoever moves the mark begins."""
        now = self._clock()
        if now - self._looked_at < EVERY_SECONDS:
            return False
        self._looked_at = now
        with self._database.write("housekeeping") as connection:
            connection.execute(BEGIN, {"name": BEGUN})
            taken = connection.execute(TAKE, {"name": BEGUN, "now": now, "before": now - EVERY_SECONDS}).rowcount
        return bool(taken)


def _is_over(days: float) -> tuple[ColumnElement[bool], ...]:
    cutoff = moment(-days * DAY)
    other, parent = aliased(Execution), aliased(Execution)
    refers = or_(other.parent_id == Execution.id, other.origin_id == Execution.id)
    stays = or_(parent.completed_at.is_(None), parent.completed_at >= cutoff)
    parent_stays = exists().where(parent.id == Execution.parent_id, stays)
    return (Execution.completed_at < cutoff, ~exists().where(refers), ~parent_stays)


def _names_of(connection: Connection, execution_ids: list[int]) -> set[str]:
    runs = select(Execution.initial_context, Execution.result).where(Execution.id.in_(execution_ids))
    names = {name for row in connection.execute(runs) for context in row for name in names_in(context)}
    outputs = select(ChainOfWork.output_result).where(ChainOfWork.execution_id.in_(execution_ids))
    return names | {name for output in connection.execute(outputs).scalars() for name in names_in(output)}


_NAMING: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (Execution.id, (Execution.initial_context, Execution.result)),
    (ChainOfWork.id, (ChainOfWork.output_result,)),
    (Review.id, (Review.output,)),
)
"""The columns in which big values may be named, by the key of their table."""


def _named(connection: Connection, after: list[int]) -> set[str]:
    """The big values that rows name whose keys are larger than `after`, table by table."""
    found: set[str] = set()
    for (key, columns), newest in zip(_NAMING, after, strict=True):
        for column in columns:
            marked = column.cast(Blob.content.type).contains(f'"{MARK}"')
            contexts = connection.execute(select(column).where(key > newest, marked)).scalars()
            found |= {name for context in contexts for name in names_in(context)}
    return found
