"""Waking what waits: its time has come, a person has answered, the executions it has started have ended."""

from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, or_, select, update
from sqlalchemy.orm import aliased

from src.core.outcome import WaitFor
from src.core.plan import Verdict
from src.core.status import AttemptStatus, Status
from src.core.store import Claim
from src.database import Database
from src.models import ChainOfWork, Execution, Review
from src.models.columns import moment
from src.runtime.children import Children
from src.runtime.leases import IN_THE_QUEUE, WOKEN, add_event
from src.runtime.queue import Queue

MAX_WOKEN = 200


class Wakes:
    def __init__(self, database: Database, queue: Queue, children: Children) -> None:
        self._database = database
        self._queue = queue
        self.children = children

    def settled(self, claim: Claim, verdict: Verdict) -> None:
        """An execution has ended that another may wait for, or waits for what may have happened already."""
        if verdict.error or any(wait.reason is WaitFor.CHILD for wait in verdict.waits):
            self.children.tend(claim.execution_id)
        if verdict.waits:
            self.wake_if_due(claim.execution_id)
        elif claim.parent_id is not None:
            self.child_ended(claim.parent_id)
        if claim.is_limited:
            self._queue.ring_next(claim.execution_id)

    def child_ended(self, parent_id: int) -> None:
        """It may have been the last one, or another's turn has come."""
        self.children.tend(parent_id)
        self.wake_if_due(parent_id)

    def wake_due(self) -> None:
        """For the sweep: put all that is due into the queue, and look after children."""
        self.children.tend_all()
        self._wake(_DUE, {})

    def wake_if_due(self, execution_id: int) -> None:
        """Something has happened that the execution may wait for."""
        self._wake(_IS_DUE, {"execution": execution_id})

    def _wake(self, due: Select[Any], which: dict[str, int]) -> None:
        with self._database.read() as connection:  # most of the time there is nothing, and nothing to lock
            if connection.execute(due, which).first() is None:
                return
        with self._database.write("wake") as connection:
            ids = list(connection.execute(due.with_for_update(skip_locked=True, of=Execution), which).scalars())
            back = update(Execution).where(Execution.id.in_(ids), Execution.status == Status.WAITING)
            values = IN_THE_QUEUE | {"waiting_for": None, "rung_at": moment(0.0), "rings": 1}
            rows = connection.execute(back.values(**values).returning(Execution.id, Execution.lease_token)).all()
            for row in rows:
                add_event(connection, row.id, WOKEN, None, row.lease_token)
        self._queue.ring(*(row.id for row in rows))


def _waits_for(reason: WaitFor, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """The last attempt at one of its nodes waits for `reason`, and `conditions` hold for that attempt."""
    later = aliased(ChainOfWork)
    same = (later.execution_id == ChainOfWork.execution_id, later.node_id == ChainOfWork.node_id)
    is_last = ~exists().where(*same, later.attempt > ChainOfWork.attempt)
    waits = (ChainOfWork.status == AttemptStatus.WAITING, ChainOfWork.waiting_for == reason, is_last)
    return exists().where(ChainOfWork.execution_id == Execution.id, *waits, *conditions)


def _is_answered() -> ColumnElement[bool]:
    same = (Review.execution_id == ChainOfWork.execution_id, Review.node_id == ChainOfWork.node_id)
    return _waits_for(WaitFor.REVIEW, exists().where(*same, Review.attempt == ChainOfWork.attempt))


def _has_ended_children() -> ColumnElement[bool]:
    child = aliased(Execution)
    its = (child.parent_id == ChainOfWork.execution_id, child.parent_node_id == ChainOfWork.node_id)
    return _waits_for(WaitFor.CHILD, exists().where(*its), ~exists().where(*its, child.completed_at.is_(None)))


IS_ANSWERED = select(exists().where(Execution.id == bindparam("execution"), or_(_is_answered(), _has_ended_children())))
"""Whether anything that an execution has waited for is there."""
_DUE = (
    select(Execution.id)
    .where(
        Execution.status == Status.WAITING,
        Execution.completed_at.is_(None),
        or_(Execution.wake_at <= moment(0.0), _is_answered(), _has_ended_children()),
    )
    .limit(MAX_WOKEN)
)
"""Made once: every child that ends asks it of its parent."""
_IS_DUE = _DUE.where(Execution.id == bindparam("execution"))
