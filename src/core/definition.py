"""From a definition in native form to a `Graph`, or to the list of everything that is wrong with it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError

from pydantic import ValidationError

from src.core.errors import DefinitionError, NotFound, Problem, escape_pointer, pointer_to
from src.core.graph import DEFAULT_POLICY, ERROR, Edge, Graph
from src.core.node import Kinds, Node
from src.core.outcome import Json
from src.core.policy import RunPolicy
from src.core.retry import RetryPolicy

MAX_NODES = 10_000
MAX_ID = 200
"""Characters of a node's id."""
ID_WANTED = f"expected a name of 1 to {MAX_ID} characters"
PLACE = re.compile(r"[0-9]{1,9}")
HANDED_DOWN = RunPolicy.model_fields.keys() - {"timeout", "max_concurrent", "inputs"}
"""What a graph says of its runs that holds for the graphs inside it, too."""
EDGE_FIELDS = frozenset({"from", "to", "condition"})


def build_graph(definition: Mapping[str, Json], kinds: Kinds) -> Graph:
    """Build the graph of a definition `{"nodes": [...], "edges": [...]}`.

    Raises:
        DefinitionError: every problem there is, each with a JSON Pointer into the definition.
    """
    reading = _Reading(definition, kinds)
    problems = [*reading.problems, *_problems_of_shape(reading)]
    if problems:
        raise DefinitionError(sorted(problems, key=_by_place))
    return reading.graph


def inner_definition(definition: Mapping[str, Json], subgraph: str) -> Mapping[str, Json]:
    """The graph inside a graph: `subgraph` is the JSON Pointer of the ids of the nodes that hold it. What an outer one
    says of its runs holds inside too, unless the inner one says otherwise. Raises NotFound.
    """
    for node_id in holders(subgraph):
        handed_down = {name: definition[name] for name in HANDED_DOWN if name in definition}
        held = [node["graph"] for node in definition["nodes"] if node["id"] == node_id and "graph" in node]
        if not held:
            raise NotFound("graph inside node", node_id)
        definition = {**handed_down, **held[0]}
    return definition


def holders(subgraph: str) -> list[str]:
    """The ids of the nodes that hold a graph, the outermost first."""
    return [part.replace("~1", "/").replace("~0", "~") for part in subgraph.split("/")[1:]]


@dataclass(frozen=True, slots=True)
class _Unread:
    """Holds the place of a node that could not be read, so that the rest of the graph can still be looked at."""

    id: str
    type: str
    effect_free: bool = False
    chooses: bool = True
    source: str = ""
    queue: str | None = None
    retry: RetryPolicy | None = None


class _Reading:
    """The nodes and edges that could be read, the place of each, and the problems met on the way."""

    def __init__(self, definition: Mapping[str, Json], kinds: Kinds) -> None:
        self.problems: list[Problem] = []
        self.nodes: dict[str, Node] = {}
        self.places: dict[str, int] = {}
        self.edges: list[Edge] = []
        self.edge_places: list[int] = []
        self.policy = DEFAULT_POLICY
        self._read_policy(definition)
        self._read_nodes(definition.get("nodes"), kinds)
        if self.places:
            self._read_edges(definition.get("edges", []))
        self.knows_all_edges = not any(problem.pointer.startswith("/edges") for problem in self.problems)

    @property
    def graph(self) -> Graph:
        return Graph(self.nodes.values(), self.edges, self.policy)

    def _read_policy(self, definition: Mapping[str, Json]) -> None:
        given = {name: definition[name] for name in RunPolicy.model_fields if name in definition}
        try:
            self.policy = RunPolicy.model_validate(given)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                self._problem(pointer_to(found["loc"]), found["msg"].removeprefix("Value error, "))

    def _read_nodes(self, nodes: Json, kinds: Kinds) -> None:
        if not isinstance(nodes, list) or not nodes:
            self._problem("/nodes", "expected a list of at least one node")
            return
        if len(nodes) > MAX_NODES:
            self._problem("/nodes", f"{len(nodes):,} nodes: at most {MAX_NODES:,} are possible")
            return
        for place, fields in enumerate(nodes):
            if isinstance(fields, dict) and isinstance(fields.get("id"), str):
                self._read_node(fields, place, kinds)
            else:
                detail = ID_WANTED if isinstance(fields, dict) else "expected an object"
                self._problem(f"/nodes/{place}{'/id' if isinstance(fields, dict) else ''}", detail)

    def _read_node(self, fields: Mapping[str, Json], place: int, kinds: Kinds) -> None:
        node_id = fields["id"]
        node: Node = _Unread(node_id, str(fields.get("type")))
        try:
            node = kinds.read(fields)
        except DefinitionError as error:
            self.problems += [Problem(f"/nodes/{place}{found.pointer}", found.detail) for found in error.problems]
        if not node_id.strip() or len(node_id) > MAX_ID:
            self._problem(f"/nodes/{place}/id", ID_WANTED)
        elif node_id in self.places:
            self._problem(f"/nodes/{place}/id", f"the id {node_id!r} is taken by node {self.places[node_id]}")
        else:
            self.places[node_id], self.nodes[node_id] = place, node

    def _read_edges(self, edges: Json) -> None:
        if not isinstance(edges, list):
            self._problem("/edges", "expected a list of edges")
            return
        for place, fields in enumerate(edges):
            before = len(self.problems)
            self._check_edge(fields, f"/edges/{place}")
            if len(self.problems) == before:
                self.edge_places.append(place)
                self.edges.append(Edge(fields["from"], fields["to"], fields.get("condition")))

    def _check_edge(self, fields: Json, pointer: str) -> None:
        if not isinstance(fields, dict):
            self._problem(pointer, 'expected an object with "from" and "to"')
            return
        for end in ("from", "to"):
            node_id = fields.get(end)
            if not isinstance(node_id, str):
                self._problem(f"{pointer}/{end}", "expected the id of a node")
            elif node_id not in self.places:
                self._problem(f"{pointer}/{end}", f"there is no node {node_id!r}")
        if not isinstance(fields.get("condition"), str | None):
            self._problem(f"{pointer}/condition", "expected the name of a branch")
        for unknown in sorted(fields.keys() - EDGE_FIELDS):
            detail = 'unknown field: an edge has "from", "to" and "condition"'
            self._problem(f"{pointer}/{escape_pointer(unknown)}", detail)

    def _problem(self, pointer: str, detail: str) -> None:
        self.problems.append(Problem(pointer, detail))


