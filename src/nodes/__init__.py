"""The kinds of node, one file each, listed here by hand: a new kind is a file and a line."""

from collections.abc import Callable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from src.core.errors import DefinitionError, Problem, pointer_to
from src.core.node import Node, Visit
from src.core.outcome import Json, Outcome
from src.nodes.action import Action
from src.nodes.config import NodeConfig, NodeContext, Registered
from src.nodes.decision import Decision
from src.nodes.end import End
from src.nodes.function import Function
from src.nodes.http_request import HttpRequest
from src.nodes.image import Image
from src.nodes.llm import Llm
from src.nodes.review import Review
from src.nodes.start import Start
from src.nodes.transform import Transform
from src.nodes.wait import Wait
from src.outside.outside import Outside
from src.sandbox.executor import CodeExecutor, HttpBridge

KINDS: dict[str, type[NodeConfig]] = {
    "start": Start,
    "end": End,
    "action": Action,
    "decision": Decision,
    "transform": Transform,
    "function": Function,
    "http_request": HttpRequest,
    "llm": Llm,
    "image": Image,
    "wait": Wait,
    "review": Review,
}


class InstalledKinds:
    """The kinds with what this installation lends them."""

    def __init__(
        self,
        sandbox: CodeExecutor,
        functions: Mapping[str, Registered],
        http: Callable[[Visit], HttpBridge | None] = lambda _: None,
        outside: Outside | None = None,
    ) -> None:
        """`http`: what the code of a visit makes its calls through."""
        self.sandbox = sandbox
        self._functions = functions
        self._http = http
        self._outside = outside or Outside()

    def read(self, fields: Mapping[str, Json]) -> Node:
        """The node that `fields` describe; raises DefinitionError with every problem, pointers starting at the node."""
        kind = KINDS.get(str(fields.get("type")))
        if kind is None:
            detail = f"there is no kind {fields.get('type')!r}; there are: {', '.join(KINDS)}"
            raise DefinitionError([Problem("/type", detail)])
        try:
            return kind.model_validate(fields, context={"functions": self._functions})
        except ValidationError as error:
            raise DefinitionError(_problem(found, kind) for found in error.errors(include_url=False)) from None

    def run(self, node: Node, visit: Visit) -> Outcome:
        assert isinstance(node, NodeConfig)
        lent = NodeContext(visit, self.sandbox, self._functions, self._outside, self._http(visit))
        return node.looked_at(node.run(lent), visit)

    def forget(self, execution_id: int) -> None:
        self.sandbox.forget(execution_id)


def _problem(found: ErrorDetails, kind: type[NodeConfig]) -> Problem:
    pointer = pointer_to(found["loc"])
    if found["type"] == "extra_forbidden":
        fields = ", ".join(field.alias or name for name, field in kind.model_fields.items())
        return Problem(pointer, f"unknown field; a node of this kind has: {fields}")
    if found["type"] == "missing":
        return Problem(pointer, "this field is needed")
    return Problem(pointer, found["msg"].removeprefix("Value error, "))
