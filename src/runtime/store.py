"""The SQL store: claims, and attempts as rows. What an execution looks like from outside is in `executions.py`."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from src.core.graph import Graph
from src.core.outcome import Attempt, Context, ErrorClass, Failed, NodeError, Outcome, Succeeded, Waiting
from src.core.plan import Verdict
from src.core.status import AttemptStatus, Status, may_become
from src.core.store import Claim
from src.core.values import plain_text
from src.database import Database
from src.models import ChainOfWork, Execution, ExecutionEvent
from src.models.columns import moment
from src.runtime.blobs import fatten, slim
from src.runtime.leases import Leases
from src.runtime.ledger import Entry, Ledger, Row

MAX_LOGS = 64 * 1024
MAX_MESSAGE = 8 * 1024


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
            "created_at": _timestamp(now),
            "started_at": _timestamp(now),
        }
        execution_id = self._ledger.write(Entry("create", 1, new=row, blobs=_blob_rows(blobs, now)))
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
        rows, blobs = _attempt_rows(claim, attempts)
        self._ledger.write(Entry("checkpoint", claim.token, claim.execution_id, attempts=rows, blobs=blobs))

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        rows, blobs = _attempt_rows(claim, attempts)
        settlement: Row = {"id": claim.execution_id, "lease_token": claim.token, "status": verdict.status}
        if verdict.status.is_final:
            now = datetime.now(UTC)
            settlement["result"], big = slim(verdict.result)
            settlement["error"] = _error(verdict)
            settlement["completed_at"] = _timestamp(now)
            settlement["execution_time"] = (now - claim.started_at).total_seconds()
            blobs += _blob_rows(big, now)
        self._ledger.write(Entry("settle", claim.token, claim.execution_id, None, rows, settlement, blobs))

    def release(self, claim: Claim) -> None:
        mine = (Execution.id == claim.execution_id, Execution.lease_token == claim.token)
        query = update(Execution).where(*mine, Execution.status.in_(may_become(Status.QUEUED)))
        with self._database.write() as connection:
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
        with self._database.write() as connection:
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


def outcome_of(row: Any, output: Context) -> Outcome:
    """The outcome that a row of `chain_of_work` keeps."""
    if row.status == AttemptStatus.SUCCESS:
        return Succeeded(output, row.decision_result)
    error = NodeError(row.error_type, row.error_message, ErrorClass(row.error_class), row.error_traceback or "")
    return Failed(error)


def _attempt_rows(claim: Claim, attempts: Iterable[Attempt]) -> tuple[list[Row], list[Row]]:
    blobs: list[Row] = []
    return [_attempt_row(claim, attempt, blobs) for attempt in attempts], blobs


def _attempt_row(claim: Claim, attempt: Attempt, blobs: list[Row]) -> Row:
    outcome = attempt.outcome
    row: Row = {
        "execution_id": claim.execution_id,
        "lease_token": claim.token,
        "node_id": attempt.node_id,
        "node_type": attempt.node_type,
        "attempt": attempt.number,
        "execution_time": round(attempt.execution_time, 6),
        "started_at": _timestamp(attempt.started_at),
        "timestamp": _timestamp(attempt.ended_at),
    }
    if outcome.logs:
        row["logs"] = plain_text(outcome.logs, max_length=MAX_LOGS)
    match outcome:
        case Succeeded():
            row["status"] = AttemptStatus.SUCCESS
            row["output_result"], found = slim(outcome.output)
            row["decision_result"] = outcome.branch
            if outcome.branch is not None:
                has_edge = outcome.branch in claim.graph.branches[attempt.node_id]
                row["path_taken"] = outcome.branch if has_edge else "default"
            blobs += _blob_rows(found, attempt.ended_at)
        case Failed(error=error):
            row["status"] = AttemptStatus.FAILED
            row["error_type"] = plain_text(error.type, max_length=200)
            row["error_class"] = error.error_class
            row["error_message"] = plain_text(error.message, max_length=MAX_MESSAGE)
            row["error_traceback"] = plain_text(error.traceback, max_length=MAX_MESSAGE) or None
        case Waiting():
            row["status"] = AttemptStatus.WAITING
    return row


def _error(verdict: Verdict) -> Row | None:
    if verdict.error is None:
        return None
    return {
        "type": plain_text(verdict.error.type, max_length=200),
        "class": verdict.error.error_class,
        "node_id": verdict.node_id,
        "message": plain_text(verdict.error.message, max_length=MAX_MESSAGE),
        "traceback": plain_text(verdict.error.traceback, max_length=MAX_MESSAGE) or None,
    }


def _blob_rows(found: dict[str, str], now: datetime) -> list[Row]:
    return [{"sha256": key, "content": content, "created_at": _timestamp(now)} for key, content in found.items()]


def _timestamp(at: datetime) -> str:
    """UTC, in the one form that both databases read."""
    return at.isoformat(" ", "microseconds")[:26]
