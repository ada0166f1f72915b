"""How workflows and runs look in a terminal. What happens is decided elsewhere."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Row

from src.core.engine import NodeChange
from src.core.outcome import Attempt, Failed, Waiting
from src.core.values import visible
from src.runtime.executions import Entry, Found
from src.runtime.schedules import Found as Schedule

out = Console(highlight=False)
progress = Console(stderr=True, highlight=False)
WIDE = ("output or error", "description")
"""Columns that give way where a terminal is narrow."""
COLOURS = {
    "success": "green",
    "completed": "green",
    "failed": "red",
    "running": "cyan",
    "waiting": "yellow",
    "queued": "yellow",
}


class Progress:
    """Shows the nodes of a run as they go: a live table on a terminal, a plain line a node elsewhere."""

    def __init__(self) -> None:
        self._nodes: dict[str, Attempt | None] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __call__(self, change: NodeChange) -> None:
        with self._lock:
            self._nodes[change.node_id] = change.attempt
            if self._live:
                self._live.update(self._table())
            elif change.attempt:
                progress.print(_line(change.node_id, change.attempt), soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        if not progress.is_terminal:
            yield
            return
        with Live(console=progress, refresh_per_second=12) as self._live:
            yield
        self._live = None

    def _table(self) -> Table:
        table = _table("node", "state", "time")
        for node_id, attempt in self._nodes.items():
            table.add_row(
                Text(visible(node_id)), _status(_state(attempt)), _seconds(attempt.execution_time if attempt else None)
            )
        return table


def show_chain(found: Found, entries: Iterable[Entry]) -> None:
    """An execution with every attempt at its nodes."""
    table = _table("node", "kind", "attempt", "status", "branch", "time", "output or error")
    for entry in entries:
        row = entry.row
        what = _one_line(row.error_message or json.dumps(entry.output or {}, ensure_ascii=False))
        cells = (
            Text(visible(row.node_id)),
            row.node_type,
            str(row.attempt),
            _status(row.status),
            Text(visible(row.decision_result or "")),
        )
        table.add_row(*cells, _seconds(row.execution_time), what)
    out.print(Text.assemble(f"Execution {found.row.id}: ", _status(found.row.status), f", {found.row.mode}, "), end="")
    out.print(_seconds(found.row.execution_time))
    out.print(table)
    error = found.row.error
    if error:
        words = f"{error['node_id']}: {error['type']}: {error['message']}\n{error['traceback'] or ''}"
        out.print(Text(visible(words), "red"))


def show_executions(rows: Iterable[Row[Any]]) -> None:
    table = _table("id", "workflow", "version", "status", "mode", "created", "time")
    for row in rows:
        created = row.created_at.strftime("%Y-%m-%d %H:%M:%S")
        identity = (str(row.id), str(row.workflow_id), str(row.workflow_version))
        table.add_row(*identity, _status(row.status), row.mode, created, _seconds(row.execution_time))
    out.print(table)


def show_workflows(rows: Iterable[Row[Any]]) -> None:
    table = _table("id", "name", "version", "changed", "description")
    for row in rows:
        changed = row.updated_at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(str(row.id), Text(visible(row.name)), str(row.version), changed, _one_line(row.description or ""))
    out.print(table)


def show_schedules(found: Iterable[Schedule]) -> None:
    table = _table("id", "workflow", "cron", "time zone", "next", "last run", "name")
    for each in found:
        row = each.row
        last = Text.assemble(f"{row.last_execution_id} ", _status(row.last_status)) if row.last_status else Text()
        next_at = row.next_fire_at.strftime("%Y-%m-%d %H:%M") if row.next_fire_at else "off"
        named = (Text(visible(row.workflow)), Text(row.cron), row.timezone)
        table.add_row(str(row.id), *named, next_at, last, _one_line(row.name or ""))
    out.print(table)


def show_triggers(check: dict[str, Any]) -> None:
    """What the five triggers found, and what follows."""
    table = _table("trigger", "fires", "value", "above", "unit")
    for each in check["triggers"]:
        fires = Text("yes", "red") if each["fires"] else Text("no", "green")
        table.add_row(each["name"], fires, f"{each['value']:g}", f"{each['threshold']:g}", each["unit"])
    out.print(table)
    for each in check["triggers"]:
        ids = ", ".join(map(str, each["executions"][:5]))
        runs = f" Runs: {ids}." if each["fires"] and ids else ""
        out.print(Text(f"\n{each['name']}: {each['advice']}{runs}"), soft_wrap=True)
    told = [each["sentence"] + "." for each in check["forecasts"]]
    lines = [*told, check["would_have_changed"]["sentence"], check["verdict"]]
    out.print(Text("\n" + "\n".join(lines)), soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="right" if column in ("time", "attempt") else "left", no_wrap=column not in WIDE
        )
    return table


def _one_line(text: str) -> Text:
    return Text(visible(text), no_wrap=True, overflow="ellipsis")


def _line(node_id: str, attempt: Attempt) -> Text:
    error = visible(f"  {attempt.outcome.error.message}") if isinstance(attempt.outcome, Failed) else ""
    return Text.assemble(f"{node_id:<24} ", _status(_state(attempt)), f"  {_seconds(attempt.execution_time)}{error}")


def _state(attempt: Attempt | None) -> str:
    if attempt is None:
        return "running"
    if isinstance(attempt.outcome, Failed):
        return "failed"
    return "waiting" if isinstance(attempt.outcome, Waiting) else "success"


def _status(status: str) -> Text:
    return Text(status, COLOURS.get(status, ""))


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
