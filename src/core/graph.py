"""The graph of a workflow, ready to be planned: nodes, edges, and one topological order. `definition.py` builds it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

from src.core.node import Node
from src.core.policy import RunPolicy

DEFAULT_POLICY = RunPolicy()
ERROR = "error"
"""The condition of an edge that a run goes along when its source has failed."""


@dataclass(frozen=True, slots=True)
class Edge:
    source: str
    target: str
    condition: str | None = None


class Graph:
    """Immutable: versions of a workflow never change, so one Graph serves every run of a version."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge], policy: RunPolicy = DEFAULT_POLICY) -> None:
        self.policy = policy
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        self.edges = tuple(edges)
        self.incoming: dict[str, list[Edge]] = {node_id: [] for node_id in self.nodes}
        self.outgoing: dict[str, list[Edge]] = {node_id: [] for node_id in self.nodes}
        for edge in self.edges:
            self.outgoing[edge.source].append(edge)
            self.incoming[edge.target].append(edge)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Topological: by level, and within a level as the nodes were defined.

        Raises:
            graphlib.CycleError: the second argument names the nodes of a cycle, the first of them again at its end.
        """
        defined = {node_id: index for index, node_id in enumerate(self.nodes)}
        sorter = TopologicalSorter(
            {node_id: [edge.source for edge in edges] for node_id, edges in self.incoming.items()}
        )
        sorter.prepare()
        order: list[str] = []
        while sorter:
            level = sorted(sorter.get_ready(), key=defined.__getitem__)
            order += level
            sorter.done(*level)
        return tuple(order)

    @cached_property
    def rank(self) -> Mapping[str, int]:
        """The place of each node in `order`."""
        return {node_id: place for place, node_id in enumerate(self.order)}

    @cached_property
    def branches(self) -> Mapping[str, frozenset[str | None]]:
        """The conditions on the edges out of each node; None for an edge without, which is a choice's default."""
        return {node_id: frozenset(edge.condition for edge in edges) for node_id, edges in self.outgoing.items()}
