"""How rows look from outside."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from src.core.definition import holders
from src.core.explain import Choice
from src.core.outcome import Context
from src.core.status import CELERY_WORDS, Status
from src.runtime.executions import Entry, Found, NodeState
from src.runtime.reviews import Pending
from src.runtime.schedules import Found as Schedule
from src.runtime.workflows import Definition

View = dict[str, Any]
MAX_TIMED_NODES = 50
"""Proxies bound the size of headers: Railway 32 KB in all."""
OF_A_PICTURE = ("id", "type", "label", "position")
"""Fields of a node."""


def workflow_view(row: Row[Any], *, with_graph: bool = True) -> View:
    names = ("id", "name", "description", "client_id", "version", "initial_context")
    view = {name: getattr(row, name) for name in names}
    if with_graph:
        view["graph_definition"] = row.graph_definition
    return view | _moments(row, "created_at", "updated_at", "paused_at")


def version_view(row: Row[Any]) -> View:
    names = ("workflow_id", "version", "sha256", "graph_definition")
    return {name: getattr(row, name) for name in names} | _moments(row, "created_at")


def client_view(row: Row[Any]) -> View:
    names = ("id", "slug", "name", "is_active", "max_concurrent")
    return {name: getattr(row, name) for name in names} | _moments(row, "created_at")


def key_view(row: Any) -> View:
    view = {"id": row.public_id, "name": row.name, "scopes": row.scopes.split(","), "client_slug": row.client_slug}
    return view | _moments(row, "created_at", "expires_at", "revoked_at", "last_used_at")


def credential_view(row: Row[Any]) -> View:
    return {"name": row.name} | _moments(row, "created_at", "updated_at")


def summary_view(row: Row[Any]) -> View:
    names = (
        "id", "task_id", "workflow_id", "workflow_version", "client_id", "status", "mode", "waiting_for", "error",
        "execution_time", "schedule_id", "parent_id", "parent_node_id", "parent_item",
        "origin_id", "origin_node_id",
    )  # fmt: skip
    return {name: getattr(row, name) for name in names} | _moments(
        row, "created_at", "started_at", "completed_at", "wake_at", "fire_at"
    )


def execution_view(found: Found, eta_seconds: float | None = None) -> View:
    return (
        summary_view(found.row)
        | {"eta_seconds": eta_seconds}
        | {"result": found.result, "nodes": [node._asdict() for node in found.nodes]}
    )


def accepted_view(found: Found, eta_seconds: float | None = None) -> View:
    """Of an execution that goes on behind the request."""
    here = f"/executions/{found.row.id}"
    links = {"self": here, "chain": f"{here}/chain", "task": f"/tasks/{found.row.task_id}"}
    return execution_view(found, eta_seconds) | {"links": links}


def graph_view(row: Row[Any], definition: Definition) -> View:
    return {
        "execution_id": row.id,
        "workflow_id": row.workflow_id,
        "workflow": row.name,
        "version": row.workflow_version,
        "inside": holders(row.subgraph or ""),
        "graph_definition": definition,
    }


def outline(definition: Definition) -> Definition:
    """What a picture of the graph needs, without what its nodes do."""
    nodes = [{name: node[name] for name in OF_A_PICTURE if name in node} for node in definition["nodes"]]
    return {"nodes": nodes, "edges": definition["edges"]}


def schedule_view(found: Schedule) -> View:
    names = (
        "id", "workflow_id", "workflow", "name", "cron", "timezone", "initial_context", "client_id", "client_slug",
        "overlap", "catch_up", "enabled", "last_skipped_for", "last_execution_id", "last_status",
    )  # fmt: skip
    view = {name: getattr(found.row, name) for name in names}
    view |= _moments(
        found.row, "next_fire_at", "last_fire_at", "last_skipped_at", "workflow_paused_at", "created_at", "updated_at"
    )
    return view | {"description": found.cron.explained(), "next_times": times_view(found.next_times)}


def check_view(row: Row[Any]) -> View:
    return {"id": row.id, "results": row.results} | _moments(row, "checked_at")


def times_view(times: Sequence[datetime]) -> list[str | None]:
    return [_iso(each) for each in times]


def review_view(pending: Pending, seen: Context) -> View:
    """What waits for a person, with the context that its node saw."""
    row, details = pending.row, pending.row.details or {}
    names = (
        "execution_id",
        "node_id",
        "node_type",
        "attempt",
        "workflow_id",
        "workflow",
        "error_type",
        "error_message",
    )
    view = {name: getattr(row, name) for name in names} | _moments(row, "since", "due_at")
    view |= {name: details.get(name) for name in ("title", "form", "assignees")}
    return view | {"decisions": pending.decisions, "input": seen, "output": pending.output}


def choice_view(choice: Choice) -> View:
    read = [{"key": each.key, "value": each.value, "from": each.source} for each in choice.read]
    names = ("node_id", "branch", "path_taken", "text")
    return {name: getattr(choice, name) for name in names} | {"read": read}


def task_view(found: Found) -> View:
    status = CELERY_WORDS[Status(found.row.status)]
    return {
        "task_id": found.row.task_id,
        "status": status,
        "execution_id": found.row.id,
        "result": found.result,
        "error": found.row.error,
    }


def event_view(row: Row[Any]) -> View:
    return {name: getattr(row, name) for name in ("id", "kind", "actor", "data")} | _moments(row, "at")


def entry_view(entry: Entry) -> View:
    """Without the context that the node saw, which may be large."""
    hidden = ("execution_id", "output_result", "lease_token", "seal", "started_at", "timestamp", "wakes_at")
    view = {name: value for name, value in entry.row._mapping.items() if name not in hidden}
    view["output_result"] = entry.output
    return view | _moments(entry.row, "started_at", "timestamp", "wakes_at")


def audit_view(row: Row[Any]) -> View:
    names = ("actor", "action", "subject", "before_sha256", "after_sha256", "request_id")
    return {name: getattr(row, name) for name in names} | _moments(row, "at")


def server_timing(nodes: Sequence[NodeState]) -> str:
    """`Server-Timing` (W3C): a metric for each node, in milliseconds."""
    timed = [f"{_token(node.id)};dur={node.execution_time * 1000:.1f}" for node in nodes[:MAX_TIMED_NODES]]
    return ", ".join(timed)


@lru_cache(4096)
def _token(node_id: str) -> str:
    return re.sub(r"[^\w.-]", "_", node_id, flags=re.ASCII)[:60]


def _moments(row: Row[Any], *names: str) -> View:
    return {name: _iso(getattr(row, name)) for name in names}


def _iso(moment: datetime | None) -> str | None:
    """RFC 3339. What comes from the database is in UTC."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z") if moment else None
