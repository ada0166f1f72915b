"""`decision`: choose the branch that the run goes along, by an expression or by Python in the sandbox.

`{"type": "decision", "expression": "context.total > 1000"}`, or `"code": "..."`, whose answer is read in this order:
`context["<node id>"]` if the code assigned it; `context["branch_decision"]` if it assigned that (it starts without
one); the value of the code if it is one expression. True and false name the branches `"true"` and `"false"`.
"""

from dataclasses import replace
from typing import Literal

from jinja2 import TemplateError
from pydantic import Field, PrivateAttr, field_validator, model_validator

from src.core.outcome import Context, Failed, Json, NodeError, Outcome, Succeeded
from src.nodes.code import check_python, failure, run_code
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import Computed, compile_expression
from src.sandbox.executor import CodeResult

LEGACY_KEY = "branch_decision"


class Decision(NodeConfig):
    type: Literal["decision"]
    code: str | None = None
    expression: str | None = None
    network: bool = False
    memory_mb: int | None = Field(None, ge=32, le=65_536)
    _evaluate: Computed = PrivateAttr()

    @property
    def effect_free(self) -> bool:
        return self.expression is not None

    @property
    def source(self) -> str:
        return self.code or self.expression or ""

    @property
    def chooses(self) -> bool:
        return True

    @field_validator("code")
    @classmethod
    def _compiles(cls, code: str | None) -> str | None:
        return code if code is None else check_python(code)

    @field_validator("expression")
    @classmethod
    def _parses(cls, expression: str | None) -> str | None:
        if expression is not None:
            compile_expression(expression)
        return expression

    @model_validator(mode="after")
    def _has_one(self) -> "Decision":
        if (self.code is None) == (self.expression is None):
            raise ValueError('expected either "code" or "expression"')
        return self

    def model_post_init(self, _: object) -> None:
        if self.expression is not None:
            self._evaluate = compile_expression(self.expression)

    def run(self, context: NodeContext) -> Outcome:
        if self.code is None:
            return self._by_expression(context)
        return self._by_code(context, self.code)

    def _by_expression(self, context: NodeContext) -> Outcome:
        try:
            return self._choose(self._evaluate(context.visit.context, context.credentials), context, {}, "")
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            return Failed(NodeError(type(error).__name__, str(error)))

    def _by_code(self, context: NodeContext, code: str) -> Outcome:
        values = {key: value for key, value in context.context.items() if key != LEGACY_KEY}
        result = run_code(self, context, code, "decision", values)
        if result.status != "ok":
            return failure(result)
        chosen = self._choose(self._decided(result, values), context, result.changes, result.logs)
        return replace(chosen, usage=result.usage)

    def _decided(self, result: CodeResult, values: Context) -> Json:
        for key in (self.id, LEGACY_KEY):
            if key in result.written:
                return {**values, **result.changes}.get(key)
        return result.value

    def _choose(self, decided: Json, context: NodeContext, changes: Context, logs: str) -> Outcome:
        visit = context.visit
        if not isinstance(decided, bool | str | int | float):
            got = "no answer" if decided is None else f"an answer of type {type(decided).__name__}"
            ways = f"context[{self.id!r}], context[{LEGACY_KEY!r}] or the value of one expression"
            message = f"expected true, false or the name of a branch as {ways}; got {got}"
            return Failed(NodeError("NoDecision", message), logs)
        branch = branch_name(decided)
        if branch not in visit.branches and None not in visit.branches:
            ways = ", ".join(sorted(repr(each) for each in visit.branches))
            return Failed(NodeError("NoSuchBranch", f"chose {branch!r}, but the edges are for {ways}"), logs)
        return Succeeded(changes, branch, logs)


def branch_name(decided: Json) -> str:
    """True and "True" are both the branch `true`; other texts and numbers are their own names."""
    text = str(decided).strip()
    return text.lower() if text.lower() in ("true", "false") else text
