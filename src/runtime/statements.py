"""The SQL of the ledger: each statement takes one parameter, a JSON array of rows, and so writes any number of runs.

They differ between the databases only in how the array is taken apart.
"""

from collections.abc import Iterable

from sqlalchemy import Dialect, FromClause, literal_column
from sqlalchemy.dialects import postgresql, sqlite

from src.core.status import PAUSE, Status
from src.models import Blob, ChainOfWork, Execution
from src.models.columns import moment
from src.runtime.queue import FOR_TURN

EXECUTIONS, CHAIN, BLOBS = Execution.__table__, ChainOfWork.__table__, Blob.__table__

NEW = [
    "task_id",
    "workflow_id",
    "workflow_version",
    "client_id",
    "status",
    "waiting_for",
    "mode",
    "queue",
    "priority",
    "initial_context",
    "idempotency_key",
    "request_sha256",
    "schedule_id",
    "fire_at",
    "lease_owner",
    "lease_token",
    "actor",
    "request_id",
    "created_at",
    "started_at",
    "rings",
]
CHILD = [
    "task_id",
    "workflow_id",
    "workflow_version",
    "queue",
    "initial_context",
    "created_at",
    "parent_id",
    "parent_node_id",
    "parent_item",
    "lease_token",
]
"""Of these `lease_token` is the parent's: the fence under which they are written."""
ATTEMPT = [column.name for column in CHAIN.columns if column.name not in ("id", "code_executed")]
SETTLEMENT = ["last_seal", "waiting_for", "wake_at", "result", "error", "completed_at", "execution_time"]
BLOB = ["sha256", "content", "created_at"]

RUNNING = f"executions.status = '{Status.RUNNING}' AND executions.lease_token = r.lease_token"
"""The fence: whoever has lost the execution writes nothing."""


def statements(*, is_sqlite: bool, lease_seconds: float) -> dict[str, str]:
    """The statements by name. `keep`, `children` and `settle` write only under the token that a row still has."""
    sql = _Sqlite() if is_sqlite else _Postgresql()
    return {
        "blobs": _blobs(sql),
        "create": _create(sql, lease_seconds),
        "keep": _keep(sql),
        "children": _children(sql),
        "settle": _settle(sql),
    }


class _Postgresql:
    dialect: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    lock = "FOR SHARE OF executions"

    def rows(self, table: FromClause, names: Iterable[str]) -> str:
        """A FROM item `r`: the rows of the array that is the statement's parameter, each with its place there."""
        typed = [f"{name} {table.c[name].type.compile(self.dialect)}" for name in names]
        return f"json_to_recordset($1) AS r({', '.join([*typed, 'place int'])})"

    def by_key(self, name: str) -> str:
        """Says once more which executions are meant: a plan that PostgreSQL prepared while the table was small would
        look through all of it for ever. With this it goes by the key.
        """
        return (
            f"AND executions.id = ANY (ARRAY(SELECT (each ->> '{name}')::bigint FROM json_array_elements($1) AS each)) "
        )


class _Sqlite:
    dialect: Dialect = sqlite.dialect()
    lock = ""

    def rows(self, table: FromClause, names: Iterable[str]) -> str:  # noqa: ARG002
        fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in [*names, "place"])
        return f"(SELECT {fields} FROM json_each(?)) AS r"

    def by_key(self, name: str) -> str:  # noqa: ARG002
        return ""


_Sql = _Postgresql | _Sqlite


def _blobs(sql: _Sql) -> str:
    return (
        f"INSERT INTO blobs ({_list(BLOB)}) SELECT {_list(BLOB, 'r')} FROM {sql.rows(BLOBS, BLOB)} "
        "WHERE true ON CONFLICT DO NOTHING"
    )


def _create(sql: _Sql, lease_seconds: float) -> str:
    """Held by whoever creates it, or in the queue."""
    now, lease_until = (
        moment(literal_column(repr(each))).compile(dialect=sql.dialect) for each in (0.0, lease_seconds)
    )
    return (
        f"INSERT INTO executions ({_list(NEW)}, lease_until, queued_at, rung_at) SELECT {_list(NEW, 'r')}, "
        f"CASE WHEN r.lease_owner IS NOT NULL THEN {lease_until} END, "
        f"CASE WHEN r.lease_owner IS NULL THEN {now} END, CASE WHEN r.lease_owner IS NULL THEN {now} END "
        f"FROM {sql.rows(EXECUTIONS, NEW)} WHERE true ORDER BY r.place ON CONFLICT DO NOTHING RETURNING id, task_id"
    )


def _keep(sql: _Sql) -> str:
    """Brings along what an operator asks of the run."""
    asked = "(SELECT e.requested FROM executions AS e WHERE e.id = execution_id)"
    return (
        f"INSERT INTO chain_of_work ({_list(ATTEMPT)}) SELECT {_list(ATTEMPT, 'r')} "
        f"FROM {sql.rows(CHAIN, ATTEMPT)} JOIN executions ON executions.id = r.execution_id AND {RUNNING} "
        f"{sql.by_key('execution_id')}"
        f"ORDER BY r.place {sql.lock} RETURNING execution_id, lease_token, {asked}"
    )


def _children(sql: _Sql) -> str:
    """Held until it is their turn. What calls no workflow runs a graph inside its parent's, named by a pointer."""
    own_graph = (
        "CASE WHEN r.workflow_id IS NULL THEN coalesce(executions.subgraph, '') || '/' || "
        "replace(replace(r.parent_node_id, '~', '~0'), '/', '~1') END"
    )
    return (
        "INSERT INTO executions (task_id, workflow_id, workflow_version, queue, initial_context, "
        "created_at, parent_id, parent_node_id, parent_item, subgraph, depth, client_id, priority, mode, status, "
        "waiting_for, actor, request_id, lease_token, rings) "
        "SELECT r.task_id, coalesce(r.workflow_id, executions.workflow_id), "
        "coalesce(r.workflow_version, executions.workflow_version), r.queue, r.initial_context, r.created_at, "
        f"r.parent_id, r.parent_node_id, r.parent_item, {own_graph}, executions.depth + 1, executions.client_id, "
        f"executions.priority, executions.mode, '{Status.WAITING}', '{FOR_TURN}', "
        "executions.actor, executions.request_id, 0, 0 "
        f"FROM {sql.rows(EXECUTIONS, CHILD)} JOIN executions ON executions.id = r.parent_id AND {RUNNING} "
        f"{sql.by_key('parent_id')}WHERE true ORDER BY r.place ON CONFLICT DO NOTHING"
    )


def _settle(sql: _Sql) -> str:
    """A run that waits is held where an operator has asked for that meanwhile."""
    is_held = f"r.status = '{Status.WAITING}' AND executions.requested = '{PAUSE}'"
    names = ["id", "lease_token", "status", *SETTLEMENT]
    return (
        f"UPDATE executions SET {', '.join(f'{name} = r.{name}' for name in SETTLEMENT)}, "
        f"status = CASE WHEN {is_held} THEN '{Status.PAUSED}' ELSE r.status END, requested = NULL, "
        f"lease_owner = NULL, lease_until = NULL FROM {sql.rows(EXECUTIONS, names)} "
        f"WHERE executions.id = r.id AND {RUNNING} {sql.by_key('id')}RETURNING executions.id, executions.lease_token"
    )


def _list(names: Iterable[str], table: str = "") -> str:
    return ", ".join(f"{table}.{name}" if table else name for name in names)
