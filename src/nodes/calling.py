"""What `workflow` and `map` share: which workflow they call, what it is given, and what its end means for the node."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from src.core.errors import NotFound
from src.core.node import Callee
from src.core.outcome import Context, Failed, Json, NodeError
from src.core.status import Status
from src.nodes.config import NodeContext
from src.nodes.template import compile_value

MAX_DEPTH = 10
"""Executions above one another: a workflow that calls itself without end is found out."""


def _reference(value: object) -> int | str:
    if isinstance(value, str) and value.strip():
        compile_value(value)
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError("expected the name or the id of a workflow")


def _compiles(value: Json) -> Json:
    compile_value(value)
    return value


WorkflowReference = Annotated[int | str, BeforeValidator(_reference)]
Templates = dict[str, Annotated[Json, AfterValidator(_compiles)]]


def called_by(graph: Mapping[str, Json]) -> Iterator[tuple[str, int | str]]:
    """The workflows that the nodes of a graph name, and those of the graphs inside it, each with its pointer. What a
    template names is known when it runs.
    """
    nodes = graph.get("nodes")
    for place, node in enumerate(nodes if isinstance(nodes, list) else ()):
        if not isinstance(node, dict):
            continue
        for pointer, which in _named(node):
            is_id = isinstance(which, int) and not isinstance(which, bool)
            if is_id or (isinstance(which, str) and "{{" not in which):
                yield f"/nodes/{place}{pointer}", which
        if isinstance(node.get("graph"), dict):
            yield from ((f"/nodes/{place}/graph{pointer}", which) for pointer, which in called_by(node["graph"]))


def _named(node: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    if node.get("type") in ("workflow", "map"):
        yield "/workflow", node.get("workflow")
    tools = node.get("tools") if node.get("type") in ("agent", "llm") else None
    for place, tool in enumerate(tools if isinstance(tools, list) else ()):
        is_whole = isinstance(tool, dict)
        yield (f"/tools/{place}/workflow", tool.get("workflow")) if is_whole else (f"/tools/{place}", tool)


def find(context: NodeContext, reference: Callable[[Context], Json]) -> Callee | Failed:
    """The workflow that a node calls, unless it must not."""
    if context.visit.depth >= MAX_DEPTH:
        message = f"{MAX_DEPTH} executions are above this one: a workflow that calls itself needs a way out"
        return Failed(NodeError("TooDeep", message))
    which = reference(context.visit.context)
    if not isinstance(which, int | str) or isinstance(which, bool):
        return Failed(NodeError("NoSuchWorkflow", f"expected the name or the id of a workflow, got {which!r}"))
    try:
        callee = context.find_workflow(which)
        if context.visit.client_id is not None and callee.client_id not in (None, context.visit.client_id):
            raise NotFound("workflow", which)  # a run for one customer reaches nothing of another's
        return callee
    except NotFound as error:
        return Failed(NodeError("NoSuchWorkflow", str(error)))


def has_completed(end: Mapping[str, Json]) -> bool:
    return bool(end["status"] == Status.COMPLETED)


def has_failed(end: Mapping[str, Json]) -> bool:
    return bool(end["status"] == Status.FAILED)


def failure_of(end: Mapping[str, Json], what: str) -> NodeError:
    """The error of a node whose child has not completed."""
    error = end["error"] or {}
    why = f": {error.get('type')}: {error.get('message')}" if error else ""
    return NodeError("ChildFailed", f"{what} {end['status']} (execution {end['id']}){why}")
