"""The SQL store: claims, and attempts as rows. What an execution looks like from outside is in `executions.py`."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select, update

from src.core.errors import LeaseLost
from src.core.graph import Graph
from src.core.outcome import Attempt, Context, Outcome
from src.core.plan import Verdict
from src.core.slice import HandOff
from src.core.status import AttemptStatus, Mode, Status, may_become
from src.core.store import Claim
from src.database import Database
from src.models import ChainOfWork, Execution, ExecutionEvent
from src.models.columns import moment
from src.runtime.blobs import fatten, slim
from src.runtime.leases import HANDED_OFF, IN_THE_QUEUE, RECOVERED, Leases, add_event
from src.runtime.ledger import Entry, Ledger, Row
from src.runtime.queue import Priority
from src.runtime.rows import attempt_rows, blob_rows, error_columns, outcome_of, timestamp


@dataclass(frozen=True, slots=True)
class NewExecution:
    workflow_id: int
    workflow_version: int
    initial_context: Context
    client_id: int | None = None
    priority: Priority = Priority.NORMAL
    idempotency_key: str | None = None
    request_sha256: str | None = None
    """Of the request that came with the key."""


class SqlStore:
    """Keeps executions in SQLite or PostgreSQL. See `core/store.py` for what each call promises.

    Args:
        mode: how an execution runs that this process takes out of the queue.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        leases: Leases,
        load_graph: Callable[[int, int], Graph],
        *,
        mode: Mode = Mode.INLINE,
    ) -> None:
        self._mode = mode
        self._database = database
        self._ledger = ledger
        self._leases = leases
        self._load_graph = load_graph
        self._granted: dict[int, Claim] = {}
        """Claims that came with the creation of their execution, until the engine asks for them."""

    def create(self, new: NewExecution) -> int:
        """Write the execution and claim it for this process, in one commit; answers its id. Raises KeyTaken."""
        graph = self._load_graph(new.workflow_id, new.workflow_version)
        now = datetime.now(UTC)
        held = {"status": Status.RUNNING, "mode": Mode.INLINE, "lease_owner": self._leases.owner, "lease_token": 1}
        row = self._row(new, now) | held | {"started_at": timestamp(now), "rings": 0}
        execution_id = self._write_new(row, new, now)
        claim = Claim(execution_id, 1, row["task_id"], graph, new.initial_context, now)
        self._granted[execution_id] = claim
        self._leases.hold(claim)
        return execution_id

    def enqueue(self, new: NewExecution, *, mode: Mode) -> int:
        """Write the execution into the queue; answers its id. To be rung for at once. Raises KeyTaken."""
        graph = self._load_graph(new.workflow_id, new.workflow_version)
        now = datetime.now(UTC)
        waiting = {"status": Status.QUEUED, "mode": mode, "queue": graph.queue, "lease_token": 0, "rings": 1}
        return self._write_new(self._row(new, now) | waiting, new, now)

    def _row(self, new: NewExecution, now: datetime) -> Row:
        return {
            "task_id": str(uuid.uuid4()),
            "workflow_id": new.workflow_id,
            "workflow_version": new.workflow_version,
            "client_id": new.client_id,
            "priority": new.priority,
            "idempotency_key": new.idempotency_key,
            "request_sha256": new.request_sha256,
            "created_at": timestamp(now),
        }

    def _write_new(self, row: Row, new: NewExecution, now: datetime) -> int:
        row["initial_context"], blobs = slim(new.initial_context)
        return self._ledger.write(Entry("create", row["lease_token"], new=row, blobs=blob_rows(blobs, now)))

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

    def release(self, claim: Claim, hand_off: HandOff) -> None:
        mine = (Execution.id == claim.execution_id, Execution.lease_token == claim.token)
        query = update(Execution).where(*mine, Execution.status == Status.RUNNING)
        with self._database.write("release") as connection:
            freed = connection.execute(query.values(**IN_THE_QUEUE, queue=hand_off.queue, rung_at=moment(0.0), rings=1))
            if not freed.rowcount:
                raise LeaseLost(claim.execution_id)
            data = {"reason": hand_off.reason, "queue": hand_off.queue}
            add_event(connection, claim.execution_id, HANDED_OFF, self._leases.owner, claim.token, **data)

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
                    mode=self._mode,
                    started_at=func.coalesce(Execution.started_at, now),
                ).returning(*_CLAIMED)
            ).one_or_none()
            if row is None:
                return None
            history, attempts, newest_token = _history(connection, execution_id)
            initial_context = fatten(connection, [row.initial_context])[0] or {}
            interruptions = _interruptions(connection, execution_id, newest_token) if row.lease_token > 1 else 0
        return Claim(
            execution_id,
            row.lease_token,
            row.task_id,
            graph,
            initial_context,
            row.started_at,
            history,
            attempts,
            queue=row.queue,
            interruptions=interruptions,
        )


_CLAIMED = (
    Execution.lease_token, Execution.task_id, Execution.initial_context, Execution.started_at, Execution.queue
)  # fmt: skip


def _interruptions(connection: Connection, execution_id: int, newest_token: int) -> int:
    """How many runners have died since the one that wrote the last checkpoint, that one included."""
    recovered = (ExecutionEvent.execution_id == execution_id, ExecutionEvent.kind == RECOVERED)
    deaths = connection.execute(select(ExecutionEvent.data).where(*recovered)).scalars()
    return sum(data["lease_token"] >= newest_token for data in deaths if data)


def _history(connection: Connection, execution_id: int) -> tuple[list[tuple[str, Outcome]], dict[str, int], int]:
    """The outcomes of an execution in the order they were written, how many attempts each node has had, and the token
    of the last one.
    """
    chain = ChainOfWork
    rows = connection.execute(
        select(
            chain.node_id, chain.status, chain.lease_token, chain.output_result, chain.decision_result,
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
    return history, attempts, rows[-1].lease_token if rows else 0
