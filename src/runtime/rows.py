"""Attempts as rows of `chain_of_work`, and back."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from src.core.outcome import (
    Attempt,
    Child,
    Context,
    ErrorClass,
    Failed,
    NodeError,
    Outcome,
    Succeeded,
    Usage,
    WaitFor,
    Waiting,
)
from src.core.status import AttemptStatus
from src.core.store import Claim
from src.core.values import plain_text
from src.runtime.blobs import slim
from src.runtime.ledger import Row

MAX_LOGS = 64 * 1024
MAX_MESSAGE = 8 * 1024
MAX_TYPE = 200


def outcome_of(row: Any, output: Context) -> Outcome:
    """The outcome that a row keeps."""
    if row.status == AttemptStatus.SUCCESS:
        return Succeeded(output, row.decision_result)
    error = _error(row) if row.error_type is not None else None
    if row.status in (AttemptStatus.WAITING, AttemptStatus.RETRY):
        details = row.details or {}
        return Waiting(WaitFor(row.waiting_for), row.wakes_at, details, error, output, branch=row.decision_result)
    assert error is not None, "an attempt that failed has an error"
    return Failed(error)


def _error(row: Any) -> NodeError:
    return NodeError(row.error_type, row.error_message, ErrorClass(row.error_class), row.error_traceback or "")


def attempt_rows(claim: Claim, attempts: Iterable[Attempt]) -> tuple[list[Row], list[Row]]:
    """The rows of the attempts, and of the blobs that they name."""
    blobs: list[Row] = []
    return [_attempt_row(claim, attempt, blobs) for attempt in attempts], blobs


def child_rows(claim: Claim, attempts: Iterable[Attempt]) -> tuple[list[Row], list[Row]]:
    """The rows of the executions that the attempts start, and of the blobs that they name."""
    rows: list[Row] = []
    blobs: list[Row] = []
    for attempt in attempts:
        if not isinstance(attempt.outcome, Waiting):
            continue
        for place, child in enumerate(attempt.outcome.children, attempt.outcome.details.get("first_item", 0)):
            context, found = slim(child.context)
            blobs += blob_rows(found, attempt.ended_at)
            rows.append(_child_row(claim, attempt, place, child) | {"initial_context": context})
    return rows, blobs


def _child_row(claim: Claim, attempt: Attempt, place: int, child: Child) -> Row:
    is_inner = child.workflow_id is None
    return {
        "task_id": str(uuid.uuid4()),
        "workflow_id": child.workflow_id,
        "workflow_version": child.version,
        "queue": child.queue or (claim.graph.policy.queue if is_inner else None),
        "created_at": timestamp(attempt.ended_at),
        "parent_id": claim.execution_id,
        "parent_node_id": attempt.node_id,
        "parent_item": place,
        "lease_token": claim.token,
    }


def error_columns(error: NodeError) -> Row:
    """type, class, message and traceback, as any database keeps them."""
    return {
        "type": plain_text(error.type, max_length=MAX_TYPE),
        "class": error.error_class,
        "message": plain_text(error.message, max_length=MAX_MESSAGE),
        "traceback": plain_text(error.traceback, max_length=MAX_MESSAGE) or None,
    }


def blob_rows(found: dict[str, str], now: datetime) -> list[Row]:
    return [{"sha256": key, "content": content, "created_at": timestamp(now)} for key, content in found.items()]


def timestamp(at: datetime) -> str:
    """UTC, in the one form that both databases read."""
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(" ", "microseconds")[:26]


def _attempt_row(claim: Claim, attempt: Attempt, blobs: list[Row]) -> Row:
    outcome = attempt.outcome
    row: Row = {
        "execution_id": claim.execution_id,
        "lease_token": claim.token,
        "node_id": attempt.node_id,
        "node_type": attempt.node_type,
        "attempt": attempt.number,
        "execution_time": round(attempt.execution_time, 6),
        "started_at": timestamp(attempt.started_at),
        "timestamp": timestamp(attempt.ended_at),
    }
    if outcome.usage:
        row |= _usage(outcome.usage)
    if outcome.logs:
        row["logs"] = plain_text(outcome.logs, max_length=MAX_LOGS)
    match outcome:
        case Succeeded():
            row["status"] = AttemptStatus.SUCCESS
            row["output_result"], found = slim(outcome.output)
            blobs += blob_rows(found, attempt.ended_at)
            if outcome.branch is not None:
                row |= _choice(outcome.branch, claim.graph.branches[attempt.node_id])
        case Failed(error=error):
            row["status"] = AttemptStatus.FAILED
            row |= _why(error)
        case Waiting():
            row |= _wait(outcome)
            row["output_result"], found = slim(outcome.output) if outcome.output else (None, {})
            blobs += blob_rows(found, attempt.ended_at)
    return row


def _why(error: NodeError) -> Row:
    return {f"error_{name}": value for name, value in error_columns(error).items()}


def _wait(waiting: Waiting) -> Row:
    row: Row = {
        "status": AttemptStatus.RETRY if waiting.reason is WaitFor.RETRY else AttemptStatus.WAITING,
        "waiting_for": waiting.reason,
        "wakes_at": timestamp(waiting.until) if waiting.until else None,
        "details": waiting.details or None,
        "decision_result": waiting.branch,
    }
    return row | (_why(waiting.error) if waiting.error else {})


def _usage(usage: Usage) -> Row:
    row: Row = {"usage": usage.spent} if usage.spent else {}
    if usage.level is not None:
        cpu_seconds = round(usage.cpu_seconds, 6)
        row |= {"sandbox_level": usage.level, "cpu_seconds": cpu_seconds, "max_rss_kb": usage.max_rss_kb}
    return row


def _choice(branch: str, branches: frozenset[str | None]) -> Row:
    return {"decision_result": branch, "path_taken": branch if branch in branches else "default"}
