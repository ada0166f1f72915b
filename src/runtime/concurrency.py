"""How many executions of a workflow, or for a client, run at once, where that is bounded: the others wait, in order."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import aliased

from src.core.status import Status
from src.database import pieces
from src.models import Client, Execution, Workflow
from src.models.columns import moment

MOMENT_SECONDS = 2.0
"""How long whoever was told that there is room may take to start, before the same is told again."""


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
    ends. Who finds none may be told again as soon as there is some.
    """
    which = {"execution": execution_id}
    for limit, lock, ahead in ((limits.of_workflow, _WORKFLOW, _OF_WORKFLOW), (limits.of_client, _CLIENT, _OF_CLIENT)):
        if limit is not None:
            connection.execute(lock, which)
            if connection.execute(ahead, which).scalar_one() >= limit:
                connection.execute(_IN_VAIN, which)
                return False
    return True


def client_limit(connection: Connection, client_id: int) -> int | None:
    return connection.execute(_LIMIT, {"client": client_id}).scalar()


class Freed(NamedTuple):
    """Of those that run no longer: one of a workflow or a client, and how many of the same there are."""

    first_in_line: Select[Any]
    execution: int
    places: int


def freed(connection: Connection, execution_ids: Sequence[int]) -> list[Freed]:
    found: dict[tuple[Any, ...], Freed] = {}
    for first_in_line, alike in _LINES:
        query = select(func.min(Execution.id), func.count(), *alike).group_by(*alike)
        for piece in pieces(execution_ids):
            for one, count, *which in connection.execute(query.where(Execution.id.in_(piece))):
                key = (first_in_line, *which)
                before = found[key].places if key in found else 0
                found[key] = Freed(first_in_line, one, before + count)
    return list(found.values())


def next_in_line(connection: Connection, places: Collection[Freed], *, most: int) -> set[int]:
    """Those that have waited longest, for as many as there are places, without those that were told a moment ago and
    have not started yet. In a transaction they are its own until it ends: nobody else tells them too.
    """
    found: set[int] = set()
    for each in places:
        which = {"execution": each.execution, "places": min(each.places, most)}
        found.update(connection.execute(each.first_in_line, which).scalars())
    return found


_THIS = aliased(Execution)
_IS_THIS = _THIS.id == bindparam("execution")
# `+ 0` keeps SQLite from the index of all that a workflow or a client has ever had: few have not ended, of anybody.
_SAME_WORKFLOW = and_(
    Execution.workflow_id + 0 == _THIS.workflow_id, Execution.subgraph.is_not_distinct_from(_THIS.subgraph)
)
_SAME_CLIENT = Execution.client_id + 0 == _THIS.client_id
_UNFINISHED = Execution.completed_at.is_(None)
_BEFORE = and_(
    Execution.status == Status.QUEUED,
    or_(Execution.priority < _THIS.priority, and_(Execution.priority == _THIS.priority, Execution.id < _THIS.id)),
)


def _ahead(same: ColumnElement[bool]) -> Select[Any]:
    """Each status is counted by itself, as the index of what has not ended is by status."""
    alike = select(func.count()).select_from(_THIS).join(Execution, and_(same, _UNFINISHED)).where(_IS_THIS)
    running, before = (alike.where(each).scalar_subquery() for each in (Execution.status == Status.RUNNING, _BEFORE))
    return select(running + before)


def _first(same: ColumnElement[bool]) -> Select[Any]:
    told_just_now = and_(Execution.rings == 0, Execution.rung_at > moment(-MOMENT_SECONDS))
    waits = (Execution.status == Status.QUEUED, _UNFINISHED, ~func.coalesce(told_just_now, False))
    query = select(Execution.id).join(_THIS, same).where(_IS_THIS, *waits).limit(bindparam("places"))
    query = query.order_by(Execution.priority, Execution.id)
    return query.with_for_update(skip_locked=True, key_share=True, of=Execution)


_OF_WORKFLOW, _OF_CLIENT = _ahead(_SAME_WORKFLOW), _ahead(_SAME_CLIENT)
_LINES: tuple[tuple[Select[Any], tuple[Any, ...]], ...] = (
    (_first(_SAME_WORKFLOW), (Execution.workflow_id, Execution.subgraph)),
    (_first(_SAME_CLIENT), (Execution.client_id,)),
)
_WORKFLOW = select(Workflow.id).join(_THIS, _THIS.workflow_id == Workflow.id).where(_IS_THIS)
_WORKFLOW = _WORKFLOW.with_for_update(key_share=True, of=Workflow)
_CLIENT = select(Client.id).join(_THIS, _THIS.client_id == Client.id).where(_IS_THIS)
_CLIENT = _CLIENT.with_for_update(key_share=True, of=Client)  # rows that refer to the client may come meanwhile
_IN_VAIN = update(Execution).where(Execution.id == bindparam("execution"), Execution.rings == 0).values(rings=1)
_LIMIT = select(Client.max_concurrent).where(Client.id == bindparam("client"))
