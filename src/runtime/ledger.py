"""The three writes of a run (it is created, it goes on, it ends), fenced, many runs to a transaction."""

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.pool import PoolProxiedConnection

from src.core.errors import KeyTaken, LeaseLost, NotReady
from src.core.failpoint import failpoint
from src.core.status import Status
from src.database import Database
from src.models import ChainOfWork, Execution
from src.runtime.group_commit import GroupCommit
from src.runtime.statements import statements

Row = dict[str, Any]
POSTGRESQL_WRITERS = 2
"""One group is on its way while another waits for its commit."""
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
BY_KEY = "SET enable_seqscan = off"
"""Rows are found by their keys, also by plans that are made while the tables are small."""
WITHOUT_ANSWER = ("blobs", "children")
"""Statements of which nobody asks what they wrote."""
LOST_STATEMENT = ("26000", "42P05")
"""SQLSTATE: there is no such prepared statement; it exists already."""
HELD_UP = ("40", "53", "55P03", "57014")
"""SQLSTATEs, or their classes: a deadlock, no room, a lock or a statement that took too long."""
SQLITE_HELD_UP = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
PAUSE_SECONDS = 0.2
"""Between two tries."""
BRIEFLY = "SET lock_timeout = '200ms'"
"""What is written aside waits for a lock at a time: behind it stand the others that were held up."""


class HeldUp(NotReady):
    """The database is there, but something is in the way of what was to be written: mostly a lock on one row of it."""


class Entry(NamedTuple):
    """What one run writes at once: all of it or nothing."""

    name: str
    """For the failpoints around its commit."""
    token: int
    execution_id: int = 0
    new: Row | None = None
    attempts: Sequence[Row] = ()
    children: Sequence[Row] = ()
    """The executions that the attempts start."""
    settlement: Row | None = None
    blobs: Sequence[Row] = ()


class Written(NamedTuple):
    execution_id: int
    requested: str | None = None
    """What an operator asks of the run; brought along by the statement that wrote its attempts."""


class Ledger:
    """Writes entries in groups, one transaction and one commit for each group. An entry is written only where its token
    still is its execution's; the very statement that writes decides that.
    """

    def __init__(self, database: Database, *, lease_seconds: float, patience_seconds: float) -> None:
        count = 1 if database.is_sqlite else POSTGRESQL_WRITERS
        self._is_sqlite = database.is_sqlite
        self._patience_seconds = patience_seconds
        self._statements = statements(is_sqlite=database.is_sqlite, lease_seconds=lease_seconds)
        self._writers = [_Writer(_Session(database, lease_seconds), patience_seconds) for _ in range(count)]
        """Those that are free: there is one for each leader. The last in is the first out: a lone run keeps to one."""
        self._aside = _Writer(_Session(database, lease_seconds, BRIEFLY), patience_seconds=0)
        self._aside_turn = threading.Lock()
        self._group: GroupCommit[Entry, Written] = GroupCommit(self._flush, leaders=count)

    def write(self, entry: Entry) -> Written:
        """Make `entry` durable.

        Raises:
            KeyTaken: an execution with this idempotency key is there already.
            LeaseLost: the token is an older one by now; nothing was written.
            NotReady: the database did not answer, or held the entry up, for as long as there was patience.
        """
        failpoint(f"{entry.name}.before_commit")
        try:
            written = self._group.submit(entry)
        except HeldUp:
            written = self._write_aside(entry)
        failpoint(f"{entry.name}.after_commit")
        return written

    def write_within(self, connection: Connection, entry: Entry) -> Written:
        """Likewise, as a part of a transaction that somebody else commits. For what is new alone. Raises KeyTaken."""
        assert entry.new is not None
        ids: dict[str, int] = {}
        for name, rows in _steps([entry]).items():
            statement, text = self._statements[name], _as_text(rows)
            if self._is_sqlite:
                done = connection.exec_driver_sql(statement, (text,))
            else:
                texts = (text,) * statement.count("$1")
                done = connection.exec_driver_sql(statement.replace("$1", "%s::json"), texts)
            if name == "create":
                ids = {task_id: execution_id for execution_id, task_id in done}
        answer = _answer(entry, ids, {}, set())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        while self._writers:
            self._writers.pop().close()

    def _write_aside(self, entry: Entry) -> Written:
        """Alone and in no writer's place, so that a lock on its row keeps neither its group nor other runs waiting."""
        give_up_at = time.monotonic() + self._patience_seconds
        while True:
            with self._aside_turn, closing(self._aside):
                answer = self._aside.write_alone(entry)
            if isinstance(answer, Written):
                return answer
            if not isinstance(answer, NotReady) or time.monotonic() > give_up_at:
                raise answer
            time.sleep(PAUSE_SECONDS)

    def _flush(self, entries: Sequence[Entry]) -> Sequence[Written | Exception]:
        writer = self._writers.pop()
        try:
            return writer.flush(entries)
        finally:
            self._writers.append(writer)


