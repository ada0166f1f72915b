"""What every kind of node has in common: the fields of `NodeConfig`, and what a kind is lent while it runs."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from src.core.node import Visit
from src.core.outcome import Json, Outcome
from src.core.policy import QueueName
from src.core.retry import RetryPolicy
from src.sandbox.executor import CodeExecutor

Registered = Callable[..., Any]
"""A function of the deployment: `f(context)` or `f(context, node)`."""


@dataclass(frozen=True, slots=True)
class NodeContext:
    """A visit to a node, with what this installation lends to nodes."""

    visit: Visit
    sandbox: CodeExecutor
    functions: Mapping[str, Registered]


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
    needs_review_on: Json = None
    position: Json = None
    """Where an editor drew the node; of no meaning here."""

    @property
    def effect_free(self) -> bool:
        return False

    @property
    def chooses(self) -> bool:
        return False

    @abstractmethod
    def run(self, context: NodeContext) -> Outcome: ...
