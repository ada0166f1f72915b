"""An operator takes a run in hand: hold it, let it go on, end it. Obeyed at the next node boundary; a stop, at once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from src.core.errors import NotAllowed, NotFound
from src.core.status import PAUSE, Status, may_become
from src.database import Database
from src.models import Execution, ExecutionEvent, Workflow
from src.models.columns import moment, seconds_since
from src.runtime.audit import note
from src.runtime.leases import IN_THE_QUEUE, PAUSED, STOPPED
from src.runtime.queue import FOR_WORKFLOW, Queue


@dataclass(frozen=True, slots=True)
class Control:
    database: Database
    queue: Queue
    lose: Callable[[int], None]
    """Ends what this process itself does for an execution."""
    changed: Callable[..., None] = lambda *_: None
    """Told of the executions that have changed, for those who watch."""

    def pause(self, execution_id: int, *, actor: str | None = None) -> None:
        """Hold an execution, and those it has started. Raises NotFound, NotAllowed where it has ended."""
        self._to_family(execution_id, self._pause_one, actor)

    def resume(self, execution_id: int, *, actor: str | None = None) -> None:
        """Let an execution go on that is held or is about to be. Raises NotFound, NotAllowed where it is neither."""
        resumed = self._to_family(execution_id, self._resume_one, actor)
        self.queue.ring(*resumed)

    def stop(self, execution_id: int, *, actor: str | None = None) -> None:
        """End an execution, and those it has started, whatever any runner says later. Raises NotFound, NotAllowed."""
        for stopped in self._to_family(execution_id, self._stop_one, actor):
            self.lose(stopped)

    def pause_workflow(self, workflow_id: int) -> None:
        """Hold new runs of a workflow back. Raises NotFound."""
        self._mark(workflow_id, paused_at=datetime.now(UTC))

    def resume_workflow(self, workflow_id: int) -> None:
        """Let the runs go that were held back. Raises NotFound."""
        self._mark(workflow_id, paused_at=None)
        held = (Execution.workflow_id == workflow_id, Execution.waiting_for == FOR_WORKFLOW)
        free = update(Execution).where(*held, Execution.status == Status.PAUSED)
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
        self, execution_id: int, act: Callable[[Connection, int], str | None], actor: str | None
    ) -> list[int]:
        """Do it to an execution, and to its children as far as that makes sense; answers to whom it was done."""
        with self.database.write("control") as connection:
            kind = act(connection, execution_id)
            if kind is None:
                raise _refusal(connection, execution_id, _verb(act))
            note(connection, f"execution.{_verb(act)}", f"execution/{execution_id}", actor=actor)
            done = [(execution_id, kind)]
            for child in _unfinished_descendants(connection, execution_id):
                if kind := act(connection, child):
                    done.append((child, kind))
            at = datetime.now(UTC)
            connection.execute(
                insert(ExecutionEvent),
                [{"execution_id": each, "kind": kind, "actor": actor, "at": at} for each, kind in done],
            )
        changed = [each for each, _ in done]
        self.changed(*changed)
        return changed

    def _pause_one(self, connection: Connection, execution_id: int) -> str | None:
        one = update(Execution).where(Execution.id == execution_id)
        held = one.where(Execution.status.in_((Status.QUEUED, Status.WAITING)))
        if connection.execute(held.values(status=Status.PAUSED, requested=None)).rowcount:
            return PAUSED
        asked = connection.execute(one.where(Execution.status == Status.RUNNING).values(requested=PAUSE)).rowcount
        if asked or _status(connection, execution_id) is Status.PAUSED:
            return "pause_requested"
        return None

    def _resume_one(self, connection: Connection, execution_id: int) -> str | None:
        one = update(Execution).where(Execution.id == execution_id)
        values = IN_THE_QUEUE | {"rung_at": moment(0.0), "rings": 1, "requested": None, "waiting_for": None}
        if connection.execute(one.where(Execution.status == Status.PAUSED).values(**values)).rowcount:
            return "resumed"
        asked = one.where(Execution.status == Status.RUNNING, Execution.requested == PAUSE)
        return "resumed" if connection.execute(asked.values(requested=None)).rowcount else None

    def _stop_one(self, connection: Connection, execution_id: int) -> str | None:
        can = (Execution.id == execution_id, Execution.status.in_(may_become(Status.STOPPED)))
        values: dict[str, Any] = {
            "status": Status.STOPPED,
            "lease_token": Execution.lease_token + 1,  # the fence: whoever runs it writes nothing any more
            "lease_owner": None,
            "lease_until": None,
            "waiting_for": None,
            "requested": None,
            "completed_at": moment(0.0),
            "execution_time": seconds_since(Execution.started_at),
        }
        return STOPPED if connection.execute(update(Execution).where(*can).values(**values)).rowcount else None


def _unfinished_descendants(connection: Connection, execution_id: int) -> list[int]:
    found: list[int] = []
    parents = [execution_id]
    while parents:
        children = select(Execution.id).where(Execution.parent_id.in_(parents), Execution.completed_at.is_(None))
        parents = list(connection.execute(children).scalars())
        found += parents
    return found


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


def _verb(act: Callable[[Connection, int], str | None]) -> str:
    return act.__name__.strip("_").removesuffix("_one")
