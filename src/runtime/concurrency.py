"""How many executions of a workflow, or for a client, run at once, where that is bounded: the others wait, in order."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, or_, select
from sqlalchemy.orm import aliased

from src.core.status import Status
from src.models import Client, Execution, Workflow


class Limits(NamedTuple):
    """How many may run at once; None for any number."""

    of_workflow: int | None
    of_client: int | None

    @property
    def are_any(self) -> bool:
        return self.of_workflow is not None or self.of_client is not None


def has_room(connection: Connection, execution_id: int, limits: Limits) -> bool:
    """Whether a queued execution may start: with those that run and those that are before it there are fewer than
    its workflow and its client may have. Holds back everybody else who asks about the same ones until the transaction
    ends.
    """
    which = {"execution": execution_id}
    for limit, lock, ahead in ((limits.of_workflow, _WORKFLOW, _OF_WORKFLOW), (limits.of_client, _CLIENT, _OF_CLIENT)):
        if limit is not None:
            connection.execute(lock, which)
            if connection.execute(ahead, which).scalar_one() >= limit:
                return False
    return True


def client_limit(connection: Connection, client_id: int) -> int | None:
    return connection.execute(_LIMIT, {"client": client_id}).scalar()


def next_in_line(connection: Connection, execution_ids: Iterable[int]) -> set[int]:
    """Of the same workflows, and for the same clients: the executions that have waited longest in the queue."""
    alike = select(func.min(Execution.id)).where(Execution.id.in_(list(execution_ids)))
    alike = alike.group_by(Execution.workflow_id, Execution.subgraph, Execution.client_id)
    each_once = [{"execution": one} for one in connection.execute(alike).scalars()]
    found = [connection.execute(query, which).scalar() for which in each_once for query in _NEXT]
    return {each for each in found if each is not None}


_THIS = aliased(Execution)
_IS_THIS = _THIS.id == bindparam("execution")
_SAME_WORKFLOW = and_(
    Execution.workflow_id == _THIS.workflow_id, Execution.subgraph.is_not_distinct_from(_THIS.subgraph)
)
_SAME_CLIENT = Execution.client_id == _THIS.client_id
_UNFINISHED = Execution.completed_at.is_(None)
_BEFORE = and_(
    Execution.status == Status.QUEUED,
    or_(Execution.priority < _THIS.priority, and_(Execution.priority == _THIS.priority, Execution.id < _THIS.id)),
)


def _ahead(same: ColumnElement[bool]) -> Select[Any]:
    """Each status is counted by itself: of both at once SQLite would read all that the client has ever had."""
    alike = select(func.count()).select_from(_THIS).join(Execution, and_(same, _UNFINISHED)).where(_IS_THIS)
    running, before = (alike.where(each).scalar_subquery() for each in (Execution.status == Status.RUNNING, _BEFORE))
    return select(running + before)


def _first(same: ColumnElement[bool]) -> Select[Any]:
    query = select(Execution.id).join(_THIS, same).where(_IS_THIS, Execution.status == Status.QUEUED, _UNFINISHED)
    return query.order_by(Execution.priority, Execution.id).limit(1)


_OF_WORKFLOW, _OF_CLIENT = _ahead(_SAME_WORKFLOW), _ahead(_SAME_CLIENT)
_NEXT = (_first(_SAME_WORKFLOW), _first(_SAME_CLIENT))
_WORKFLOW = select(Workflow.id).join(_THIS, _THIS.workflow_id == Workflow.id).where(_IS_THIS)
_WORKFLOW = _WORKFLOW.with_for_update(key_share=True, of=Workflow)
_CLIENT = select(Client.id).join(_THIS, _THIS.client_id == Client.id).where(_IS_THIS)
_CLIENT = _CLIENT.with_for_update(key_share=True, of=Client)  # rows that refer to the client may come meanwhile
_LIMIT = select(Client.max_concurrent).where(Client.id == bindparam("client"))
