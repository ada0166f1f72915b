"""An execution and those that it has started, and those that these have: found, and ended, in one statement."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select, update
from sqlalchemy.orm import aliased

from src.core.status import Status, may_become
from src.models import Execution, ExecutionEvent
from src.models.columns import moment, seconds_since


def family(*heads: ColumnElement[bool]) -> Select[tuple[int]]:
    """The ids of the unfinished executions that `heads` select, and of all unfinished ones below them."""
    child = aliased(Execution)
    found = select(Execution.id).where(*heads, Execution.completed_at.is_(None)).cte("family", recursive=True)
    below = select(child.id).join(found, child.parent_id == found.c.id).where(child.completed_at.is_(None))
    return select(found.union_all(below).c.id)


def stop(connection: Connection, *heads: ColumnElement[bool]) -> list[int]:
    """End what `heads` select and everything below; answers their ids."""
    can = (Execution.id.in_(family(*heads)), Execution.status.in_(may_become(Status.STOPPED)))
    values: dict[str, Any] = {
        "status": Status.STOPPED,
        "lease_token": Execution.lease_token + 1,  # the fence: whoever runs it writes nothing any more
        "lease_owner": None,
        "lease_until": None,
        "waiting_for": None,
        "requested": None,
        "completed_at": moment(0.0),
        "execution_time": seconds_since(Execution.started_at),
    }
    query = update(Execution).where(*can).values(**values).returning(Execution.id)
    return list(connection.execute(query).scalars())


def add_events(connection: Connection, done: dict[int, str], actor: str | None = None) -> None:
    """An event for each execution to which something was done, by the kind of event."""
    if done:
        at = datetime.now(UTC)
        events = [{"execution_id": each, "kind": kind, "actor": actor, "at": at} for each, kind in done.items()]
        connection.execute(insert(ExecutionEvent), events)
