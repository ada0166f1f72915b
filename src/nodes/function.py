"""`function`: call a Python function of the deployment, in this process. The fast path for a team's own code.

`{"type": "function", "function": "save_invoice"}` calls the public function `save_invoice` of one of the modules that
`NOVA_FUNCTIONS` names, as `f(context)` or `f(context, node)`. It gets a copy of the context and answers a dict of
changes, or None. `node` has `id`, `execution_id`, `attempt`, `idempotency_key` and `timeout`, and
`node.progress(0.4, "page 12 of 30")` tells whoever watches how far it is.
A function cannot be interrupted: one that may hang has to bound itself.
"""

import inspect
import marshal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from pydantic import ValidationInfo, field_validator

from src.core.outcome import Failed, NodeError, Outcome, Succeeded
from src.nodes.config import NodeConfig, NodeContext, Registered


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a function that takes two arguments is told about the node it runs for."""

    id: str
    execution_id: int
    attempt: int
    idempotency_key: str
    """The same at every attempt: hand it to systems that must not do a thing twice."""
    timeout: float | None
    tell: Callable[[float, str], None] = field(default=lambda *_: None, repr=False, compare=False)

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell whoever watches how far the node is, from 0 to 1. The last word counts, and nothing keeps it."""
        self.tell(min(1.0, max(0.0, float(fraction))), str(text))


class Function(NodeConfig):
    type: Literal["function"]
    function: str

    @field_validator("function")
    @classmethod
    def _is_registered(cls, name: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get("functions", {})
        if name not in known:
            there_are = ", ".join(sorted(known)) or "none: set NOVA_FUNCTIONS to the module that defines them"
            raise ValueError(f"there is no function {name!r}. There are: {there_are}")
        return name

    def run(self, context: NodeContext) -> Outcome:
        function = context.functions.get(self.function)
        if function is None:
            return Failed(NodeError("UnknownFunction", f"{self.function!r} is not in NOVA_FUNCTIONS of this process"))
        visit = context.visit
        arguments: list[object] = [marshal.loads(marshal.dumps(context.context))]
        if _takes_node(function):
            about = (self.id, visit.execution_id, visit.attempt, visit.idempotency_key, self.timeout)
            arguments.append(NodeInfo(*about, tell=visit.progress))
        changes = function(*arguments)
        if changes is None:
            return Succeeded()
        if not isinstance(changes, dict):
            message = f"{self.function} answered a {type(changes).__name__}: expected a dict of changes, or None"
            return Failed(NodeError("TypeError", message))
        return Succeeded(changes)


@cache
def _takes_node(function: Registered) -> bool:
    """It has a second argument that must be given, or one that is called `node`."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    second = [each for each in inspect.signature(function).parameters.values() if each.kind in positional][1:2]
    return any(each.name == "node" or each.default is inspect.Parameter.empty for each in second)
