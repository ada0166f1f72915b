"""The floor: the rows that a run must leave behind, written by hand, each with a commit of its own. No engine at all.

In process, and behind the smallest FastAPI app that answers the same: `uvicorn --factory benchmarks.floor:create_app`.
"""

import json
import os
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from queue import LifoQueue
from time import perf_counter
from typing import Any

import psycopg2  # type: ignore[import-untyped]
from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy import make_url

CONNECTIONS = 20
"""As many as Nova keeps. 8 or 40 make no difference that stands out of the noise."""

TABLES = (
    """CREATE TABLE executions (
        id {id}, task_id TEXT NOT NULL UNIQUE, workflow_id BIGINT NOT NULL, workflow_version INTEGER NOT NULL,
        status TEXT NOT NULL, mode TEXT NOT NULL, initial_context JSON NOT NULL, result JSON,
        created_at {moment} NOT NULL, started_at {moment}, completed_at {moment}, execution_time DOUBLE PRECISION)""",
    """CREATE TABLE chain_of_work (
        id {id}, execution_id BIGINT NOT NULL REFERENCES executions (id), lease_token INTEGER NOT NULL,
        node_id TEXT NOT NULL, node_type TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL,
        output_result JSON, code_executed TEXT, decision_result TEXT, path_taken TEXT, error_type TEXT,
        error_class TEXT, error_message TEXT, error_traceback TEXT, logs TEXT,
        execution_time DOUBLE PRECISION NOT NULL, started_at {moment} NOT NULL, timestamp {moment} NOT NULL,
        UNIQUE (execution_id, node_id, attempt))""",
)
TYPES = {
    "postgresql": {"id": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "moment": "TIMESTAMPTZ"},
    "sqlite": {"id": "INTEGER PRIMARY KEY AUTOINCREMENT", "moment": "TEXT"},
}
CREATE = """INSERT INTO executions
    (task_id, workflow_id, workflow_version, status, mode, initial_context, created_at, started_at)
    VALUES (?, 1, 1, 'running', 'inline', ?, ?, ?) RETURNING id"""
KEEP = """INSERT INTO chain_of_work
    (execution_id, lease_token, node_id, node_type, attempt, status, output_result,
     execution_time, started_at, timestamp)
    VALUES (?, 1, ?, 'function', 1, 'success', ?, ?, ?, ?)"""
SETTLE = "UPDATE executions SET status = 'completed', result = ?, completed_at = ?, execution_time = ? WHERE id = ?"
EXECUTION = """SELECT id, task_id, workflow_id, workflow_version, status, mode, result, execution_time,
    created_at, started_at, completed_at FROM executions WHERE id = ?"""
NODES = "SELECT node_id, status, attempt, execution_time FROM chain_of_work WHERE execution_id = ? ORDER BY id"


class Floor:
    """A few connections to one database, each used by one run at a time."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._backend = parsed.get_backend_name()
        self._connect: Callable[[], Any]
        if self._backend == "sqlite":
            path = parsed.database or ""
            self._connect = lambda: _connect_sqlite(path)
        else:
            dsn = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
            self._connect = lambda: _connect_postgresql(dsn)
        self._connections: LifoQueue[Any] = LifoQueue()
        self._turn: AbstractContextManager[Any] = threading.Lock() if self._backend == "sqlite" else nullcontext()
        """SQLite has one writer at a time, and its busy handler sleeps where a lock would wake."""

    def open(self) -> None:
        for _ in range(CONNECTIONS):
            self._connections.put(self._connect())

    def close(self) -> None:
        while not self._connections.empty():
            self._connections.get().close()

    def create_tables(self) -> None:
        connection = self._connect()
        for table in TABLES:
            connection.cursor().execute(table.format(**TYPES[self._backend]))
        connection.commit()
        connection.close()

    def run(self, context: dict[str, Any], *, nodes: int) -> int:
        """Write everything that a run of so many nodes leaves behind; answers the id of the execution."""
        connection = self._connections.get()
        try:
            return self._run(connection.cursor(), dict(context), nodes)
        finally:
            self._connections.put(connection)

    def read(self, execution_id: int) -> dict[str, Any]:
        """The execution with its nodes, from their rows."""
        connection = self._connections.get()
        try:
            cursor = connection.cursor()
            [execution] = _dicts(cursor, self._sql(EXECUTION), execution_id)
            nodes = _dicts(cursor, self._sql(NODES), execution_id)
            connection.commit()
        finally:
            self._connections.put(connection)
        if self._backend == "sqlite":
            execution["result"] = json.loads(execution["result"])
        return {name: _shown(value) for name, value in execution.items()} | {"nodes": nodes}

    def _run(self, cursor: Any, context: dict[str, Any], nodes: int) -> int:
        created_at = datetime.now(UTC)
        at = created_at.isoformat()
        [[execution_id]] = self._write(cursor, CREATE, (str(uuid.uuid4()), json.dumps(context), at, at))
        for number in range(nodes):
            self._keep(cursor, execution_id, f"step_{number}", context)
        now = datetime.now(UTC)
        settled = (json.dumps(context), now.isoformat(), (now - created_at).total_seconds(), execution_id)
        self._write(cursor, SETTLE, settled)
        return int(execution_id)

    def _keep(self, cursor: Any, execution_id: int, node_id: str, context: dict[str, Any]) -> None:
        started_at, start = datetime.now(UTC), perf_counter()
        output = {node_id: {"status": "paid", "amount": context["amount"] + 1}}
        context |= output
        took, ended_at = perf_counter() - start, datetime.now(UTC)
        row = (execution_id, node_id, json.dumps(output), took, started_at.isoformat(), ended_at.isoformat())
        self._write(cursor, KEEP, row)

    def _write(self, cursor: Any, statement: str, values: tuple[object, ...]) -> list[Any]:
        """One statement and its commit, as a script would: `execute`, `commit`."""
        with self._turn:
            cursor.execute(self._sql(statement), values)
            rows: list[Any] = cursor.fetchall() if cursor.description else []
            cursor.connection.commit()
        return rows

    def _sql(self, statement: str) -> str:
        return statement if self._backend == "sqlite" else statement.replace("?", "%s")


def create_app() -> FastAPI:
    floor = Floor(os.environ["DATABASE_URL"])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        floor.open()
        yield
        floor.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/workflows/{workflow_id}/execute")
    def execute(workflow_id: int, body: dict[str, Any] = Body()) -> JSONResponse:  # noqa: ARG001
        return JSONResponse(floor.read(floor.run(body["initial_context"], nodes=10)))

    @app.get("/health/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def _connect_postgresql(dsn: str) -> Any:
    return psycopg2.connect(dsn)


def _connect_sqlite(path: str) -> Any:
    connection = sqlite3.connect(path, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _dicts(cursor: Any, statement: str, execution_id: int) -> list[dict[str, Any]]:
    cursor.execute(statement, (execution_id,))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _shown(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
