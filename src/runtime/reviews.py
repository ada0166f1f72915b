"""The inbox of what waits for a person, and the answers. What an answer does to the run is the engine's to know."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from src.core.credentials import NO_CREDENTIALS, Credentials
from src.core.errors import AlreadyDecided, NotAllowed, NotFound, Problem, ReviewRefused
from src.core.masking import Mask
from src.core.outcome import Context, WaitFor
from src.core.review import APPROVE, REJECT, RETRY
from src.core.status import AttemptStatus, Status
from src.core.values import plain_object
from src.database import Database
from src.json_schema import problems_in
from src.models import ChainOfWork, Execution, ExecutionEvent, Review, Workflow
from src.runtime.audit import note
from src.runtime.blobs import fatten
from src.runtime.wakes import Wakes

_PENDING = (
    ChainOfWork.execution_id, ChainOfWork.node_id, ChainOfWork.node_type, ChainOfWork.attempt, ChainOfWork.details,
    ChainOfWork.output_result, ChainOfWork.error_type, ChainOfWork.error_message,
    ChainOfWork.timestamp.label("since"), ChainOfWork.wakes_at.label("due_at"),
    Execution.workflow_id, Execution.status, Workflow.name.label("workflow"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    decision: str
    comment: str | None = None
    output: Context | None = None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An attempt that waits for a person."""

    row: Row[Any]
    output: Context | None
    """What the node would have changed."""

    @property
    def decisions(self) -> list[str]:
        return (self.row.details or {}).get("decisions") or [APPROVE, REJECT, RETRY]


class Reviews:
    def __init__(
        self,
        database: Database,
        wakes: Wakes,
        *,
        max_output_bytes: int,
        credentials_of: Callable[[int | None], Credentials] = lambda _: NO_CREDENTIALS,
    ) -> None:
        self._credentials_of = credentials_of
        self._database = database
        self._wakes = wakes
        self._max_output_bytes = max_output_bytes

    def inbox(self, *, limit: int, skip: int = 0, client_id: int | None = None) -> tuple[list[Pending], int]:
        """What waits for a person (of one client), the oldest first, and how much there is in all."""
        pending = _pending() if client_id is None else _pending(Execution.client_id == client_id)
        with self._database.read() as connection:
            rows = connection.execute(pending.order_by(ChainOfWork.id).limit(limit).offset(skip)).all()
            total: int = connection.execute(select(func.count()).select_from(pending.subquery())).scalar_one()
            outputs = fatten(connection, [row.output_result for row in rows])
        return [Pending(row, output) for row, output in zip(rows, outputs, strict=True)], total

    def decide(self, execution_id: int, node_id: str, answer: Answer) -> None:
        """Record the answer, and let the run go on.

        Raises:
            NotFound: there is no such execution.
            ValueRefused: the output cannot be kept.
            NotAllowed: the execution has ended.
            AlreadyDecided: somebody was first, the time is over, or nobody had asked.
            Invalid: the decision is none of those that there are, the output not what the form asks for.
        """
        mask = self._mask(execution_id)
        answer = self._kept(answer)
        answer = replace(answer, comment=mask.value(answer.comment), output=mask.value(answer.output))
        with self._database.write("review") as connection:
            waiting = self._waiting(connection, execution_id, node_id)
            _check(waiting, answer)
            _record(connection, execution_id, node_id, waiting.row.attempt, answer)
        self._wakes.wake_if_due(execution_id)

    def _kept(self, answer: Answer) -> Answer:
        """With its output as it can be kept. Raises ValueRefused."""
        plain_object({"comment": answer.comment}, max_bytes=self._max_output_bytes)
        if answer.output is None:
            return answer
        output = plain_object(answer.output, max_bytes=self._max_output_bytes, pointer="/output")
        return replace(answer, output=output)

    def _mask(self, execution_id: int) -> Mask:
        """Of the execution's secrets. Raises NotFound."""
        query = select(Execution.client_id).where(Execution.id == execution_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("execution", execution_id)
        return self._credentials_of(row.client_id).mask

    def _waiting(self, connection: Connection, execution_id: int, node_id: str) -> Pending:
        held = select(Execution.status).where(Execution.id == execution_id).with_for_update()
        status = connection.execute(held).scalar()
        if status is None:
            raise NotFound("execution", execution_id)
        if Status(status).is_final:
            raise NotAllowed("be reviewed", execution_id, status)
        this = (ChainOfWork.execution_id == execution_id, ChainOfWork.node_id == node_id)
        row = connection.execute(_pending(*this)).one_or_none()
        if row is None or (row.due_at is not None and row.due_at <= datetime.now(UTC)):
            raise AlreadyDecided(execution_id, node_id)
        return Pending(row, None)


def _pending(*conditions: ColumnElement[bool]) -> Any:
    later = aliased(ChainOfWork)
    same = (later.execution_id == ChainOfWork.execution_id, later.node_id == ChainOfWork.node_id)
    answered = (Review.execution_id == ChainOfWork.execution_id, Review.node_id == ChainOfWork.node_id)
    return (
        select(*_PENDING)
        .join(Execution, Execution.id == ChainOfWork.execution_id)
        .join(Workflow, Workflow.id == Execution.workflow_id)
        .where(
            Execution.completed_at.is_(None),
            ChainOfWork.status == AttemptStatus.WAITING,
            ChainOfWork.waiting_for == WaitFor.REVIEW,
            ~exists().where(*same, later.attempt > ChainOfWork.attempt),
            ~exists().where(*answered, Review.attempt == ChainOfWork.attempt),
            *conditions,
        )
    )


def _check(waiting: Pending, answer: Answer) -> None:
    """Raises Invalid with every problem."""
    problems = []
    if answer.decision not in waiting.decisions:
        problems.append(Problem("/decision", f"expected one of: {', '.join(waiting.decisions)}"))
    form = (waiting.row.details or {}).get("form")
    if form and answer.decision != REJECT:
        problems += problems_in(answer.output, form, "/output")
    if problems:
        raise ReviewRefused(problems)


def _record(connection: Connection, execution_id: int, node_id: str, attempt: int, answer: Answer) -> None:
    """Raises AlreadyDecided."""
    now = datetime.now(UTC)
    values = {"decision": answer.decision, "comment": answer.comment, "output": answer.output, "actor": answer.actor}
    row = {"execution_id": execution_id, "node_id": node_id, "attempt": attempt, **values}
    try:
        connection.execute(insert(Review).values(**row, decided_at=now))
    except IntegrityError:
        raise AlreadyDecided(execution_id, node_id) from None
    told = {"node_id": node_id, "decision": answer.decision, "comment": answer.comment}
    event = {"execution_id": execution_id, "kind": "reviewed", "actor": answer.actor, "data": told}
    connection.execute(insert(ExecutionEvent).values(**event, at=now))
    note(connection, "execution.review", f"execution/{execution_id}", after=values, actor=answer.actor)
