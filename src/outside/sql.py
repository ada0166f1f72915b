"""A client's own database: one statement with bound parameters, on a checked connection, read-only unless said.

Not Nova's own: nothing here knows that one.
"""

import base64
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from src.core.outcome import Context, Json
from src.outside.deadline import Deadline
from src.outside.errors import Fault, OutsideError, Refused
from src.outside.guard import Guard

SQL_PORTS = frozenset({5432, 6432})
USUAL_PORT = 5432
POSTGRESQL = frozenset({"postgres", "postgresql", "postgresql+psycopg2"})
OF_A_URL = frozenset({"sslmode"})
"""What may stand behind `?`: anything else there could name another host, or a file of this machine."""
PASSING_STATES = ("08", "40", "53", "57", "55P03")
"""SQLSTATEs, or their classes: broken connections, deadlocks, no room, shutting down, a lock that is held."""
STEPS = 10_000
"""Of SQLite's machine, between two looks at the clock: some milliseconds."""
FINAL_WORDS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")
"""A connection that is refused has no SQLSTATE in psycopg2."""


@dataclass(frozen=True, slots=True)
class Statement:
    query: str
    """With parameters as `:name`."""
    parameters: Mapping[str, Json] = field(default_factory=dict)
    write: bool = False
    max_rows: int = 1000


@dataclass(frozen=True, slots=True)
class Sql:
    guard: Guard
    folder: str = ""
    """Where SQLite files are that nodes may open; empty: nowhere."""
    max_bytes: int = 4 * 1024 * 1024

    def run(
        self, url: str, username: str | None, password: str | None, statement: Statement, deadline: Deadline
    ) -> Context:
        """`{"rows", "row_count", "truncated"}`.

        Raises:
            OutsideError: the message has no parameter's value in it.
        """
        target = _target(url, username, password)
        try:
            engine = self._engine(target, statement, deadline)
            try:
                with engine.connect() as connection:
                    return self._answered(connection, statement)
            finally:
                engine.dispose()
        except DBAPIError as error:
            deadline.check()
            raise _told(error) from None
        except SQLAlchemyError as error:
            raise Refused(f"the query cannot be run: {type(error).__name__}: {str(error).splitlines()[0]}") from None

    def _engine(self, url: URL, statement: Statement, deadline: Deadline) -> Engine:
        if url.drivername == "sqlite":
            return self._sqlite(url, statement, deadline)
        assert url.host is not None
        addresses = self.guard.addresses(url.host, url.port or USUAL_PORT)
        milliseconds = max(1, int(deadline.left_seconds * 1000))
        modes = (
            f"-c statement_timeout={milliseconds} -c default_transaction_read_only={'off' if statement.write else 'on'}"
        )
        options = {
            "hostaddr": addresses[0],  # the name is for the certificate alone: it is not looked up again
            "connect_timeout": max(2, int(deadline.left_seconds)),
            "options": modes,
            "passfile": os.devnull,  # the server's user may have passwords of its own
            "application_name": "nova",
        }
        return create_engine(url.set(drivername="postgresql+psycopg2"), poolclass=NullPool, connect_args=options)

    def _sqlite(self, url: URL, statement: Statement, deadline: Deadline) -> Engine:
        if not self.folder:
            raise Refused("SQLite files are open to no node: the operator names their folder in SQL_SQLITE_FOLDER")
        folder = Path(self.folder).resolve()
        path = (folder / (url.database or "")).resolve()
        if path.parent != folder or not url.database:
            raise Refused("expected sqlite:/// and the name of a file in SQL_SQLITE_FOLDER")
        mode = "rwc" if statement.write else "ro"
        address = f"sqlite:///{path.as_uri()}?mode={mode}&uri=true"
        engine = create_engine(address, poolclass=NullPool, connect_args={"timeout": deadline.left_seconds})
        event.listen(engine, "connect", lambda connection, _: _wall_in(connection, deadline))
        return engine

    def _answered(self, connection: Connection, statement: Statement) -> Context:
        with connection.begin():
            result = connection.execute(text(statement.query), dict(statement.parameters))
            if not result.returns_rows:
                return {"rows": [], "row_count": result.rowcount, "truncated": False}
            rows = result.mappings().fetchmany(statement.max_rows + 1)
            plain = [
                {str(name): plain_value(value) for name, value in row.items()} for row in rows[: statement.max_rows]
            ]
        return {"rows": plain, "row_count": len(plain), "truncated": len(rows) > statement.max_rows}


def _wall_in(connection: sqlite3.Connection, deadline: Deadline) -> None:
    """To its one file, and to its time: SQLite itself knows neither."""

    def authorizer(action: int, file: str | None, *_: object) -> int:  # VACUUM INTO attaches, too, where it writes to
        attaches = action == sqlite3.SQLITE_ATTACH and file != ""  # a name that is empty is a temporary one
        return sqlite3.SQLITE_DENY if attaches else sqlite3.SQLITE_OK

    def is_over() -> bool:
        try:
            deadline.check()
        except OutsideError:
            return True
        return False

    connection.set_authorizer(authorizer)
    connection.set_progress_handler(is_over, STEPS)


def plain_value(value: Any) -> Json:
    """A value of a database as JSON can say it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [plain_value(each) for each in value]
        case dict():
            return {str(key): plain_value(each) for key, each in value.items()}
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> str | int | float:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
    return str(value)


def _target(url: str, username: str | None, password: str | None) -> URL:
    """Raises Refused for what is no URL of a database that nodes may use."""
    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        raise Refused("url: expected postgresql://host/database or sqlite:///file") from None
    if target.drivername not in POSTGRESQL | {"sqlite"}:
        raise Refused(f"url: expected postgresql:// or sqlite:///, got {target.drivername!r}")
    if target.drivername in POSTGRESQL and (not target.host or "/" in target.host or "," in target.host):
        raise Refused("url: it names no host")
    unknown = target.query.keys() - (OF_A_URL if target.drivername in POSTGRESQL else set())
    if unknown:
        raise Refused(f"url: not offered behind '?': {', '.join(sorted(unknown))}")
    return target.set(username=username or target.username, password=password or target.password)


def _told(error: DBAPIError) -> OutsideError:
    cause = error.orig
    state = str(getattr(cause, "pgcode", None) or "")
    message = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    return (Fault if _passes(state, message, error) else Refused)(f"{state} {message}".strip())


def _passes(state: str, message: str, error: DBAPIError) -> bool:
    if state:
        return state.startswith(PASSING_STATES)
    if "locked" in message or "busy" in message:
        return True
    lost = error.connection_invalidated or type(error.orig).__module__.startswith("psycopg2")
    return (
        lost
        and type(error.orig).__name__ in ("OperationalError", "InterfaceError")
        and not any(word in message for word in FINAL_WORDS)
    )
