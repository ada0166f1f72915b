"""Firing: what is due becomes an execution, once for each schedule and fire time, however many processes look.

Whoever moves `next_fire_at` on from the time that is due writes the execution in the same transaction: all others find
it moved. Should a clock go back, the unique key (schedule_id, fire_at) still stands in the way of a second run.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from src.core.about import about
from src.core.errors import Invalid, KeyTaken, NotFound
from src.core.schedule import CatchUp, Overlap, Skipped
from src.core.status import Mode, Status
from src.database import Database
from src.models import Client, Execution, Schedule, Workflow
from src.models.columns import moment
from src.runtime.cron import Cron
from src.runtime.executions import Executions
from src.runtime.leases import IN_THE_QUEUE
from src.runtime.queue import FOR_TURN, Queue
from src.runtime.schedules import Clock, database_clock
from src.runtime.store import NewExecution, SqlStore
from src.runtime.workflows import Workflows

logger = logging.getLogger(__name__)

LATE = timedelta(seconds=60)
"""A time that was seen no later than this was not missed: sweeps come every few seconds, a restart takes longer."""
MAX_DUE = 200
"""Schedules that one sweep looks at, so that it never takes long."""
MAX_WAITING = 100
"""Runs of one schedule that may wait for their turn."""


class Firing:
    """
    Args:
        queued_as: how the executions run.
        announce: told of every execution that has changed, for those who watch.
    """

    def __init__(
        self,
        database: Database,
        workflows: Workflows,
        executions: Executions,
        store: SqlStore,
        queue: Queue,
        *,
        queued_as: Mode,
        announce: Callable[[int], object] = lambda _: None,
        clock: Clock = database_clock,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._database = database
        self._workflows = workflows
        self._executions = executions
        self._store = store
        self._queue = queue
        self._queued_as = queued_as
        self._announce = announce
        self._clock = clock
        self._max_waiting = max_waiting

    def fire_due(self) -> list[int]:
        """For the sweep: start what is due, and what has its turn now; answers the executions."""
        with self._database.read() as connection:
            now = self._clock(connection)
            rows = connection.execute(_to_look_at(now).limit(MAX_DUE)).all()
        for row in rows:
            if _cron(row).problems():
                self._put_aside(row)
            elif not _is_due(row, now):
                self._set_back(row, now)
        due = [row for row in rows if _is_due(row, now) and not _cron(row).problems()]
        fired = [each for each in (self._fire(row, now) for row in due) if each is not None]
        started = [*self._give_turns(), *fired]
        if started:
            self._queue.ring(*started)
        for execution_id in started:
            self._announce(execution_id)
        return started

    def _fire(self, row: Row[Any], now: datetime) -> int | None:
        """Deal with the times of a schedule that have come; answers the execution, where there is one."""
        cron = _cron(row)
        fire_at = cron.last(now, not_before=row.next_fire_at)
        new = self._order(row, fire_at)  # before the transaction: what cannot be ordered must not hold up the others
        with about(actor=f"schedule/{row.id}"), self._database.write("fire") as connection:
            if not _move(connection, row, next_fire_at=cron.next(now), last_fire_at=fire_at):
                return None  # somebody else was first
            unfinished = _count_unfinished(connection, row.id)
            why_not = self._why_not(row, unfinished, late=now - fire_at)
            if why_not or new is None:
                _skip(connection, row, fire_at, why_not or Skipped.REFUSED)
                return None
            new = replace(new, has_to_wait=row.overlap == Overlap.QUEUE and unfinished > 0)
            try:
                return self._store.enqueue_within(connection, new, mode=self._queued_as)
            except KeyTaken:  # the clock went back over a time that had been dealt with
                return None

    def _order(self, row: Row[Any], fire_at: datetime) -> NewExecution | None:
        try:
            new = self._executions.order(row.workflow_id, row.initial_context, row.client_slug)
            self._workflows.graph(new.workflow_id, new.workflow_version)
        except (NotFound, Invalid) as error:
            logger.warning("schedule %s cannot be run: %s", row.id, error)
            return None
        return replace(new, schedule_id=row.id, fire_at=fire_at)

    def _why_not(self, row: Row[Any], unfinished: int, late: timedelta) -> Skipped | None:
        if late > LATE and row.catch_up == CatchUp.SKIP:
            return Skipped.MISSED
        if unfinished and row.overlap == Overlap.SKIP:
            return Skipped.OVERLAP
        waits_in_line = row.overlap == Overlap.QUEUE
        return Skipped.TOO_MANY if waits_in_line and unfinished > self._max_waiting else None

    def _give_turns(self) -> list[int]:
        """Of each schedule none of whose runs goes on: the one that has waited longest."""
        first = select(func.min(Execution.id)).where(*_WAITS_FOR_TURN, _has_its_turn()).group_by(Execution.schedule_id)
        with self._database.read() as connection:  # most of the time there is nothing, and nothing to lock
            if connection.execute(first.limit(1)).first() is None:
                return []
        values = IN_THE_QUEUE | {"waiting_for": None, "rung_at": moment(0.0), "rings": 1}
        turn = update(Execution).where(Execution.id.in_(first), *_WAITS_FOR_TURN).values(**values)
        with self._database.write("turn") as connection:
            return list(connection.execute(turn.returning(Execution.id)).scalars())

    def _put_aside(self, row: Row[Any]) -> None:
        """Nobody knows any more when it is due: its time zone is gone since an update, or its row was edited."""
        logger.error("schedule %s is put aside: %s", row.id, _cron(row).problems()[0].detail)
        with self._database.write("put_aside") as connection:
            _move(connection, row, next_fire_at=None, last_fire_at=None)

    def _set_back(self, row: Row[Any], now: datetime) -> None:
        """The clock was ahead and has been set right: what comes next is sooner than it seemed."""
        next_fire_at = _cron(row).next(now)
        if next_fire_at != row.next_fire_at:
            with self._database.write("set_back") as connection:
                _move(connection, row, next_fire_at=next_fire_at)


_UNFINISHED = (Execution.schedule_id.is_not(None), Execution.completed_at.is_(None))
_WAITS_FOR_TURN = (*_UNFINISHED, Execution.status == Status.PAUSED, Execution.waiting_for == FOR_TURN)


def _cron(row: Row[Any]) -> Cron:
    return Cron(row.cron, row.timezone)


def _is_due(row: Row[Any], now: datetime) -> bool:
    return row.next_fire_at is not None and row.next_fire_at <= now


def _to_look_at(now: datetime) -> Select[Any]:
    """What is due, and what was fired by a clock that was ahead of this one."""
    columns = (*Schedule.__table__.columns, Client.slug.label("client_slug"))
    joined = select(*columns).join(Workflow, Workflow.id == Schedule.workflow_id)
    joined = joined.outerjoin(Client, Client.id == Schedule.client_id)
    come = or_(Schedule.next_fire_at <= now, Schedule.last_fire_at > now)
    return joined.where(Schedule.enabled, Workflow.archived_at.is_(None), come).order_by(Schedule.next_fire_at)


def _move(connection: Connection, row: Row[Any], **values: Any) -> bool:
    """Compare and set: only from the time that was read, and only while it is what was read."""
    unchanged = (Schedule.id == row.id, Schedule.enabled, Schedule.updated_at == row.updated_at)
    at = Schedule.next_fire_at
    same = at.is_(None) if row.next_fire_at is None else at == row.next_fire_at
    return connection.execute(update(Schedule).where(*unchanged, same).values(**values)).rowcount > 0


def _count_unfinished(connection: Connection, schedule_id: int) -> int:
    query = select(func.count()).select_from(Execution).where(*_UNFINISHED, Execution.schedule_id == schedule_id)
    return connection.execute(query).scalar_one()


def _skip(connection: Connection, row: Row[Any], fire_at: datetime, why: Skipped) -> None:
    values = {"last_skipped_at": fire_at, "last_skipped_for": why}
    connection.execute(update(Schedule).where(Schedule.id == row.id).values(**values))
    logger.info("schedule %s: %s goes by without a run: %s", row.id, fire_at.isoformat(), why)


def _has_its_turn() -> ColumnElement[bool]:
    """Its workflow is not held, and no run of its schedule goes on."""
    other, workflow = aliased(Execution), aliased(Workflow)
    waits = and_(other.status == Status.PAUSED, other.waiting_for == FOR_TURN)
    goes_on = (other.schedule_id == Execution.schedule_id, other.completed_at.is_(None), ~func.coalesce(waits, False))
    held = (workflow.id == Execution.workflow_id, workflow.paused_at.is_not(None))
    return and_(~exists().where(*goes_on), ~exists().where(*held))
