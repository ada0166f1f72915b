"""New executions from earlier ones: what has ended there stands, as rows that say where they come from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, update

from src.core.errors import KeyTaken, NotAllowed
from src.core.outcome import Context
from src.core.status import Mode, Status
from src.core.values import plain_object
from src.database import Database
from src.models import Execution
from src.runtime.audit import note
from src.runtime.executions import Executions, Found
from src.runtime.families import add_events, stop
from src.runtime.inheritance import Legacy, take_over, take_over_completed
from src.runtime.leases import STOPPED
from src.runtime.legacies import Legacies
from src.runtime.queue import Priority, Queue
from src.runtime.store import NewExecution, SqlStore

RETRIED, RERUN = "execution.retried", "execution.rerun"


@dataclass(frozen=True, slots=True)
class Reruns:
    database: Database
    executions: Executions
    legacies: Legacies
    store: SqlStore
    queue: Queue
    queued_as: Mode
    changed: Callable[..., None] = lambda *_: None
    """Told of the executions that there are now, for those who watch."""

    def retry(self, execution_id: int, *, idempotency_key: str | None = None) -> int:
        """Run again what has failed, and what comes after it; answers the new execution. Of what it had started, what
        has completed stands, and the rest goes on from what it had done.

        Raises:
            NotFound
            NotAllowed: it has not failed, and has not been stopped.
            KeyReused: the key came with another request.
        """
        found = self.executions.find(execution_id)
        if found.row.status not in (Status.FAILED, Status.STOPPED):
            raise NotAllowed("be retried", execution_id, found.row.status)
        request = [RETRIED, execution_id]
        earlier = self.executions.earlier(found.row.client_id, idempotency_key, request)
        if earlier is not None:
            return earlier
        error = found.row.error or {}
        new = self._order(found, found.row.workflow_version, {}).under(idempotency_key, request)
        self._end_what_is_left(execution_id)
        return self._start(RETRIED, found, new, self.legacies.of_retry(found.row), error.get("node_id"))

    def rerun(
        self,
        execution_id: int,
        from_node: str,
        *,
        latest: bool = False,
        context: Context | None = None,
        idempotency_key: str | None = None,
    ) -> int:
        """Run `from_node` again, and what comes after it; answers the new execution.

        Args:
            latest: by the graph that the workflow has now, in place of the one that it had then.
            context: laid over the initial context. What stands has not seen it.

        Raises:
            NotFound
            NotAllowed: it has not ended.
            RerunRefused: with everything that does not fit.
            ValueRefused: the context cannot be kept.
            KeyReused: the key came with another request.
        """
        found = self.executions.find(execution_id)
        if not Status(found.row.status).is_final:
            raise NotAllowed("be run again", execution_id, found.row.status)
        patch = plain_object(context or {}, max_bytes=self.executions.max_context_bytes, pointer="/context")
        request = [RERUN, execution_id, from_node, latest, patch]
        earlier = self.executions.earlier(found.row.client_id, idempotency_key, request)
        if earlier is not None:  # looked for first: what has changed since must not change the answer
            return earlier
        pinned = self.executions.workflows.pinned(found.row.workflow_id)
        new = self._order(found, pinned.version if latest else found.row.workflow_version, patch)
        legacy = self.legacies.of_rerun(found.row, new.workflow_version, from_node)
        return self._start(RERUN, found, new.under(idempotency_key, request), legacy, from_node)

    def _order(self, found: Found, version: int, patch: Context) -> NewExecution:
        origin = found.row
        return NewExecution(
            origin.workflow_id,
            version,
            {**found.initial_context, **patch},
            origin.client_id,
            Priority(origin.priority),
            is_held=self.executions.workflows.pinned(origin.workflow_id).paused_at is not None,
        )

    def _end_what_is_left(self, execution_id: int) -> None:
        """A run that has failed may have children that nobody has stopped yet: they would go on beside the new ones."""
        with self.database.write("rerun") as connection:
            stopped = stop(connection, Execution.parent_id == execution_id)
            add_events(connection, dict.fromkeys(stopped, STOPPED))
        if stopped:
            self.changed(*stopped)

    def _start(self, action: str, found: Found, new: NewExecution, legacy: Legacy, origin_node: str | None) -> int:
        try:
            execution_id = self._write(action, found.row, new, origin_node, legacy)
        except KeyTaken as taken:
            return self.executions.started_by(taken)
        self.queue.ring(execution_id)
        self.changed(execution_id)
        return execution_id

    def _write(self, action: str, origin: Row[Any], new: NewExecution, origin_node: str | None, legacy: Legacy) -> int:
        with self.database.write("rerun") as connection:
            execution_id = self.store.enqueue_within(connection, new, mode=self.queued_as)
            values = {"origin_id": origin.id, "origin_node_id": origin_node}
            values |= {"subgraph": origin.subgraph, "depth": origin.depth}
            connection.execute(update(Execution).where(Execution.id == execution_id).values(**values))
            take_over(connection, legacy, execution_id)
            if action == RETRIED:
                take_over_completed(connection, execution_id)
            note(connection, action, f"execution/{origin.id}")
        return execution_id
