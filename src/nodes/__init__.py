"""The kinds of node, one file each, listed here by hand: a new kind is a file and a line."""

from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from src.core.errors import DefinitionError, Problem, pointer_to
from src.core.node import Node
from src.core.outcome import Json
from src.nodes.action import Action
from src.nodes.agent import Agent
from src.nodes.config import NodeConfig, Registered
from src.nodes.decision import Decision
from src.nodes.email_fetch import EmailFetch
from src.nodes.email_send import EmailSend
from src.nodes.end import End
from src.nodes.function import Function
from src.nodes.http_request import HttpRequest
from src.nodes.image import Image
from src.nodes.llm import Llm
from src.nodes.map import INNER_PROBLEMS, Map
from src.nodes.review import Review
from src.nodes.sql import SqlQuery
from src.nodes.start import Start
from src.nodes.transform import Transform
from src.nodes.wait import Wait
from src.nodes.workflow import Workflow

KINDS: dict[str, type[NodeConfig]] = {
    "start": Start,
    "end": End,
    "action": Action,
    "decision": Decision,
    "transform": Transform,
    "function": Function,
    "http_request": HttpRequest,
    "llm": Llm,
    "agent": Agent,
    "image": Image,
    "email_send": EmailSend,
    "email_fetch": EmailFetch,
    "sql": SqlQuery,
    "wait": Wait,
    "review": Review,
    "workflow": Workflow,
    "map": Map,
}


class InstalledKinds:
    """The kinds, as they are written where `functions` may be called."""

    def __init__(self, functions: Mapping[str, Registered]) -> None:
        self._functions = functions

    def read(self, fields: Mapping[str, Json]) -> Node:
        """The node that `fields` describe; raises DefinitionError with every problem, pointers starting at the node."""
        kind = KINDS.get(str(fields.get("type")))
        if kind is None:
            detail = f"there is no kind {fields.get('type')!r}; there are: {', '.join(KINDS)}"
            raise DefinitionError([Problem("/type", detail)])
        try:
            return kind.model_validate(fields, context={"functions": self._functions, "kinds": self})
        except ValidationError as error:
            found = error.errors(include_url=False)
            raise DefinitionError(problem for each in found for problem in _problems(each, kind)) from None


def _problems(found: ErrorDetails, kind: type[NodeConfig]) -> Iterator[Problem]:
    pointer = pointer_to(found["loc"])
    if found["type"] == INNER_PROBLEMS:
        inner = found["ctx"]["problems"]
        yield from (Problem(f"{pointer}{problem.pointer}", problem.detail) for problem in inner)
    else:
        yield _problem(found, kind, pointer)


def _problem(found: ErrorDetails, kind: type[NodeConfig], pointer: str) -> Problem:
    if found["type"] == "extra_forbidden":
        fields = ", ".join(field.alias or name for name, field in kind.model_fields.items())
        return Problem(pointer, f"unknown field; a node of this kind has: {fields}")
    if found["type"] == "missing":
        return Problem(pointer, "this field is needed")
    return Problem(pointer, found["msg"].removeprefix("Value error, "))
