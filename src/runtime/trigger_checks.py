"""The table `trigger_checks`: what the five checks found, kept week by week."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, insert, select

from src.database import Database
from src.models import TriggerCheck

REMEMBERED = 53
"""Checks that a forecast looks at: a year of weeks."""


def record_check(database: Database, results: Mapping[str, Any]) -> None:
    with database.write("trigger_check") as connection:
        connection.execute(insert(TriggerCheck).values(checked_at=datetime.now(UTC), results=dict(results)))


def recent_checks(database: Database) -> list[tuple[datetime, dict[str, Any]]]:
    """The latest, newest first."""
    return [(row.checked_at, row.results) for row in page_of_checks(database, limit=REMEMBERED)[0]]


def page_of_checks(database: Database, *, limit: int, skip: int = 0) -> tuple[list[Any], int]:
    """A page of them, newest first, and how many there are."""
    query = select(*TriggerCheck.__table__.columns).order_by(TriggerCheck.checked_at.desc(), TriggerCheck.id.desc())
    with database.read() as connection:
        rows = list(connection.execute(query.limit(limit).offset(skip)))
        total: int = connection.execute(select(func.count()).select_from(TriggerCheck)).scalar_one()
    return rows, total
