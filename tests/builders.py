"""Graphs, drawn: `graph_of("ask -yes-> ship -> tell", "ask -no-> refund -> tell")`. And random ones, from a seed."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from src.core.graph import Edge, Graph
from src.core.outcome import Attempt, Context, Failed, Json, NodeError, Outcome, Succeeded
from src.core.retry import RetryPolicy

ARROW = re.compile(r"\s+-(?:(\S+)-)?>\s+")
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DrawnNode:
    """A node that is nothing but its properties; what it does when it runs is for `fakes.FakeKinds` to say."""

    id: str
    type: str = "action"
    effect_free: bool = False
    chooses: bool = False
    source: str = ""
    queue: str | None = None
    retry: RetryPolicy | None = None


def graph_of(*lines: str, defined: str = "", effect_free: str = "", decisions: str = "") -> Graph:
    """The graph that `lines` draw. An arrow is `->`, or `-yes->` for an edge with a condition.

    Nodes are defined in the order in which they are first drawn, after those that `defined` names. A node with a
    condition on an edge out of it is a decision, and so are those in `decisions`; the others are actions.
    """
    edges = [edge for line in lines for edge in _edges(line)]
    names = [*defined.split(), *(name for line in lines for name in ARROW.split(line)[::2])]
    choosing = {edge.source for edge in edges if edge.condition is not None} | set(decisions.split())
    free = set(effect_free.split())
    return Graph((_drawn(name, name in free, name in choosing) for name in dict.fromkeys(names)), edges)


def _edges(line: str) -> Iterator[Edge]:
    parts = ARROW.split(line)
    for place in range(0, len(parts) - 2, 2):
        yield Edge(parts[place], parts[place + 2], parts[place + 1])


def _drawn(name: str, effect_free: bool, chooses: bool) -> DrawnNode:
    return DrawnNode(name, "decision" if chooses else "action", effect_free, chooses)


def failed(message: str = "no") -> Failed:
    return Failed(NodeError("ValueError", message))


def attempt_at(node_id: str, outcome: Outcome | None = None, *, number: int = 1, node_type: str = "action") -> Attempt:
    return Attempt(node_id, node_type, number, outcome or Succeeded({node_id: number}), NOON, execution_time=0.0)


class Case(NamedTuple):
    """A graph, and what each of its nodes ends as when it runs."""

    graph: Graph
    initial_context: Context
    outcomes: Mapping[str, Outcome]


BRANCHES = ("yes", "no", "later")
KEYS = ("a", "b", "c", "d")
"""Few, so that outputs lie over each other."""


def random_case(random: Random, *, most_nodes: int = 10, may_fail: bool = True, prefix: str = "n") -> Case:
    """Any directed acyclic graph: several sources, joins, edges drawn twice, decisions with and without default."""
    graph = random_graph(random, most_nodes=most_nodes, prefix=prefix)
    initial_context = {key: "initial" for key in KEYS if random.random() < 0.5}
    outcomes = {node_id: _random_outcome(random, graph, node_id, may_fail) for node_id in graph.nodes}
    return Case(graph, initial_context, outcomes)


def random_graph(random: Random, *, most_nodes: int = 10, prefix: str = "n") -> Graph:
    """Its nodes are called by `prefix` and a number."""
    count = random.randint(1, most_nodes)
    names = [f"{prefix}{place}" for place in range(count)]
    nodes = [_random_node(random, name) for name in names]
    edges = []
    for target in range(1, count):
        for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3))):
            source = nodes[random.randrange(target)]
            condition = random.choice((*BRANCHES, None)) if source.chooses else None
            edges.append(Edge(source.id, names[target], condition))
    random.shuffle(nodes)  # the order of definition is not an order of the graph
    random.shuffle(edges)
    return Graph(nodes, edges)


def _random_node(random: Random, name: str) -> DrawnNode:
    chooses = random.random() < 0.4
    return DrawnNode(name, "decision" if chooses else "action", random.random() < 0.3, chooses)


def _random_outcome(random: Random, graph: Graph, node_id: str, may_fail: bool) -> Outcome:
    if may_fail and random.random() < 0.06:
        return failed(node_id)
    output = {key: node_id for key in KEYS if random.random() < 0.4}
    chooses = graph.nodes[node_id].chooses
    return Succeeded(output, random.choice((*BRANCHES, "unheard of")) if chooses else None)


@dataclass
class DefinitionDraft:
    """A definition in native form that grows at its ends, so that the places of its parts stay what they were."""

    nodes: list[Json] = field(default_factory=list)
    edges: list[Json] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Json]:
        return {"nodes": self.nodes, "edges": self.edges}

    def node(self, **fields: Json) -> str:
        """Add a node; answers its pointer."""
        self.nodes.append(fields)
        return f"/nodes/{len(self.nodes) - 1}"

    def edge(self, source: Json, target: Json, **more: Json) -> str:
        """Add an edge; answers its pointer."""
        self.edges.append({"from": source, "to": target, **more})
        return f"/edges/{len(self.edges) - 1}"

    def reached(self, node_id: str, **fields: Json) -> str:
        """Add a node and an edge from the start to it; answers the node's pointer."""
        self.edge("start", node_id)
        return self.node(id=node_id, **fields)


def random_definition(random: Random, functions: Collection[str]) -> DefinitionDraft:
    """A valid definition of the kinds that need nothing outside: start, end, transform, function, action, decision."""
    draft = DefinitionDraft()
    draft.node(id="start", type="start")
    names = [f"step {place}" for place in range(random.randint(0, 6))]
    for name in names:
        draft.node(id=name, **_random_fields(random, functions))
        source = random.choice(draft.nodes[:-1])
        condition = {"condition": random.choice(BRANCHES)} if source["type"] == "decision" else {}
        draft.edge(source["id"], name, **condition)
    draft.node(id="end", type="end")
    for name in ["start", *names]:
        draft.edge(name, "end")  # out of a decision, its default
    return draft


def _random_fields(random: Random, functions: Collection[str]) -> dict[str, Json]:
    return random.choice(
        [
            {"type": "transform", "set": {"total": "{{ context.net * 2 }}", "kept": [1, None, "{{ context.name }}!"]}},
            {"type": "function", "function": random.choice(sorted(functions)), "timeout": 1.5},
            {"type": "action", "code": "context['x'] = 1", "label": "Set x", "retry": {"max_attempts": 2}},
            {"type": "decision", "expression": "context.total > 1"},
            {"type": "decision", "code": "True", "position": {"x": 0, "y": 1}},
        ]
    )
