"""The children of an execution: let into the queue as there is room for them, and ended with what waits for them.

Their rows are written with the checkpoint of the node that starts them (see `statements.py`), held until it is their
turn. Everything here reads what stands in the rows, so any process may do it, at any time, and twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, case, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from src.core.outcome import WaitFor
from src.core.status import PAUSE, AttemptStatus, Status
from src.database import Database
from src.models import ChainOfWork, Execution, Workflow
from src.models.columns import moment
from src.runtime.families import add_events, stop
from src.runtime.leases import IN_THE_QUEUE, STOPPED
from src.runtime.queue import FOR_TURN, FOR_WORKFLOW, Queue

MAX_PARENTS = 200
"""Parents that one sweep looks after."""


@dataclass(frozen=True, slots=True)
class Children:
    database: Database
    queue: Queue
    lose: Callable[[int], None]
    """Ends what this process itself does for an execution."""
    changed: Callable[..., None] = lambda *_: None
    """Told of the executions that have changed, for those who watch."""

    def tend(self, parent_id: int) -> None:
        """Something has changed for a parent or its children: start those whose turn it is, end those that nothing
        waits for any more.
        """
        with self.database.read() as connection:  # most children are the only one of their parent
            if not connection.execute(_IS_ANY_UNFINISHED, {"parent": parent_id}).scalar():
                return
        with self.database.write("children") as connection:
            started, stopped = _tend(connection, parent_id)
            add_events(connection, dict.fromkeys(stopped, STOPPED))
        if started:
            self.queue.ring(*started)
        for each in stopped:
            self.lose(each)
        if stopped:
            self.queue.ring_next(*stopped)
        self.changed(*started, *stopped)

    def tend_all(self) -> None:
        """For the sweep: whoever should have done it may be dead."""
        with self.database.read() as connection:
            parents = list(connection.execute(_TO_LOOK_AFTER).scalars())
        for parent_id in parents:
            self.tend(parent_id)


def _tend(connection: Connection, parent_id: int) -> tuple[list[int], list[int]]:
    """Answers who was started and who was stopped. Holds back everybody else who asks about the same parent."""
    parent = connection.execute(_LOCKED, {"parent": parent_id}).one()
    if Status(parent.status).is_final:
        return [], stop(connection, Execution.parent_id == parent_id)
    if parent.status == Status.PAUSED or parent.requested == PAUSE:
        return [], []
    started: list[int] = []
    stopped: list[int] = []
    for node_id, details in connection.execute(_WAITS, {"parent": parent_id}).all():
        its = {"parent": parent_id, "node": node_id}
        if details["on_error"] == "fail" and connection.execute(_HAS_FAILED, its).scalar():
            stopped += stop(connection, Execution.parent_id == parent_id, Execution.parent_node_id == node_id)
            continue
        room = details["concurrency"] - connection.execute(_UNDER_WAY, its).scalar_one()
        if room > 0:
            started += connection.execute(_START, its | {"room": room}).scalars()
    return started, stopped


# The statements, made once: every child that ends asks them, and making them would cost more than the answers.

_CHILD_OF = Execution.parent_id == bindparam("parent")
_CHILD_AT = and_(_CHILD_OF, Execution.parent_node_id == bindparam("node"))
_UNFINISHED = Execution.completed_at.is_(None)
_HELD = and_(_UNFINISHED, Execution.status == Status.WAITING, Execution.waiting_for == FOR_TURN)

_IS_ANY_UNFINISHED = select(exists().where(_CHILD_OF, _UNFINISHED))
_LOCKED = (
    select(Execution.status, Execution.requested)
    .where(Execution.id == bindparam("parent"))
    .with_for_update(key_share=True)
)
_LATER = aliased(ChainOfWork)
_WAITS = select(ChainOfWork.node_id, ChainOfWork.details).where(
    ChainOfWork.execution_id == bindparam("parent"),
    ChainOfWork.status == AttemptStatus.WAITING,
    ChainOfWork.waiting_for == WaitFor.CHILD,
    ~exists().where(
        _LATER.execution_id == ChainOfWork.execution_id,
        _LATER.node_id == ChainOfWork.node_id,
        _LATER.attempt > ChainOfWork.attempt,
    ),
)
_HAS_FAILED = select(exists().where(_CHILD_AT, Execution.status.in_((Status.FAILED, Status.STOPPED))))
_UNDER_WAY = select(func.count()).where(_CHILD_AT, _UNFINISHED, ~_HELD)
_NEXT = select(Execution.id).where(_CHILD_AT, _HELD).order_by(Execution.parent_item).limit(bindparam("room"))
_IS_HELD_BACK = and_(
    Execution.subgraph.is_(None),
    exists().where(Workflow.id == Execution.workflow_id, Workflow.paused_at.is_not(None)),
)
_STARTED = IN_THE_QUEUE | {
    "status": case((_IS_HELD_BACK, Status.PAUSED), else_=Status.QUEUED),
    "waiting_for": case((_IS_HELD_BACK, FOR_WORKFLOW)),
    "rung_at": moment(0.0),
    "rings": 1,
}
_START = update(Execution).where(Execution.id.in_(_NEXT)).values(**_STARTED).returning(Execution.id)
_PARENT = aliased(Execution)
_TO_LOOK_AFTER = (
    select(_PARENT.id)
    .join(Execution, Execution.parent_id == _PARENT.id)
    .where(_UNFINISHED, or_(_HELD, _PARENT.completed_at.is_not(None)))
    .group_by(_PARENT.id)
    .order_by(func.random())
    .limit(MAX_PARENTS)
)
"""Any of them: most are well looked after, and the first so many may go on for long."""
