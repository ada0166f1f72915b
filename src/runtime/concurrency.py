"""How many executions of a workflow run at once, where its definition bounds that: the others wait, in order."""

from sqlalchemy import Connection, and_, func, or_, select
from sqlalchemy.orm import aliased

from src.core.status import Status
from src.database import Database
from src.models import Execution, Workflow


def has_room(connection: Connection, execution_id: int, limit: int) -> bool:
    """Whether a queued execution may start: with those that run and those that are before it there are fewer than
    `limit`. Holds back everybody else who asks about the same workflow until the transaction ends.
    """
    this = aliased(Execution)
    workflow = select(this.workflow_id).where(this.id == execution_id).scalar_subquery()
    connection.execute(select(Workflow.id).where(Workflow.id == workflow).with_for_update())
    before = and_(
        Execution.status == Status.QUEUED,
        or_(Execution.priority < this.priority, and_(Execution.priority == this.priority, Execution.id < this.id)),
    )
    same = (Execution.workflow_id == this.workflow_id, Execution.subgraph.is_not_distinct_from(this.subgraph))
    ahead = select(func.count()).select_from(this).join(Execution, and_(*same, Execution.completed_at.is_(None)))
    ahead = ahead.where(this.id == execution_id, or_(Execution.status == Status.RUNNING, before))
    return connection.execute(ahead).scalar_one() < limit


def next_in_line(database: Database, execution_id: int) -> list[int]:
    """Of the same workflow: the execution that has waited longest in the queue, if there is one."""
    ended = aliased(Execution)
    same = (Execution.workflow_id == ended.workflow_id, Execution.subgraph.is_not_distinct_from(ended.subgraph))
    waiting = (Execution.status == Status.QUEUED, Execution.completed_at.is_(None))
    query = select(Execution.id).join(ended, and_(*same)).where(ended.id == execution_id, *waiting)
    query = query.order_by(Execution.priority, Execution.id).limit(1)
    with database.read() as connection:
        return list(connection.execute(query).scalars())
