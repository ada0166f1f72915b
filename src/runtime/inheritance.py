"""Rows of an earlier execution in a new one: of nodes that need not run again, and of what its children have done."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Select,
    SQLColumnExpression,
    and_,
    exists,
    func,
    insert,
    literal,
    select,
)

from src.core.status import AttemptStatus, Status
from src.models import Base, ChainOfWork, Execution
from src.models.columns import new_uuid
from src.runtime.audit import asked
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


@dataclass(frozen=True, slots=True)
class Legacy:
    """What of an earlier execution stands in a new one."""

    origin_id: int
    standing: Collection[str]
    """The nodes that do not run again."""
    children: "Sequence[Legacy]" = ()
    """Of those below the other nodes that have not completed: what they had done by then."""


def settled(execution_id: int) -> Select[Any]:
    which = (ChainOfWork.execution_id == execution_id, ChainOfWork.status.in_(SETTLED))
    return select(*ChainOfWork.__table__.columns).where(*which).order_by(ChainOfWork.id)


def unfinished_children(legacy: Legacy) -> "Select[*tuple[Any, ...]]":
    """Those that did not complete, and had done something that can stand."""
    columns = (Execution.id, Execution.workflow_id, Execution.workflow_version, Execution.subgraph)
    has_done = exists().where(ChainOfWork.execution_id == Execution.id, ChainOfWork.status == AttemptStatus.SUCCESS)
    ended = Execution.status.in_((Status.FAILED, Status.STOPPED))
    return select(*columns).where(_is_below_again(legacy), ended, has_done).order_by(Execution.parent_item)


def take_over(connection: Connection, legacy: Legacy, execution_id: int) -> None:
    """Each row as the first attempt of its node, written under no claim."""
    ids = [row.id for row in connection.execute(settled(legacy.origin_id)) if row.node_id in legacy.standing]
    if ids:
        _copy(connection, ChainOfWork, _as_first_attempts(literal(execution_id)).where(ChainOfWork.id.in_(ids)))


def take_over_children(connection: Connection, legacy: Legacy, execution_id: int) -> None:
    """As children that are there when the nodes run again that start them: a child is started where there is none."""
    _take_over_completed(connection, legacy, execution_id)
    for child in legacy.children:
        child_id = _go_on(connection, child, execution_id)
        take_over(connection, child, child_id)
        take_over_children(connection, child, child_id)


def _take_over_completed(connection: Connection, legacy: Legacy, execution_id: int) -> None:
    """They have no times of their own: they did not run."""
    own = _own_of_a_child(execution_id, status=Status.COMPLETED, completed_at=datetime.now(UTC))
    completed = select(Execution.id.label("origin_id"), *OF_A_CHILD, Execution.result, *own)
    completed = completed.where(_is_below_again(legacy), Execution.status == Status.COMPLETED)
    _copy(connection, Execution, completed.order_by(Execution.parent_item))
    children = (Execution.parent_id == execution_id, ChainOfWork.status.in_(SETTLED))
    its = Execution.origin_id == ChainOfWork.execution_id
    _copy(connection, ChainOfWork, _as_first_attempts(Execution.id).join(Execution, its).where(*children))


def _go_on(connection: Connection, child: Legacy, parent_id: int) -> int:
    """A new child that waits for its turn; answers its id."""
    own = _own_of_a_child(parent_id, status=Status.WAITING, waiting_for=FOR_TURN)
    rows = select(Execution.id.label("origin_id"), *OF_A_CHILD, *own).where(Execution.id == child.origin_id)
    names = [column.name for column in rows.selected_columns]
    return connection.execute(insert(Execution).from_select(names, rows).returning(Execution.id)).scalar_one()


def _is_below_again(legacy: Legacy) -> ColumnElement[bool]:
    """A child of a node that runs again, and starts it again."""
    again = select(ChainOfWork.node_id).where(
        ChainOfWork.execution_id == legacy.origin_id,
        ChainOfWork.node_type.in_(BY_ITEM),
        ChainOfWork.node_id.not_in(legacy.standing),
    )
    return and_(Execution.parent_id == legacy.origin_id, Execution.parent_node_id.in_(again))


def _own_of_a_child(parent_id: int, **values: object) -> list[Label[Any]]:
    values |= {"parent_id": parent_id, "created_at": datetime.now(UTC), **asked()._asdict()}
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
