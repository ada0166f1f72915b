"""The context as each node sees it: the initial context with the outputs of its live ancestors laid over it."""

from src.core.graph import Graph
from src.core.outcome import Context


class Fold:
    """Outputs lie over each other in topological order: siblings never see each other's, and joins are determined."""

    def __init__(self, graph: Graph, initial_context: Context) -> None:
        self._graph = graph
        self._initial = initial_context
        self._outputs: list[Context] = [{}] * len(graph.order)
        """By rank."""
        self._written = 0
        """Which ranks have an output that is not empty, as bits."""
        self._ancestors: dict[str, int] = {}
        """For each node with an output: it and its live ancestors, as bits by rank."""
        self._after: dict[str, Context] = {}
        """The context behind a node, kept until the last of its successors has an output."""
        self._to_come = {node_id: len(edges) for node_id, edges in graph.outgoing.items()}

    def before(self, live: list[str]) -> Context:
        """The context of a node whose live predecessors are `live`. Shared: not to be changed."""
        if not live:
            return self._initial
        if len(live) == 1 and live[0] in self._after:
            return self._after[live[0]]  # what keeps a line of a thousand nodes linear
        return self._overlay(self._reach(live))

    def add(self, node_id: str, live: list[str], output: Context) -> None:
        before = self.before(live)
        self._after[node_id] = {**before, **output} if output else before
        rank = self._graph.rank[node_id]
        self._ancestors[node_id] = self._reach(live) | 1 << rank
        if output:
            self._outputs[rank] = output
            self._written |= 1 << rank
        for edge in self._graph.incoming[node_id]:
            self._to_come[edge.source] -= 1
            if not self._to_come[edge.source]:
                self._after.pop(edge.source, None)

    def all(self) -> Context:
        """The context at the end: every output there is."""
        return self._overlay(-1)

    def _reach(self, live: list[str]) -> int:
        reached = 0
        for node_id in live:
            reached |= self._ancestors[node_id]
        return reached

    def _overlay(self, reached: int) -> Context:
        context = dict(self._initial)
        left = reached & self._written
        while left:
            lowest = left & -left
            context.update(self._outputs[lowest.bit_length() - 1])
            left ^= lowest
        return context
