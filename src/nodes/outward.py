"""What the kinds that call something outside share: fields that hold templates, and what becomes of a fault."""

from abc import abstractmethod
from typing import Annotated, Any

from jinja2 import TemplateError
from pydantic import AfterValidator

from src.core.outcome import Failed, Json, NodeError, Outcome
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import compile_value
from src.outside.errors import OutsideError


def _compiles(value: Any) -> Any:
    compile_value(value)
    return value


Template = Annotated[str, AfterValidator(_compiles)]
Templates = Annotated[Json, AfterValidator(_compiles)]
"""Any JSON value with templates in it."""


class FieldProblem(ValueError):
    """A field has another value than is of use here, once its templates are filled in."""

    def __init__(self, field: str, problem: object) -> None:
        super().__init__(f"{field}: {problem}")


class OutwardNode(NodeConfig):
    result_key: str | None = None
    """Where in the context the answer goes; the node's id where it says nothing."""

    def run(self, context: NodeContext) -> Outcome:
        try:
            return self.call(context)
        except OutsideError as error:
            return Failed(error.told)
        except FieldProblem as problem:
            return Failed(NodeError("FieldProblem", str(problem)))

    @abstractmethod
    def call(self, context: NodeContext) -> Outcome:
        """Raises OutsideError, FieldProblem."""

    @property
    def key(self) -> str:
        return self.result_key or self.id


def filled(value: Json, context: NodeContext, field: str) -> Json:
    """`value` with its templates filled in. Raises FieldProblem."""
    try:
        return compile_value(value)(context.visit.context, context.credentials)
    except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
        raise FieldProblem(field, error) from None


def filled_text(value: Json, context: NodeContext, field: str) -> str:
    """The same for a field that is a text: numbers are one too."""
    text = filled(value, context, field)
    if isinstance(text, str):
        return text
    if isinstance(text, int | float) and not isinstance(text, bool):
        return str(text)
    raise FieldProblem(field, f"expected a text, got {type(text).__name__}")
