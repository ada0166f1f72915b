"""A second opinion on `plan.py` and `fold.py`: naive, recursive, and computed from scratch at every question.

It knows the nodes in the order of their definition, the edges, and the outcomes so far, and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from src.core.graph import Edge, Graph
from src.core.outcome import Context, Failed, Outcome, Succeeded


@dataclass(frozen=True)
class Reference:
    graph: Graph
    initial_context: Context
    outcomes: Mapping[str, Outcome]

    @property
    def ready(self) -> set[str]:
        if any(isinstance(outcome, Failed) for outcome in self.outcomes.values()):
            return set()
        return {node_id for node_id in self.names if self.state(node_id) == "ready"}

    @property
    def skipped(self) -> set[str]:
        return {node_id for node_id in self.names if self.state(node_id) == "skipped"}

    def state(self, node_id: str) -> str:
        """`done`, `ready`, `skipped`, or `blocked` by an input that is not settled."""
        if node_id in self.outcomes:
            return "done"
        inputs = {self.edge_state(edge) for edge in self._into(node_id)}
        if "unknown" in inputs:
            return "blocked"
        return "skipped" if inputs == {"dead"} else "ready"

    def edge_state(self, edge: Edge) -> str:
        """`live`, `dead` or `unknown`."""
        state = self.state(edge.source)
        if state == "skipped":
            return "dead"
        outcome = self.outcomes.get(edge.source)
        if state != "done" or not isinstance(outcome, Succeeded):
            return "unknown"
        if outcome.branch is None:
            return "live"
        has_edge = any(other.condition == outcome.branch for other in self._out_of(edge.source))
        return "live" if edge.condition == (outcome.branch if has_edge else None) else "dead"

    def context_of(self, node_id: str) -> Context:
        return self._overlay(self._live_ancestors(node_id))

    @property
    def result(self) -> Context:
        return self._overlay(set(self.outcomes))

    @cached_property
    def names(self) -> list[str]:
        return list(self.graph.nodes)

    def level(self, node_id: str) -> int:
        """The length of the longest way to a node."""
        return max((1 + self.level(edge.source) for edge in self._into(node_id)), default=0)

    def _live_ancestors(self, node_id: str) -> set[str]:
        parents = {edge.source for edge in self._into(node_id) if self.edge_state(edge) == "live"}
        return parents.union(*map(self._live_ancestors, parents))

    def _overlay(self, node_ids: set[str]) -> Context:
        context = dict(self.initial_context)
        for node_id in sorted(node_ids, key=lambda each: (self.level(each), self.names.index(each))):
            outcome = self.outcomes[node_id]
            context |= outcome.output if isinstance(outcome, Succeeded) else {}
        return context

    def _into(self, node_id: str) -> list[Edge]:
        return [edge for edge in self.graph.edges if edge.target == node_id]

    def _out_of(self, node_id: str) -> list[Edge]:
        return [edge for edge in self.graph.edges if edge.source == node_id]