class _Writer:
    """Writes one group at a time over its own connection, and sees it through what can happen to that."""

    def __init__(self, session: "_Session", patience_seconds: float) -> None:
        self._session = session
        self._patience_seconds = patience_seconds

    def close(self) -> None:
        self._session.close()

    def flush(self, entries: Sequence[Entry]) -> Sequence[Written | Exception]:
        """Answers what was written, or what went wrong, for each entry."""
        try:
            return self._session.transaction(entries)
        except (self._session.errors, UnicodeEncodeError) as error:
            if self._session.is_away(error):
                return self._flush_when_it_is_back(entries)
            if self._session.stop_preparing_after(error):
                return self.flush(entries)
            if self._session.is_held_up(error):
                return _held_up(entries)
            if len(entries) == 1:
                return [error]
            # A row that the database refuses fails its own run, not those it happened to share a transaction with.
            return [answer for entry in entries for answer in self.flush([entry])]

    def _flush_when_it_is_back(self, entries: Sequence[Entry]) -> Sequence[Written | Exception]:
        """Finished outputs wait in memory, so an outage does not repeat what nodes have done. The commit whose answer
        was lost may have happened: what stands there under our token is ours.
        """
        give_up_at = time.monotonic() + self._patience_seconds
        self._session.close()
        while time.monotonic() < give_up_at:
            time.sleep(PAUSE_SECONDS)
            try:
                found = [self._found(entry) for entry in entries]
                missing = [entry for entry, there in zip(entries, found, strict=True) if there is None]
                written = iter(self._session.transaction(missing) if missing else ())
                return [next(written) if there is None else there for there in found]
            except NotReady:
                continue
            except self._session.errors as error:
                if self._session.is_held_up(error):
                    return _held_up(entries)
                if not self._session.is_away(error):
                    return [self.write_alone(entry) for entry in entries]
                self._session.close()
        return [NotReady(f"The database has not answered for {self._patience_seconds:g} s.")] * len(entries)

    def write_alone(self, entry: Entry) -> Written | Exception:
        """What was sent before a connection broke may have come through meanwhile, and then it is refused now."""
        [answer] = self.flush([entry])
        if isinstance(answer, Written | NotReady):
            return answer
        try:
            return self._found(entry) or answer
        except NotReady as error:
            return error

    def _found(self, entry: Entry) -> Written | None:
        """What the answer would have been, where `entry` was written already."""
        if entry.new:
            query = select(Execution.id).where(Execution.task_id == entry.new["task_id"])
        elif entry.attempts:
            last, chain = entry.attempts[-1], ChainOfWork
            query = select(chain.execution_id).where(
                chain.execution_id == entry.execution_id,
                chain.node_id == last["node_id"],
                chain.attempt == last["attempt"],
                chain.lease_token == entry.token,
            )
        else:
            query = select(Execution.id).where(
                Execution.id == entry.execution_id,
                Execution.lease_token == entry.token,
                Execution.status != Status.RUNNING,
            )
        with self._session.database.read() as connection:
            execution_id = connection.execute(query).scalar()
        return None if execution_id is None else Written(execution_id)


