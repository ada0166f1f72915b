"""`start`: where a run begins. Every workflow has one, and it does nothing."""

from typing import Literal

from src.core.outcome import Outcome, Succeeded
from src.nodes.config import NodeConfig, NodeContext


class Start(NodeConfig):
    type: Literal["start"]

    @property
    def effect_free(self) -> bool:
        return True

    def run(self, context: NodeContext) -> Outcome:  # noqa: ARG002
        return Succeeded()
