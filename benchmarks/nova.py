"""Nova: the workflows that are measured, saved and run in this process as the web process does it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from src.bootstrap import build
from src.core.status import Status
from src.nova import Nova
from src.settings import Settings

FUNCTIONS = "benchmarks.functions"
KINDS: dict[str, dict[str, Any]] = {
    "function": {"function": "work"},
    "transform": {"set": {"status": "paid", "total": "{{ context.amount + 1 }}"}},
    "action": {"code": "context['status'] = 'paid'\ncontext['total'] = context['amount'] + 1"},
}


def line(kind: str, count: int) -> dict[str, Any]:
    """start -> step_0 -> ... -> end."""
    steps = _steps(kind, count)
    names = ["start", *(step["id"] for step in steps), "end"]
    return _definition(f"{kind} line {count}", steps, list(pairwise(names)))


def fan_out(kind: str, count: int) -> dict[str, Any]:
    """Every step between start and end."""
    steps = _steps(kind, count)
    edges = [edge for step in steps for edge in (("start", step["id"]), (step["id"], "end"))]
    return _definition(f"{kind} fan-out {count}", steps, edges)


@contextmanager
def built(url: str) -> Iterator[Nova]:
    logging.getLogger("src").setLevel(logging.ERROR)  # the table is for figures; the sandbox's warning would cut it
    nova = build(Settings(database_url=url, nova_functions=[FUNCTIONS]))
    nova.start()
    try:
        yield nova
    finally:
        nova.close()


def save(nova: Nova, document: dict[str, Any]) -> int:
    draft, _ = nova.read_draft(document)
    return nova.workflows.create(draft)


def run(nova: Nova, workflow_id: int, context: dict[str, Any]) -> bool:
    """Whether it was completed."""
    execution_id, _ = nova.dispatcher.run_inline(nova.executions.order(workflow_id, context))
    return bool(nova.executions.find(execution_id).row.status == Status.COMPLETED)


def _steps(kind: str, count: int) -> list[dict[str, Any]]:
    return [{"id": f"step_{number}", "type": kind, **KINDS[kind]} for number in range(count)]


def _definition(name: str, steps: list[dict[str, Any]], edges: list[tuple[str, str]]) -> dict[str, Any]:
    nodes = [{"id": "start", "type": "start"}, *steps, {"id": "end", "type": "end"}]
    return {
        "name": name,
        "graph_definition": {"nodes": nodes, "edges": [{"from": source, "to": target} for source, target in edges]},
    }