class _Session:
    """A connection that is kept open, used by one group at a time.

    Args:
        manner: what PostgreSQL is told when it is opened, besides the usual.
    """

    def __init__(self, database: Database, lease_seconds: float, manner: str = "") -> None:
        self.database = database
        self._manner = manner
        self._statements = statements(is_sqlite=database.is_sqlite, lease_seconds=lease_seconds)
        self._connection: PoolProxiedConnection | None = None
        self._cursor: DBAPICursor | None = None
        self._prepares = not database.is_sqlite
        self._prepared: set[str] = set()
        self.errors: type[Exception] = database.engine.dialect.loaded_dbapi.Error

    def is_away(self, error: Exception) -> bool:
        """The connection is gone; or it is a file that nobody can write to just now: it is locked, a disk is full."""
        if isinstance(error, UnicodeEncodeError):
            return False
        if self._connection is None:
            return True  # it could not even be opened
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in SQLITE_HELD_UP:
            return True
        return self.database.engine.dialect.is_disconnect(error, self._connection.driver_connection, None)  # type: ignore[arg-type]

    def is_held_up(self, error: Exception) -> bool:
        return str(getattr(error, "pgcode", None) or "").startswith(HELD_UP)

    def stop_preparing_after(self, error: Exception) -> bool:
        """A pooler that gives each transaction another server loses prepared statements: do without, from now on."""
        lost = self._prepares and getattr(error, "pgcode", None) in LOST_STATEMENT
        self._prepares = self._prepares and not lost
        return lost

    def close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
        self._connection = self._cursor = None

    def transaction(self, entries: Sequence[Entry]) -> Sequence[Written | Exception]:
        """Write the entries and commit; answers for each, with what was wrong with those that were not."""
        with self.database.turn:
            written = self._commit(_steps(entries))
        ids = {task_id: execution_id for execution_id, task_id in written.get("create", ())}
        kept: dict[tuple[int, int], list[str | None]] = {}
        for execution_id, token, requested in written.get("keep", ()):
            kept.setdefault((execution_id, token), []).append(requested)
        settled = set(written.get("settle", ()))
        return [_answer(entry, ids, kept, settled) for entry in entries]

    def _commit(self, steps: dict[str, list[Row]]) -> dict[str, list[Any]]:
        texts = {name: _as_text(rows) for name, rows in steps.items()}
        cursor = self._opened()
        if len(texts) == 1:  # a statement alone is its own transaction: one round trip, not three
            return {name: self._execute(cursor, name, text) for name, text in texts.items()}
        cursor.execute("BEGIN IMMEDIATE" if self.database.is_sqlite else "BEGIN")
        try:
            written = {name: self._execute(cursor, name, text) for name, text in texts.items()}
        except BaseException:
            with suppress(self.errors):
                cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")
        return written

    def _execute(self, cursor: DBAPICursor, name: str, text: str) -> list[Any]:
        statement = self._statements[name]
        if self.database.is_sqlite:
            cursor.execute(statement, (text,))
        elif not self._prepares:
            cursor.execute(statement.replace("$1", "%s::json"), (text,) * statement.count("$1"))
        else:
            if name not in self._prepared:
                cursor.execute(f"PREPARE nova_{name}(json) AS {statement}")
                self._prepared.add(name)
            cursor.execute(f"EXECUTE nova_{name}(%s)", (text,))
        return list(cursor.fetchall()) if name not in WITHOUT_ANSWER else []

    def _opened(self) -> DBAPICursor:
        if self._cursor is None:
            self._connection = self.database.engine.raw_connection()
            self._cursor = self._connection.cursor()
            self._prepared.clear()
            if not self.database.is_sqlite:
                self._cursor.execute(f"{BY_KEY}; {self._manner}")
        return self._cursor


def _held_up(entries: Sequence[Entry]) -> Sequence[HeldUp]:
    return [HeldUp("Something has been in the way of what was to be written: a lock, no room.") for _ in entries]


def _steps(entries: Sequence[Entry]) -> dict[str, list[Row]]:
    """The rows to write, by statement and in the order of the statements."""
    steps: dict[str, list[Row]] = {"blobs": [], "create": [], "keep": [], "children": [], "settle": []}
    for entry in entries:
        steps["blobs"] += entry.blobs
        steps["keep"] += entry.attempts
        steps["children"] += entry.children
        if entry.new:
            steps["create"].append(entry.new)
        if entry.settlement:
            steps["settle"].append(entry.settlement)
    return {name: rows for name, rows in steps.items() if rows}


def _as_text(rows: list[Row]) -> str:
    """The rows as one JSON array. Raises UnicodeEncodeError for what no database can keep."""
    for place, row in enumerate(rows):
        row["place"] = place
    text = _ENCODE(rows)
    if not text.isascii():
        text.encode()
    return text


def _answer(
    entry: Entry,
    ids: dict[str, int],
    kept: dict[tuple[int, int], list[str | None]],
    settled: set[tuple[int, int]],
) -> Written | Exception:
    if entry.new:
        execution_id = ids.get(entry.new["task_id"])
        if execution_id is None:
            return KeyTaken(*(entry.new[name] for name in ("idempotency_key", "client_id", "request_sha256")))
        return Written(execution_id)
    key = (entry.execution_id, entry.token)
    requested = kept.get(key, [])
    if len(requested) != len(entry.attempts) or (entry.settlement and key not in settled):
        return LeaseLost(entry.execution_id)
    return Written(entry.execution_id, requested[0] if requested else None)
