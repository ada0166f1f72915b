"""The SQL store: claims, and attempts as rows. What an execution looks like from outside is in `executions.py`."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, select, update

from src.core.graph import Graph
from src.core.outcome import Attempt, Context, Outcome
from src.core.plan import Verdict
from src.core.status import AttemptStatus, Status, may_become
from src.core.store import Claim
from src.database import Database
from src.models import ChainOfWork, Execution, ExecutionEvent
from src.models.columns import moment
from src.runtime.blobs import fatten, slim
from src.runtime.leases import Leases
from src.runtime.ledger import Entry, Ledger, Row
from src.runtime.rows import attempt_rows, blob_rows, error_columns, outcome_of, timestamp


@dataclass(frozen=True, slots=True)
class NewExecution:
    workflow_id: int
    workflow_version: int
    initial_context: Context
    mode: str
    client_id: int | None = None


class SqlStore:
    """Keeps executions in SQLite or PostgreSQL. See `core/store.py` for what each call promises."""

    def __init__(
        self, database: Database, ledger: Ledger, leases: Leases, load_graph: Callable[[int, int], Graph]
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._leases = leases
        self._load_graph = load_graph
        self._granted: dict[int, Claim] = {}
        """Claims that came with the creation of their execution, until the engine asks for them."""

    def create(self, new: NewExecution) -> int:
        """Write the execution and claim it for this process, in one commit; answers its id."""
        graph = self._load_graph(new.workflow_id, new.workflow_version)
        now, task_id = datetime.now(UTC), str(uuid.uuid4())
        context, blobs = slim(new.initial_context)
        row: Row = {
            "task_id": task_id,
            "workflow_id": new.workflow_id,
            "workflow_version": new.workflow_version,
            "client_id": new.client_id,
            "status": Status.RUNNING,
            "mode": new.mode,
            "initial_context": context,
            "lease_owner": self._leases.owner,
            "lease_token": 1,
            "created_at": timestamp(now),
            "started_at": timestamp(now),
        }
        execution_id = self._ledger.write(Entry("create", 1, new=row, blobs=blob_rows(blobs, now)))
        claim = Claim(execution_id, 1, task_id, graph, new.initial_context, now)
        self._granted[execution_id] = claim
        self._leases.hold(claim)
        return execution_id

    def claim(self, execution_id: int) -> Claim | None:
        granted = self._granted.pop(execution_id, None)
        if granted is not None:
            return granted
        with self._database.read() as connection:
            pinned = connection.execute(
                select(Execution.workflow_id, Execution.workflow_version).where(Execution.id == execution_id)
            ).one_or_none()
        if pinned is None:
            return None
        graph = self._load_graph(*pinned)  # before the claim: a graph that cannot be built must not hold a lease
        claim = self._take(execution_id, graph)
        if claim is not None:
            self._leases.hold(claim)
        return claim

    def checkpoint(self, claim: Claim, attempts: Sequence[Attempt]) -> None:
        rows, blobs = attempt_rows(claim, attempts)
        self._ledger.write(Entry("checkpoint", claim.token, claim.execution_id, attempts=rows, blobs=blobs))

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        rows, blobs = attempt_rows(claim, attempts)
        settlement: Row = {"id": claim.execution_id, "lease_token": claim.token, "status": verdict.status}
        if verdict.status.is_final:
            now = datetime.now(UTC)
            settlement["result"], big = slim(verdict.result)
            if verdict.error:
                settlement["error"] = {**error_columns(verdict.error), "node_id": verdict.node_id}
            settlement["completed_at"] = timestamp(now)
            settlement["execution_time"] = (now - claim.started_at).total_seconds()
            blobs += blob_rows(big, now)
        self._ledger.write(Entry("settle", claim.token, claim.execution_id, None, rows, settlement, blobs))

    def release(self, claim: Claim) -> None:
        mine = (Execution.id == claim.execution_id, Execution.lease_token == claim.token)
        query = update(Execution).where(*mine, Execution.status == Status.RUNNING)
        with self._database.write("release") as connection:
            freed = connection.execute(query.values(status=Status.QUEUED, lease_owner=None, lease_until=None))
            if freed.rowcount:
                data = {"owner": self._leases.owner, "lease_token": claim.token}
                event = {"execution_id": claim.execution_id, "kind": "handed_off", "data": data}
                connection.execute(insert(ExecutionEvent).values(**event, at=datetime.now(UTC)))

    def forget(self, claim: Claim) -> None:
        self._leases.forget(claim)

    def _take(self, execution_id: int, graph: Graph) -> Claim | None:
        """One conditional update: of all who try, one wins."""
        query = update(Execution).where(Execution.id == execution_id, Execution.status.in_(may_become(Status.RUNNING)))
        now = datetime.now(UTC)
        with self._database.write("claim") as connection:
            row = connection.execute(
                query.values(
                    status=Status.RUNNING,
                    lease_token=Execution.lease_token + 1,
                    lease_owner=self._leases.owner,
                    lease_until=moment(self._leases.seconds),
                    started_at=func.coalesce(Execution.started_at, now),
                ).returning(Execution.lease_token, Execution.task_id, Execution.initial_context, Execution.started_at)
            ).one_or_none()
            if row is None:
                return None
            history, attempts = _history(connection, execution_id)
            initial_context = fatten(connection, [row.initial_context])[0] or {}
        return Claim(
            execution_id, row.lease_token, row.task_id, graph, initial_context, row.started_at, history, attempts
        )


def _history(connection: Connection, execution_id: int) -> tuple[list[tuple[str, Outcome]], dict[str, int]]:
    """The outcomes of an execution in the order they were written, and how many attempts each node has had."""
    chain = ChainOfWork
    rows = connection.execute(
        select(
            chain.node_id, chain.status, chain.output_result, chain.decision_result,
            chain.error_type, chain.error_class, chain.error_message, chain.error_traceback,
        )
        .where(chain.execution_id == execution_id)
        .order_by(chain.id)
    ).all()  # fmt: skip
    outputs = fatten(connection, [row.output_result for row in rows])
    attempts: dict[str, int] = {}
    for row in rows:
        attempts[row.node_id] = attempts.get(row.node_id, 0) + 1
    settled = (AttemptStatus.SUCCESS, AttemptStatus.FAILED)
    history = [
        (row.node_id, outcome_of(row, output or {}))
        for row, output in zip(rows, outputs, strict=True)
        if row.status in settled
    ]
    return history, attempts
