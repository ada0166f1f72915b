"""The SQL of the ledger: each statement takes one parameter, a JSON array of rows, and so writes any number of runs.

They differ between the databases only in how the array is taken apart.
"""

from collections.abc import Iterable

from sqlalchemy import FromClause, literal_column
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

BY_KEY = "AND executions.id = ANY (ARRAY(SELECT (each ->> '{}')::bigint FROM json_array_elements($1) AS each)) "
"""Says once more which executions are meant: a plan that PostgreSQL prepared while the table was small would look
through all of it for ever. With this it goes by the key."""


def statements(*, is_sqlite: bool, lease_seconds: float) -> dict[str, str]:
    """The statements by name. `keep`, `children` and `settle` write only under the token that a row still has."""
    dialect = sqlite.dialect() if is_sqlite else postgresql.dialect()  # type: ignore[no-untyped-call]
    now, lease_until = (moment(literal_column(repr(after))).compile(dialect=dialect) for after in (0.0, lease_seconds))
    running = f"executions.status = '{Status.RUNNING}' AND executions.lease_token = r.lease_token"
    named = "" if is_sqlite else BY_KEY
    asked = "(SELECT e.requested FROM executions AS e WHERE e.id = execution_id)"
    own_graph = (
        "CASE WHEN r.workflow_id IS NULL THEN coalesce(executions.subgraph, '') || '/' || "
        "replace(replace(r.parent_node_id, '~', '~0'), '/', '~1') END"
    )
    is_held = f"r.status = '{Status.WAITING}' AND executions.requested = '{PAUSE}'"
    lock = "" if is_sqlite else "FOR SHARE OF executions"

    def rows(table: FromClause, names: Iterable[str]) -> str:
        return _rows(table, [*names, "place"], is_sqlite=is_sqlite)

    return {
        "blobs": f"INSERT INTO blobs ({_list(BLOB)}) SELECT {_list(BLOB, 'r')} FROM {rows(BLOBS, BLOB)} "
        "WHERE true ON CONFLICT DO NOTHING",
        "create": f"INSERT INTO executions ({_list(NEW)}, lease_until, queued_at, rung_at) SELECT {_list(NEW, 'r')}, "
        f"CASE WHEN r.lease_owner IS NOT NULL THEN {lease_until} END, "
        f"CASE WHEN r.lease_owner IS NULL THEN {now} END, CASE WHEN r.lease_owner IS NULL THEN {now} END "
        f"FROM {rows(EXECUTIONS, NEW)} WHERE true ORDER BY r.place ON CONFLICT DO NOTHING RETURNING id, task_id",
        "keep": f"INSERT INTO chain_of_work ({_list(ATTEMPT)}) SELECT {_list(ATTEMPT, 'r')} "
        f"FROM {rows(CHAIN, ATTEMPT)} JOIN executions ON executions.id = r.execution_id AND {running} "
        f"{named.format('execution_id')}"
        f"ORDER BY r.place {lock} RETURNING execution_id, lease_token, {asked}",
        "children": "INSERT INTO executions (task_id, workflow_id, workflow_version, queue, initial_context, "
        "created_at, parent_id, parent_node_id, parent_item, subgraph, depth, client_id, priority, mode, status, "
        "waiting_for, actor, request_id, lease_token, rings) "
        "SELECT r.task_id, coalesce(r.workflow_id, executions.workflow_id), "
        "coalesce(r.workflow_version, executions.workflow_version), r.queue, r.initial_context, r.created_at, "
        f"r.parent_id, r.parent_node_id, r.parent_item, {own_graph}, executions.depth + 1, executions.client_id, "
        f"executions.priority, executions.mode, '{Status.WAITING}', '{FOR_TURN}', "
        "executions.actor, executions.request_id, 0, 0 "
        f"FROM {rows(EXECUTIONS, CHILD)} JOIN executions ON executions.id = r.parent_id AND {running} "
        f"{named.format('parent_id')}WHERE true ORDER BY r.place ON CONFLICT DO NOTHING",
        "settle": f"UPDATE executions SET {', '.join(f'{name} = r.{name}' for name in SETTLEMENT)}, "
        f"status = CASE WHEN {is_held} THEN '{Status.PAUSED}' ELSE r.status END, requested = NULL, "
        f"lease_owner = NULL, lease_until = NULL FROM {rows(EXECUTIONS, ['id', 'lease_token', 'status', *SETTLEMENT])} "
        f"WHERE executions.id = r.id AND {running} {named.format('id')}RETURNING executions.id, executions.lease_token",
    }


def _rows(table: FromClause, names: list[str], *, is_sqlite: bool) -> str:
    """A FROM item `r`: the rows of the array that is the statement's parameter."""
    if is_sqlite:
        fields = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
        return f"(SELECT {fields} FROM json_each(?)) AS r"
    types = {name: table.c[name].type.compile(postgresql.dialect()) for name in names if name != "place"}  # type: ignore[no-untyped-call]
    fields = ", ".join(f"{name} {types.get(name, 'int')}" for name in names)
    return f"json_to_recordset($1) AS r({fields})"


def _list(names: Iterable[str], table: str = "") -> str:
    return ", ".join(f"{table}.{name}" if table else name for name in names)
