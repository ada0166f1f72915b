"""How executions are found, mostly by what has an index; docs/operations.md says what goes through the runs instead."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select
from sqlalchemy.orm import aliased

from src.core.status import Status
from src.models import Execution

EQUAL = ("workflow_id", "status", "schedule_id", "parent_id", "origin_id", "client_id")
"""Columns that a filter gives the value of."""


@dataclass(frozen=True, slots=True)
class Filter:
    workflow_id: int | None = None
    status: Status | None = None
    parent_id: int | None = None
    before: int | None = None
    """Only executions older than the one with this id."""
    schedule_id: int | None = None
    client_id: int | None = None
    origin_id: int | None = None
    owner_id: int | None = None
    """The client whose key asks: it sees what is its own, whatever else it asks for."""
    created_from: datetime | None = None
    created_before: datetime | None = None
    error_type: str | None = None
    """Of those that failed."""
    top_level: bool = False
    """Only what no other execution has started."""

    @property
    def is_in_time(self) -> bool:
        return self.created_from is not None or self.created_before is not None


def newest(wanted: Filter, *columns: Any, limit: int, skip: int) -> Select[Any]:
    """A page, newest first. Ids grow with time, but for what was imported: where times are asked for, they order."""
    order = (Execution.created_at.desc(), Execution.id.desc()) if wanted.is_in_time else (Execution.id.desc(),)
    return select(*columns).where(*_conditions(wanted)).order_by(*order).limit(limit).offset(skip)


def count(wanted: Filter, most: int | None = None) -> Select[Any]:
    """How many there are; no more than `most` are counted."""
    found = select(Execution.id).where(*_conditions(wanted)).limit(most)
    return select(func.count()).select_from(found.subquery())


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    given = {name: getattr(wanted, name) for name in EQUAL}
    conditions = [getattr(Execution, name) == value for name, value in given.items() if value is not None]
    if wanted.owner_id is not None:
        conditions.append(Execution.client_id == wanted.owner_id)
    if wanted.error_type is not None:
        conditions += [Execution.status == Status.FAILED, Execution.error["type"].as_string() == wanted.error_type]
    if wanted.error_type is not None or wanted.status in (Status.FAILED, Status.STOPPED):
        conditions += _NOT_COMPLETED
    elif wanted.status is not None and not wanted.status.is_final:
        conditions.append(Execution.completed_at.is_(None))
    if wanted.top_level:
        conditions.append(Execution.parent_id.is_(None))
    return conditions + _of_time(wanted)


_NOT_COMPLETED = (Execution.status != literal_column(f"'{Status.COMPLETED}'"), Execution.completed_at.is_not(None))
"""As the index of all that ended otherwise says it: to the letter, or SQLite does not see that it has what is looked
for.
"""


def _of_time(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.created_from is not None:
        conditions.append(Execution.created_at >= wanted.created_from)
    if wanted.created_before is not None:
        conditions.append(Execution.created_at < wanted.created_before)
    if wanted.before is not None:
        conditions.append(_after_in_time(wanted.before) if conditions else Execution.id < wanted.before)
    return conditions


def _after_in_time(before: int) -> ColumnElement[bool]:
    """What comes after the execution `before` in a list that is ordered by time; where that one has gone, by its id."""
    last = aliased(Execution)
    at = select(last.created_at).where(last.id == before).scalar_subquery()
    newest_at = select(func.max(last.created_at)).scalar_subquery()
    return and_(
        Execution.created_at <= func.coalesce(at, newest_at), or_(Execution.created_at < at, Execution.id < before)
    )
