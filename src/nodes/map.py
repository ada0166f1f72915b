"""`map`: an execution for each item of a list, a bounded number of them at once, wherever there are runners.

`{"type": "map", "items": "context.orders", "workflow": "ship order", "concurrency": 20}`, or with a `graph` of its own
in place of `workflow`. Each child starts with `item` and `index` (from 0), and with what `context` says:
`"context": {"rate": "{{ context.rate }}", "order": "{{ context.item.id }}"}`. The results of the children stand in the
context under `result_key` (the node's id where it says nothing), in the order of the items. `on_error`: `fail` ends the
node, and the other children, at the first that fails; `collect` goes on, with `{"error": {...}}` in its place.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from jinja2 import TemplateError
from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from src.core.definition import build_graph
from src.core.errors import DefinitionError
from src.core.node import Callee
from src.core.outcome import Child, Context, Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.nodes.calling import (
    MAX_DEPTH,
    Templates,
    WorkflowReference,
    failure_of,
    find,
    has_completed,
    has_failed,
)
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import compile_expression, compile_template, compile_value

MAX_ITEMS = 10_000
INNER_PROBLEMS = "inner_graph"
"""The type of pydantic's error that carries the problems of a graph inside a node."""


def _reader(source: str) -> Callable[[Context], Json]:
    return compile_template(source) if "{{" in source else compile_expression(source)


def _reads(source: str) -> str:
    _reader(source)
    return source


class Map(NodeConfig):
    type: Literal["map"]
    items: Annotated[str, AfterValidator(_reads)]
    """An expression over the context whose value is a list of at most 10,000 items."""
    workflow: WorkflowReference | None = None
    graph: dict[str, Json] | None = None
    """A graph in native form that runs for each item."""
    context: Templates = Field({})
    """What a child gets beside `item` and `index`: key -> template, in which `context.item` and `context.index` stand
    for its own."""
    concurrency: int = Field(8, ge=1, le=1000)
    """Children that are unfinished at once."""
    on_error: Literal["fail", "collect"] = "fail"
    result_key: str | None = None
    _items: Callable[[Context], Json] = PrivateAttr()
    _given: Callable[[Context], Json] = PrivateAttr()

    @field_validator("graph")
    @classmethod
    def _can_run(cls, graph: dict[str, Json] | None, info: ValidationInfo) -> dict[str, Json] | None:
        if graph is not None:
            try:
                build_graph(graph, (info.context or {})["kinds"])
            except DefinitionError as error:
                raise PydanticCustomError(INNER_PROBLEMS, "the graph", {"problems": error.problems}) from None
        return graph

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.workflow is None) == (self.graph is None):
            raise ValueError('expected either "workflow" or "graph"')
        return self

    def model_post_init(self, _: object) -> None:
        self._items, self._given = _reader(self.items), compile_value(self.context)

    def run(self, context: NodeContext) -> Outcome:
        visit = context.visit
        if visit.answer is not None:
            return self._ended(visit.answer)
        if visit.waited is not None:
            return Failed(NodeError("Timeout", f"the children have not ended within {self.timeout:g} s"))
        try:
            return self._start(context)
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            return Failed(NodeError(type(error).__name__, str(error)))

    def _start(self, context: NodeContext) -> Outcome:
        items = self._items(context.visit.context)
        if not isinstance(items, list) or len(items) > MAX_ITEMS:
            got = f"{len(items):,} items" if isinstance(items, list) else type(items).__name__
            return Failed(NodeError("TypeError", f"items: expected a list of at most {MAX_ITEMS:,} items, got {got}"))
        callee = self._callee(context)
        if isinstance(callee, Failed):
            return callee
        if not items:
            return self._ended([])
        children = [self._child(callee, place, item, context.visit.context) for place, item in enumerate(items)]
        until = datetime.now(UTC) + timedelta(seconds=self.timeout) if self.timeout else None
        details = {"concurrency": self.concurrency, "on_error": self.on_error, "items": len(items)}
        return Waiting(WaitFor.CHILD, until, details, children=children)

    def _callee(self, context: NodeContext) -> Callee | Failed | None:
        """None: the graph of this node."""
        if self.workflow is not None:
            return find(context, compile_value(self.workflow))
        if context.visit.depth >= MAX_DEPTH:
            return Failed(NodeError("TooDeep", f"{MAX_DEPTH} executions are above this one"))
        return None

    def _child(self, callee: Callee | None, place: int, item: Json, seen: Context) -> Child:
        own = {"item": item, "index": place}
        given = own | self._given({**seen, **own}) if self.context else own
        if callee is None:
            return Child(given, queue=(self.graph or {}).get("queue"))
        return Child({**callee.initial_context, **given}, callee.workflow_id, callee.version, callee.queue)

    def _ended(self, ends: list[Mapping[str, Json]]) -> Outcome:
        failed = [(place, end) for place, end in enumerate(ends) if not has_completed(end)]
        if failed and self.on_error == "fail":
            place, end = next((each for each in failed if has_failed(each[1])), failed[0])
            return Failed(failure_of(end, f"item {place} of {self.id!r}"))
        results = [end["result"] if has_completed(end) else {"error": _told(end)} for end in ends]
        return Succeeded({self.result_key or self.id: results})


def _told(end: Mapping[str, Json]) -> Context:
    """What stands in the place of a result that there is not."""
    error = end["error"] or {"type": "Stopped", "message": "it was stopped", "class": None, "node_id": None}
    return {name: error.get(name) for name in ("type", "message", "class", "node_id")} | {"execution_id": end["id"]}
