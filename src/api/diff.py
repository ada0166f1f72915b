"""How two executions look side by side."""

from typing import Any

from pydantic import Field

from src.api.shape import Shape
from src.core.compare import Difference, Ran, Why
from src.runtime import diffs


class Parting(Shape):
    node_id: str
    why: Why
    keys: list[str]
    """Of its input, where that differs; of its output, where only that does."""
    text: str


class Side(Shape):
    status: str
    branch: str | None
    error: str | None
    output: dict[str, Any]


class Node(Shape):
    node_id: str
    one: Side | None
    """None where that execution did not come to it."""
    other: Side | None
    differs: bool


class Diff(Shape):
    one: int
    other: int
    versions: list[int] = Field(description="Of the workflow, by which each has run.")
    first: Parting | None = Field(description="Where the two part; none where all nodes ended alike.")
    differences: list[Parting]
    initial_context: list[str] = Field(description="The keys of the initial contexts that differ.")
    nodes: list[Node]


def diff_view(diff: diffs.Diff) -> dict[str, Any]:
    parting = [_parting(each) for each in diff.differences]
    differing = {each.node_id for each in diff.differences}
    return {
        "one": diff.one.row.id,
        "other": diff.other.row.id,
        "versions": [diff.one.row.workflow_version, diff.other.row.workflow_version],
        "first": parting[0] if parting else None,
        "differences": parting,
        "initial_context": list(diff.initial_keys),
        "nodes": [
            {"node_id": node_id, "one": _side(one), "other": _side(other), "differs": node_id in differing}
            for node_id, one, other in diff.pairs
        ],
    }


def _parting(each: Difference) -> dict[str, Any]:
    return {"node_id": each.node_id, "why": each.why, "keys": list(each.keys), "text": each.text}


def _side(ran: Ran | None) -> dict[str, Any] | None:
    if ran is None:
        return None
    return {"status": ran.status, "branch": ran.branch, "error": ran.error, "output": ran.output}
