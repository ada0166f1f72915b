"""Rows of an earlier execution in a new one: of nodes that need not run again, and of what its children have done."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Select,
    SQLColumnExpression,
    exists,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.orm import aliased

from src.core.status import AttemptStatus, Status
from src.database import pieces
from src.models import Base, ChainOfWork, Execution
from src.models.columns import new_uuid
from src.runtime.audit import asked
from src.runtime.families import family
from src.runtime.queue import FOR_TURN

SETTLED = (AttemptStatus.SUCCESS, AttemptStatus.FAILED)
NOT_TAKEN_OVER = ("id", "execution_id", "lease_token", "attempt", "origin_attempt_id", "usage", "cpu_seconds", "seal")
"""Columns of an attempt that are another's in the new execution, or would be counted twice."""
OF_A_CHILD = (
    Execution.workflow_id, Execution.workflow_version, Execution.client_id, Execution.subgraph, Execution.depth,
    Execution.mode, Execution.queue, Execution.priority, Execution.initial_context,
    Execution.parent_node_id, Execution.parent_item,
)  # fmt: skip
"""What a child has of the one it stands for, or goes on from."""
BY_ITEM = ("map", "workflow")
"""Kinds that start the same children again, in the same places, where they see the same context."""


Legacy = Sequence[Mapping[int, Sequence[int]]]
"""What of an execution stands in a new one, by level: itself, those of its children that have not completed and go on,
those of theirs, and so on. Of each, by its id, the ids of the attempts that stand.
"""


def take_over(connection: Connection, legacy: Legacy, execution_id: int) -> None:
    """What stands of the origin of `execution_id`, and of those below it that go on: as new children that wait for
    their turn. Each attempt becomes the first one of its node, written under no claim.
    """
    head, *below = legacy
    _take_over_attempts(connection, head, execution_id)
    for level in below:
        for ids in pieces(list(level)):
            _go_on(connection, ids, execution_id)
        _take_over_attempts(connection, level, execution_id)


def take_over_completed(connection: Connection, execution_id: int) -> None:
    """What has completed below the nodes that run again, as children that are there when they do: a child is started
    where there is none. They have no times of their own: they did not run.
    """
    new = aliased(Execution)
    own = _own_of_a_child(new.id, status=Status.COMPLETED, completed_at=datetime.now(UTC))
    rows = select(Execution.id.label("origin_id"), *OF_A_CHILD, Execution.result, *own)
    rows = rows.join(new, new.origin_id == Execution.parent_id).where(new.id.in_(_unfinished(execution_id)))
    completed = rows.where(Execution.status == Status.COMPLETED, *_is_started_again(new.id))
    _copy(connection, Execution, completed.order_by(new.id, Execution.parent_item))
    attempts = _as_first_attempts(new.id).join(new, new.origin_id == ChainOfWork.execution_id)
    its = (new.parent_id.in_(_unfinished(execution_id)), new.status == Status.COMPLETED)
    _copy(connection, ChainOfWork, attempts.where(*its, ChainOfWork.status.in_(SETTLED)))


def _take_over_attempts(connection: Connection, level: Mapping[int, Sequence[int]], execution_id: int) -> None:
    new = aliased(Execution)
    rows = _as_first_attempts(new.id).join(new, new.origin_id == ChainOfWork.execution_id)
    rows = rows.where(new.id.in_(_unfinished(execution_id)))
    for ids in pieces([each for attempts in level.values() for each in attempts]):
        _copy(connection, ChainOfWork, rows.where(ChainOfWork.id.in_(ids)))


def _go_on(connection: Connection, ids: Sequence[int], execution_id: int) -> None:
    new = aliased(Execution)
    own = _own_of_a_child(new.id, status=Status.WAITING, waiting_for=FOR_TURN)
    rows = select(Execution.id.label("origin_id"), *OF_A_CHILD, *own).where(Execution.id.in_(ids))
    rows = rows.join(new, new.origin_id == Execution.parent_id).where(new.id.in_(_unfinished(execution_id)))
    _copy(connection, Execution, rows.order_by(new.id, Execution.parent_item))


def _unfinished(execution_id: int) -> Select[tuple[int]]:
    """It, and what goes on below it."""
    return family(Execution.id == execution_id)


def _is_started_again(parent_id: SQLColumnExpression[int]) -> tuple[ColumnElement[bool], ...]:
    """A child of a node that starts the same ones again, and has no result in the new parent."""
    same_node = ChainOfWork.node_id == Execution.parent_node_id
    was = exists().where(ChainOfWork.execution_id == Execution.parent_id, same_node, ChainOfWork.node_type.in_(BY_ITEM))
    stands = exists().where(ChainOfWork.execution_id == parent_id, same_node, ChainOfWork.status.in_(SETTLED))
    return was, ~stands


def _own_of_a_child(parent_id: SQLColumnExpression[int], **values: object) -> list[Label[Any]]:
    values |= {"created_at": datetime.now(UTC), **asked()._asdict()}
    columns = Execution.__table__.columns
    own = [literal(value, columns[name].type).label(name) for name, value in values.items()]
    return [*own, parent_id.label("parent_id"), new_uuid().label("task_id")]


def _as_first_attempts(execution_id: SQLColumnExpression[int]) -> Select[Any]:
    own: tuple[Any, ...] = (
        execution_id.label("execution_id"),
        literal(0).label("lease_token"),
        literal(1).label("attempt"),
        func.coalesce(ChainOfWork.origin_attempt_id, ChainOfWork.id).label("origin_attempt_id"),
    )
    columns = [column for column in ChainOfWork.__table__.columns if column.name not in NOT_TAKEN_OVER]
    return select(*own, *columns).select_from(ChainOfWork).order_by(ChainOfWork.id)


def _copy(connection: Connection, to: type[Base], rows: Select[Any]) -> None:
    connection.execute(insert(to).from_select([column.name for column in rows.selected_columns], rows))
