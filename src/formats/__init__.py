"""Loaders: from any accepted document to the native form of a definition. What the graph means is not checked here."""

from collections.abc import Iterator, Sequence

from src.core.errors import DefinitionError, Problem
from src.formats.classic import add_missing_edges, read_node
from src.formats.definition import Definition, define
from src.formats.draft import Draft, Findings
from src.formats.envelope import Layer, open_envelope
from src.formats.native import read_condition, read_list
from src.formats.react_flow import is_react_flow, read_react_flow

__all__ = ["Definition", "read_definition"]

_MAX_DEPTH = 30
"""Graphs inside one another. What lies deeper is read as it stands, and is refused for other reasons."""


def read_definition(document: object, *, depth: int = 0) -> Definition:
    """Read a document in any dialect: native, the API body, a bare file, React Flow, the older spellings. The graphs
    inside its nodes may be in any of them, too.

    The document is never changed, and nodes and edges keep their order; edges that only nodes spoke of come last.

    Raises:
        DefinitionError: every structural problem that keeps the document from being read. Fields, ids and the shape of
            the graph are for the validator.
    """
    findings = Findings()
    envelope = open_envelope(document, findings)
    if envelope is None:
        raise DefinitionError(findings.problems)
    nodes, edges = _read_lists(envelope.graph, findings)
    if findings.problems:
        raise DefinitionError(findings.problems)
    for node in nodes:
        read_node(node, envelope.model, findings)
    for edge in edges:
        read_condition(edge)
    add_missing_edges(nodes, edges, findings)
    inner = _read_inner(nodes, findings, depth + 1) if depth < _MAX_DEPTH else {}
    if findings.problems:
        raise DefinitionError(findings.problems)
    return define(envelope, nodes, edges, findings.warnings, inner)


def _read_lists(graph: Layer, findings: Findings) -> tuple[list[Draft], list[Draft]]:
    nodes = read_list(graph, "nodes", findings)
    edges = read_list(graph, "edges", findings)
    if is_react_flow(graph, nodes, edges):
        read_react_flow(nodes, edges, findings)
    return nodes, edges


def _read_inner(nodes: Sequence[Draft], findings: Findings, depth: int) -> dict[int, Definition]:
    """The graphs that nodes hold, by the place of the node."""
    inner: dict[int, Definition] = {}
    for place, node in enumerate(nodes):
        graph = node.fields.get("graph")
        if node.fields.get("type") != "map" or not isinstance(graph, dict):
            continue
        at = node.where("graph")
        try:
            inner[place] = read_definition(graph, depth=depth)
        except DefinitionError as error:
            for problem in error.problems:
                findings.refuse(f"{at}{problem.pointer}", problem.detail)
            continue
        node.fields["graph"] = inner[place].graph
        for warning in (*inner[place].warnings, *_of_no_use(graph)):
            findings.warn(f"{at}{warning.pointer}", warning.detail)
    return inner


def _of_no_use(graph: dict[str, object]) -> Iterator[Problem]:
    """What a workflow says of itself, and a graph inside a node says to nobody."""
    if graph.get("initial_context"):
        yield Problem("/initial_context", "not carried over: the `context` of the node is what its children start with")
