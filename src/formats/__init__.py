"""Loaders: from any accepted document to the native form of a definition. What the graph means is not checked here."""

from src.core.errors import DefinitionError
from src.formats.classic import add_missing_edges, read_node
from src.formats.definition import Definition, define
from src.formats.draft import Draft, Findings
from src.formats.envelope import Layer, open_envelope
from src.formats.native import read_condition, read_list
from src.formats.react_flow import is_react_flow, read_react_flow

__all__ = ["Definition", "read_definition"]


def read_definition(document: object) -> Definition:
    """Read a document in any dialect: native, the API body, a bare file, React Flow, the older spellings.

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
    return define(envelope, nodes, edges, findings.warnings)


def _read_lists(graph: Layer, findings: Findings) -> tuple[list[Draft], list[Draft]]:
    nodes = read_list(graph, "nodes", findings)
    edges = read_list(graph, "edges", findings)
    if is_react_flow(graph, nodes, edges):
        read_react_flow(nodes, edges, findings)
    return nodes, edges