def _problems_of_shape(reading: _Reading) -> Iterator[Problem]:
    """What is wrong with the graph as a whole, as far as it could be read."""
    if not reading.nodes:
        return
    graph = reading.graph
    yield from _problems_of_ends(reading, graph)
    yield from _problems_of_choices(reading, graph)
    cycle = _cycle(graph)
    if cycle:
        yield Problem("/edges", f"a cycle: {' -> '.join(cycle)}. A run could never end")
    elif reading.knows_all_edges:
        yield from _problems_of_reach(reading, graph)


def _problems_of_ends(reading: _Reading, graph: Graph) -> Iterator[Problem]:
    starts = [node_id for node_id, node in graph.nodes.items() if node.type == "start"]
    ends = [node_id for node_id, node in graph.nodes.items() if node.type == "end"]
    if not starts:
        yield Problem("/nodes", "there is no start node: one is needed")
    for node_id in starts[1:]:
        yield Problem(f"/nodes/{reading.places[node_id]}", f"a second start: {starts[0]!r} is one already")
    if not ends:
        yield Problem("/nodes", "there is no end node: at least one is needed")
    for edge, place in zip(graph.edges, reading.edge_places, strict=True):
        if edge.target in starts:
            yield Problem(f"/edges/{place}/to", "an edge into the start")
        if edge.source in ends:
            yield Problem(f"/edges/{place}/from", "an edge out of an end")


def _problems_of_choices(reading: _Reading, graph: Graph) -> Iterator[Problem]:
    for node_id, node in graph.nodes.items():
        if node.chooses and reading.knows_all_edges and not isinstance(node, _Unread):
            detail = _missing_way_out(graph.branches[node_id])
            if detail:
                yield Problem(f"/nodes/{reading.places[node_id]}", f"{node_id!r} {detail}")
    for edge, place in zip(graph.edges, reading.edge_places, strict=True):
        if edge.condition not in (None, ERROR) and not graph.nodes[edge.source].chooses:
            detail = f"{edge.source!r} is of kind {graph.nodes[edge.source].type!r}, which chooses no branch"
            yield Problem(f"/edges/{place}/condition", detail)


def _missing_way_out(branches: frozenset[str | None]) -> str | None:
    if not branches:
        return "has no way out: a decision needs an edge for each of its branches"
    if branches in ({"true"}, {"false"}):
        missing = "false" if "true" in branches else "true"
        return (
            f'has no way out when it is {missing}: add an edge with "condition": "{missing}", or one without condition'
        )
    return None


def _cycle(graph: Graph) -> Sequence[str]:
    try:
        _ = graph.order
    except CycleError as error:
        return [str(node_id) for node_id in error.args[1]]
    return ()


def _problems_of_reach(reading: _Reading, graph: Graph) -> Iterator[Problem]:
    reached = {node_id for node_id, node in graph.nodes.items() if node.type == "start"}
    if not reached:
        return
    for node_id in graph.order:
        if any(edge.source in reached for edge in graph.incoming[node_id]):
            reached.add(node_id)
        elif node_id not in reached:
            yield Problem(f"/nodes/{reading.places[node_id]}", f"{node_id!r} cannot be reached from the start")


def _by_place(problem: Problem) -> list[tuple[int, str]]:
    """Sorts /nodes/2 before /nodes/10, and nodes before edges."""
    parts = problem.pointer.split("/")[1:]
    return [(int(part), "") if PLACE.fullmatch(part) else (-1 if part == "nodes" else 0, part) for part in parts]
