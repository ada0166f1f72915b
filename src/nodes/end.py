"""`end`: where a path ends. A workflow has at least one, and it does nothing."""

from typing import Literal

from src.core.outcome import Outcome, Succeeded
from src.nodes.config import NodeConfig, NodeContext


class End(NodeConfig):
    type: Literal["end"]

    @property
    def effect_free(self) -> bool:
        return True

    def run(self, context: NodeContext) -> Outcome:  # noqa: ARG002
        return Succeeded()
