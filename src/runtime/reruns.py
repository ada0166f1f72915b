"""New executions from earlier ones: what has ended there stands, as rows that say where they come from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, update

from src.core.errors import KeyTaken, NotAllowed, NotFound
from src.core.outcome import Context
from src.core.rerun import Ended, taken_over
from src.core.status import Mode, Status
from src.core.values import plain_object
from src.database import Database
from src.models import Execution
from src.runtime.audit import note
from src.runtime.executions import Executions, Found
from src.runtime.inheritance import Legacy, settled, take_over, take_over_children, unfinished_children
from src.runtime.queue import Priority, Queue
from src.runtime.rows import outcome_of
from src.runtime.store import NewExecution, SqlStore

RETRIED, RERUN = "execution.retried", "execution.rerun"


@dataclass(frozen=True, slots=True)
class Reruns:
    database: Database
    executions: Executions
    store: SqlStore
    queue: Queue
    queued_as: Mode
    changed: Callable[..., None] = lambda *_: None
    """Told of the executions that there are now, for those who watch."""

    def retry(self, execution_id: int, *, idempotency_key: str | None = None) -> int:
        """Run again what has failed, and what comes after it; answers the new execution. Of a node that has started
        others, those that have completed stand,
        and the others go on from what they had done.

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
        return self._start(RETRIED, found, new, None, error.get("node_id"))

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
        return self._start(RERUN, found, new.under(idempotency_key, request), from_node, from_node)

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

    def _start(
        self, action: str, found: Found, new: NewExecution, from_node: str | None, origin_node: str | None
    ) -> int:
        legacy = self._legacy(found.row, new.workflow_version, from_node)
        try:
            execution_id = self._write(action, found.row, new, origin_node, legacy)
        except KeyTaken as taken:
            return self.executions.started_by(taken)
        self.queue.ring(execution_id)
        self.changed(execution_id)
        return execution_id

    def _legacy(self, origin: Row[Any], version: int, from_node: str | None = None) -> Legacy:
        """Raises RerunRefused."""
        graph = self.executions.workflows.graph(origin.workflow_id, version, origin.subgraph)
        legacy = Legacy(origin.id, set(taken_over(graph, self._ended(origin.id), from_node)))
        return legacy if from_node else replace(legacy, children=self._unfinished_children(legacy))

    def _unfinished_children(self, legacy: Legacy) -> list[Legacy]:
        with self.database.read() as connection:
            rows = connection.execute(unfinished_children(legacy)).all()
        return [self._legacy(row, row.workflow_version) for row in rows if self._is_current(row)]

    def _is_current(self, child: Row[Any]) -> bool:
        """A called workflow that has been mended since is called anew, from its start."""
        if child.subgraph is not None:
            return True
        try:
            return bool(self.executions.workflows.pinned(child.workflow_id).version == child.workflow_version)
        except NotFound:
            return False

    def _write(self, action: str, origin: Row[Any], new: NewExecution, origin_node: str | None, legacy: Legacy) -> int:
        with self.database.write("rerun") as connection:
            execution_id = self.store.enqueue_within(connection, new, mode=self.queued_as)
            values = {"origin_id": origin.id, "origin_node_id": origin_node}
            values |= {"subgraph": origin.subgraph, "depth": origin.depth}
            connection.execute(update(Execution).where(Execution.id == execution_id).values(**values))
            take_over(connection, legacy, execution_id)
            if action == RETRIED:
                take_over_children(connection, legacy, execution_id)
            note(connection, action, f"execution/{origin.id}")
        return execution_id

    def _ended(self, execution_id: int) -> list[Ended]:
        with self.database.read() as connection:
            rows = connection.execute(settled(execution_id)).all()
        return [Ended(row.node_id, row.node_type, outcome_of(row, {})) for row in rows]
