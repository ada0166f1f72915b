"""`transform`: compute new values from the context, with templates and expressions.

`{"type": "transform", "set": {"total": "{{ context.net * 1.19 }}", "greeting": "Dear {{ context.name }}"}}`.
Every value sees the context as it was before the node. A text that is one `{{ ... }}` keeps its value's type.
"""

from typing import Annotated, Literal

from jinja2 import TemplateError
from pydantic import AfterValidator, Field, PrivateAttr

from src.core.outcome import Failed, Json, NodeError, Outcome, Succeeded
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import Computed, compile_value


def _compiles(value: Json) -> Json:
    compile_value(value)
    return value


class Transform(NodeConfig):
    type: Literal["transform"]
    assign: dict[str, Annotated[Json, AfterValidator(_compiles)]] = Field(alias="set")
    """Key of the context -> template, or any JSON value with templates in it."""
    _compute: Computed = PrivateAttr()

    @property
    def effect_free(self) -> bool:
        return True

    def model_post_init(self, _: object) -> None:
        self._compute = compile_value(self.assign)

    def run(self, context: NodeContext) -> Outcome:
        try:
            return Succeeded(self._compute(context.visit.context, context.credentials))
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            return Failed(NodeError(type(error).__name__, str(error)))
