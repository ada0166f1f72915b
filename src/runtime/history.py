"""What a claim carries along: the attempts so far, what has come of those that wait, and how many runners have died."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from src.core.outcome import Json, Outcome, WaitFor, Waiting
from src.core.status import Status
from src.models import ChainOfWork, Execution, ExecutionEvent, Review
from src.runtime.blobs import fatten
from src.runtime.leases import RECOVERED
from src.runtime.rows import outcome_of

_ATTEMPT = (
    ChainOfWork.node_id, ChainOfWork.attempt, ChainOfWork.status, ChainOfWork.lease_token,
    ChainOfWork.output_result, ChainOfWork.decision_result,
    ChainOfWork.error_type, ChainOfWork.error_class, ChainOfWork.error_message, ChainOfWork.error_traceback,
    ChainOfWork.waiting_for, ChainOfWork.wakes_at, ChainOfWork.details, ChainOfWork.seal,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    outcomes: Sequence[tuple[str, Outcome]]
    """In the order they were written."""
    attempts: dict[str, int]
    """How many each node has had."""
    newest_token: int
    """Of the runner that wrote the last attempt."""
    last_seal: str | None = None


def past_of(connection: Connection, execution_id: int) -> Past:
    query = select(*_ATTEMPT).where(ChainOfWork.execution_id == execution_id).order_by(ChainOfWork.id)
    rows = connection.execute(query).all()
    outputs = fatten(connection, [row.output_result for row in rows])
    outcomes = [(row.node_id, outcome_of(row, output or {})) for row, output in zip(rows, outputs, strict=True)]
    attempts = dict(Counter(row.node_id for row in rows))
    return Past(outcomes, attempts, rows[-1].lease_token, rows[-1].seal) if rows else Past((), {}, 0)


def answers_to(connection: Connection, execution_id: int, past: Past) -> dict[str, Json]:
    """What has come of the waits that are over, by node."""
    last = dict(past.outcomes)
    waiting = {node_id: outcome.reason for node_id, outcome in last.items() if isinstance(outcome, Waiting)}
    reviewed = [node_id for node_id, reason in waiting.items() if reason is WaitFor.REVIEW]
    parents = [node_id for node_id, reason in waiting.items() if reason is WaitFor.CHILD]
    answers = _decisions(connection, execution_id, {node_id: past.attempts[node_id] for node_id in reviewed})
    return answers | _ends_of_children(connection, execution_id, parents)


def interruptions_since(connection: Connection, execution_id: int, past: Past) -> int:
    """How many runners have died since the one that wrote the last attempt, that one included."""
    recovered = (ExecutionEvent.execution_id == execution_id, ExecutionEvent.kind == RECOVERED)
    deaths = connection.execute(select(ExecutionEvent.data).where(*recovered)).scalars()
    return sum(data["lease_token"] >= past.newest_token for data in deaths if data)


def _decisions(connection: Connection, execution_id: int, attempts: dict[str, int]) -> dict[str, Json]:
    if not attempts:
        return {}
    pairs = [and_(Review.node_id == node_id, Review.attempt == attempt) for node_id, attempt in attempts.items()]
    query = select(Review.node_id, Review.decision, Review.comment, Review.output, Review.actor)
    rows = connection.execute(query.where(Review.execution_id == execution_id, or_(*pairs)))
    return {node_id: _named(("decision", "comment", "output", "actor"), rest) for node_id, *rest in rows}


def _ends_of_children(connection: Connection, execution_id: int, node_ids: list[str]) -> dict[str, Json]:
    """For each node whose children have all ended: how, in the order of the items."""
    if not node_ids:
        return {}
    children = (Execution.parent_id == execution_id, Execution.parent_node_id.in_(node_ids))
    query = select(Execution.parent_node_id, Execution.id, Execution.status, Execution.result, Execution.error)
    ends: dict[str, list[Json]] = {}
    for row in connection.execute(query.where(*children).order_by(Execution.parent_item)).all():
        [result] = fatten(connection, [row.result])
        end = {"id": row.id, "status": row.status, "result": result, "error": row.error}
        ends.setdefault(row.parent_node_id, []).append(end)
    return {node_id: ended for node_id, ended in ends.items() if all(Status(e["status"]).is_final for e in ended)}


def _named(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))
