"""What every kind of node has in common: the fields of `NodeConfig`, and what a kind is lent while it runs."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from jinja2 import TemplateError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from src.core.node import Callee, Visit
from src.core.outcome import Context, ErrorClass, Failed, Json, NodeError, Outcome, Succeeded
from src.core.policy import QueueName
from src.core.retry import RetryPolicy
from src.nodes.template import compile_expression
from src.outside.outside import Outside
from src.sandbox.executor import CodeExecutor

Registered = Callable[..., Any]
"""A function of the deployment: `f(context)` or `f(context, node)`."""


class NodeContext(NamedTuple):
    """A visit to a node, with what this installation lends to nodes."""

    visit: Visit
    sandbox: CodeExecutor
    functions: Mapping[str, Registered]
    outside: Outside
    find_workflow: Callable[[int | str], Callee]
    """By id or name; raises NotFound."""

    @property
    def context(self) -> Context:
        """What code sees: the context, with the credentials of the run where it has no value of that name."""
        return self.visit.credentials.under(self.visit.context)

    @property
    def credentials(self) -> Context:
        """Of the client that the run is made for, by key; for `{{ credentials.x }}` and for kinds that sign in."""
        return self.visit.credentials.values


def _compiles(expression: str) -> str:
    compile_expression(expression)
    return expression


class NodeConfig(BaseModel):
    """The fields that a node of any kind may have. A kind adds its own, and `run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    type: str
    label: str | None = None
    timeout: Annotated[float | None, Field(gt=0, le=86_400)] = None
    """Seconds for one attempt. A kind that can be interrupted is; a `function` is only told."""
    retry: RetryPolicy | None = None
    queue: QueueName | None = None
    """The worker queue that this node wants to run on."""
    needs_review_on: Annotated[str | None, AfterValidator(_compiles)] = None
    """An expression over the context with this node's output in it: where it holds, a person must look at that."""
    position: Json = None
    """Where an editor drew the node; of no meaning here."""

    @property
    def effect_free(self) -> bool:
        return False

    @property
    def source(self) -> str:
        return ""

    @property
    def chooses(self) -> bool:
        return False

    def looked_at(self, outcome: Outcome, visit: Visit) -> Outcome:
        """A success that `needs_review_on` names is no success before somebody has looked at it."""
        if self.needs_review_on is None or not isinstance(outcome, Succeeded):
            return outcome
        try:
            seen = {**visit.context, **outcome.output}
            is_doubtful = compile_expression(self.needs_review_on)(seen, visit.credentials.values)
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            told = NodeError(type(error).__name__, f"needs_review_on: {error}")
            return Failed(told, outcome.logs, outcome.usage)
        if not is_doubtful:
            return outcome
        asked = NodeError("NeedsReview", self.needs_review_on, ErrorClass.PARTIAL)
        return Failed(asked, outcome.logs, outcome.usage, outcome.output, outcome.branch)

    @abstractmethod
    def run(self, context: NodeContext) -> Outcome: ...
