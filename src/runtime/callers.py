"""Callers that do not wait for the answer. The run does not notice; the triggers count them."""

from datetime import UTC, datetime

from sqlalchemy import insert

from src.database import Database
from src.models import ExecutionEvent

HUNG_UP = "hung_up"


def note_hang_up(database: Database, execution_id: int) -> None:
    """The caller of an execution has gone while it ran inside the request."""
    event = insert(ExecutionEvent).values(execution_id=execution_id, kind=HUNG_UP, at=datetime.now(UTC))
    with database.write("hung_up") as connection:
        connection.execute(event)
