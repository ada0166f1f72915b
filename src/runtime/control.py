"""An operator takes a run in hand: hold it, let it go on, end it. Obeyed at the next node boundary; a stop, at once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, case, or_, select, update

from src.core.errors import NotAllowed, NotFound
from src.core.status import PAUSE, Status
from src.database import Database
from src.models import Execution, Workflow
from src.models.columns import moment
from src.runtime.audit import note
from src.runtime.families import add_events, family, stop
from src.runtime.leases import IN_THE_QUEUE, PAUSED, RESUMED, STOPPED
from src.runtime.queue import FOR_TURN, FOR_WORKFLOW, Queue

PAUSE_REQUESTED = "pause_requested"


@dataclass(frozen=True, slots=True)
class Control:
    database: Database
    queue: Queue
    lose: Callable[[int], None]
    """Ends what this process itself does for an execution."""
    changed: Callable[..., None] = lambda *_: None
    """Told of the executions that have changed, for those who watch."""
    child_ended: Callable[[int], None] = lambda _: None
    """Told of the parent of an execution that was stopped."""
    stopped: Callable[[int], None] = lambda _: None
    """Told of every execution that was ended, for those who count."""

    def pause(self, execution_id: int, *, actor: str | None = None) -> None:
        """Hold an execution, and those it has started. Raises NotFound, NotAllowed where it has ended."""
        self.queue.ring_next(*self._to_family(execution_id, _pause, actor))

    def resume(self, execution_id: int, *, actor: str | None = None) -> None:
        """Let an execution go on that is held or is about to be. Raises NotFound, NotAllowed where it is neither."""
        resumed = self._to_family(execution_id, _resume, actor)
        self.queue.ring(*resumed)

    def stop(self, execution_id: int, *, actor: str | None = None) -> None:
        """End an execution, and those it has started, whatever any runner says later. Raises NotFound, NotAllowed."""
        ended = self._to_family(execution_id, _stop, actor)
        for stopped in ended:
            self.lose(stopped)
            self.stopped(stopped)
        with self.database.read() as connection:
            parent = connection.execute(select(Execution.parent_id).where(Execution.id == execution_id)).scalar()
        if parent is not None:
            self.child_ended(parent)
        self.queue.ring_next(*ended)

    def pause_workflow(self, workflow_id: int) -> None:
        """Hold new runs of a workflow back. Raises NotFound."""
        self._mark(workflow_id, paused_at=datetime.now(UTC))

    def resume_workflow(self, workflow_id: int) -> None:
        """Let the runs go that were held back. Raises NotFound."""
        self._mark(workflow_id, paused_at=None)
        held = (Execution.workflow_id == workflow_id, Execution.waiting_for == FOR_WORKFLOW)
        free = update(Execution).where(*held, Execution.status == Status.PAUSED, Execution.completed_at.is_(None))
        values = IN_THE_QUEUE | {"rung_at": moment(0.0), "rings": 1, "waiting_for": None}
        with self.database.write("resume_workflow") as connection:
            ids = list(connection.execute(free.values(**values).returning(Execution.id)).scalars())
        self.queue.ring(*ids)

    def _mark(self, workflow_id: int, paused_at: datetime | None) -> None:
        in_use = (Workflow.id == workflow_id, Workflow.archived_at.is_(None))
        with self.database.write("pause_workflow") as connection:
            marked = connection.execute(update(Workflow).where(*in_use).values(paused_at=paused_at)).rowcount
            note(connection, f"workflow.{'pause' if paused_at else 'resume'}", f"workflow/{workflow_id}")
        if not marked:
            raise NotFound("workflow", workflow_id)

    def _to_family(
        self, execution_id: int, act: Callable[[Connection, int], dict[int, str]], actor: str | None
    ) -> list[int]:
        """Do it to an execution, and to its children as far as that makes sense; answers to whom it was done."""
        with self.database.write("control") as connection:
            held = select(Execution.id).where(Execution.id == execution_id)
            connection.execute(held.with_for_update(key_share=True))  # parents come first, whoever locks several
            done, verb = act(connection, execution_id), act.__name__.strip("_")
            if execution_id not in done:
                raise _refusal(connection, execution_id, verb)
            note(connection, f"execution.{verb}", f"execution/{execution_id}", actor=actor)
            add_events(connection, done, actor)
        self.changed(*done)
        return list(done)


def _pause(connection: Connection, execution_id: int) -> dict[int, str]:
    """A child that waits for its turn waits on: a parent that is held lets nobody start."""
    which = (Execution.id.in_(family(Execution.id == execution_id)),)
    has_turn = or_(Execution.id == execution_id, Execution.waiting_for.is_distinct_from(FOR_TURN))
    idle = update(Execution).where(*which, Execution.status.in_((Status.QUEUED, Status.WAITING)), has_turn)
    held = idle.values(status=Status.PAUSED, requested=None).returning(Execution.id)
    running = update(Execution).where(*which, Execution.status == Status.RUNNING)
    asked = running.values(requested=PAUSE).returning(Execution.id)
    # What its workflow or its schedule holds is the operator's now: neither lets it go.
    already = update(Execution).where(*which, Execution.status == Status.PAUSED)
    by_itself = case((Execution.waiting_for.in_((FOR_WORKFLOW, FOR_TURN)), None), else_=Execution.waiting_for)
    kept = already.values(waiting_for=by_itself).returning(Execution.id)
    kinds = ((kept, PAUSE_REQUESTED), (held, PAUSED), (asked, PAUSE_REQUESTED))
    return {each: kind for query, kind in kinds for each in connection.execute(query).scalars()}


def _resume(connection: Connection, execution_id: int) -> dict[int, str]:
    which = (Execution.id.in_(family(Execution.id == execution_id)),)
    values = IN_THE_QUEUE | {"rung_at": moment(0.0), "rings": 1, "requested": None, "waiting_for": None}
    paused = update(Execution).where(*which, Execution.status == Status.PAUSED).values(**values)
    asked = update(Execution).where(*which, Execution.status == Status.RUNNING, Execution.requested == PAUSE)
    queries = (asked.values(requested=None).returning(Execution.id), paused.returning(Execution.id))
    return {each: RESUMED for query in queries for each in connection.execute(query).scalars()}


def _stop(connection: Connection, execution_id: int) -> dict[int, str]:
    return dict.fromkeys(stop(connection, Execution.id == execution_id), STOPPED)


def _status(connection: Connection, execution_id: int) -> Status | None:
    found: Row[Any] | None = connection.execute(
        select(Execution.status).where(Execution.id == execution_id)
    ).one_or_none()
    return Status(found.status) if found else None


def _refusal(connection: Connection, execution_id: int, what: str) -> NotFound | NotAllowed:
    status = _status(connection, execution_id)
    if status is None:
        return NotFound("execution", execution_id)
    return NotAllowed(what, execution_id, status)
