"""Rows of an earlier execution in a new one: of nodes that need not run again, and of children that have completed."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Label, Select, SQLColumnExpression, func, insert, literal, select

from src.core.status import AttemptStatus, Status
from src.models import Base, ChainOfWork, Execution
from src.models.columns import new_uuid
from src.runtime.audit import asked

SETTLED = (AttemptStatus.SUCCESS, AttemptStatus.FAILED)
NOT_TAKEN_OVER = ("id", "execution_id", "lease_token", "attempt", "origin_attempt_id", "usage", "cpu_seconds", "seal")
"""Columns of an attempt that are another's in the new execution, or would be counted twice."""
OF_A_CHILD = (
    Execution.workflow_id, Execution.workflow_version, Execution.client_id, Execution.subgraph, Execution.depth,
    Execution.mode, Execution.queue, Execution.priority, Execution.initial_context, Execution.result,
    Execution.parent_node_id, Execution.parent_item,
)  # fmt: skip
"""What a child that stands has of the one it stands for. It has no times of its own: it did not run."""
BY_ITEM = ("map", "workflow")
"""Kinds that start the same children again, in the same places, where they see the same context."""


def settled(execution_id: int) -> Select[Any]:
    which = (ChainOfWork.execution_id == execution_id, ChainOfWork.status.in_(SETTLED))
    return select(*ChainOfWork.__table__.columns).where(*which).order_by(ChainOfWork.id)


def take_over(connection: Connection, origin_id: int, execution_id: int, standing: Collection[str]) -> None:
    """Each row as the first attempt of its node, written under no claim."""
    ids = [row.id for row in connection.execute(settled(origin_id)) if row.node_id in standing]
    if ids:
        _copy(connection, ChainOfWork, _as_first_attempts(literal(execution_id)).where(ChainOfWork.id.in_(ids)))


def take_over_children(connection: Connection, origin_id: int, execution_id: int, standing: Collection[str]) -> None:
    """What has completed below the nodes that run again, as children that are there when they do: a child is started
    where there is none.
    """
    again = select(ChainOfWork.node_id).where(
        ChainOfWork.execution_id == origin_id,
        ChainOfWork.node_type.in_(BY_ITEM),
        ChainOfWork.node_id.not_in(standing),
    )
    completed = select(Execution.id.label("origin_id"), *OF_A_CHILD, *_own_of_a_child(execution_id)).where(
        Execution.parent_id == origin_id,
        Execution.parent_node_id.in_(again),
        Execution.status == Status.COMPLETED,
    )
    _copy(connection, Execution, completed.order_by(Execution.parent_item))
    children = (Execution.parent_id == execution_id, ChainOfWork.status.in_(SETTLED))
    its = Execution.origin_id == ChainOfWork.execution_id
    _copy(connection, ChainOfWork, _as_first_attempts(Execution.id).join(Execution, its).where(*children))


def _own_of_a_child(parent_id: int) -> list[Label[Any]]:
    values = {"parent_id": parent_id, "status": Status.COMPLETED, **asked()._asdict()}
    values |= dict.fromkeys(("created_at", "completed_at"), datetime.now(UTC))
    columns = Execution.__table__.columns
    own = [literal(value, columns[name].type).label(name) for name, value in values.items()]
    return [*own, new_uuid().label("task_id")]


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
