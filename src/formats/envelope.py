"""What stands around a graph: the API body, a bare file, keys that nobody reads. The lists of the graph stay unread."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from src.core.errors import escape_pointer
from src.core.policy import RunPolicy
from src.formats.draft import Draft, Findings, quoted, same

_ABOUT: dict[str, tuple[type, str]] = {
    "name": (str, "a string"),
    "description": (str, "a string"),
    "initial_context": (dict, "an object"),
}
LISTS = ("nodes", "edges", "nodes_json", "edges_json")
OF_THE_GRAPH = tuple(RunPolicy.model_fields)
"""What a graph says about all of its nodes."""
_READ = frozenset({*_ABOUT, *LISTS, "viewport", "metadata"})
_OF_THE_ROW = frozenset({"graph_definition", "id", "version", "client_id", "created_at", "updated_at", "archived_at"})
"""Beside `graph_definition` these are what the API says about a stored workflow, and no part of its graph."""


class Layer(NamedTuple):
    """An object of the document that says something about the workflow, and where it stands."""

    at: str
    content: dict[str, Any]

    def where(self, name: str) -> str:
        return f"{self.at}/{escape_pointer(name)}"


@dataclass(frozen=True)
class Envelope:
    about: dict[str, Any]
    """name, description, initial_context."""
    graph: Layer
    model: tuple[str, str] | None
    """The model of the workflow's `llm` nodes, and where it was written."""
    metadata: Draft


def open_envelope(document: object, findings: Findings) -> Envelope | None:
    """None where nothing in the document could be a graph."""
    layers = _layers(document, findings)
    readable = not findings.problems
    about = {name: _about(name, layers, findings) for name in _ABOUT}
    if not readable:
        return None
    return Envelope(about, layers[-1], _model(layers), _metadata(layers, findings))


def _layers(document: object, findings: Findings) -> list[Layer]:
    """From the outside in."""
    if not isinstance(document, dict):
        findings.refuse("", f'expected an object with "nodes" and "edges", got {quoted(document)}')
        return []
    body = Layer("", document)
    if "graph_definition" not in document:
        return [body]
    graph = document["graph_definition"]
    if not isinstance(graph, dict):
        findings.refuse(body.where("graph_definition"), f'expected an object with "nodes", got {quoted(graph)}')
        return [body]
    for name in LISTS:
        if name in document:
            findings.warn(body.where(name), 'not carried over: "graph_definition" holds the graph')
    return [body, Layer(body.where("graph_definition"), graph)]


def _about(name: str, layers: Sequence[Layer], findings: Findings) -> Any:
    """The outermost wins: the one inside may be left from an earlier save."""
    kind, expected = _ABOUT[name]
    found = None
    for layer in layers:
        value = layer.content.get(name)
        if value is None:
            continue
        if not isinstance(value, kind):
            findings.refuse(layer.where(name), f"expected {expected}, got {quoted(value)}")
        elif found is None:
            found = value
        elif not same(found, value):
            findings.warn(layer.where(name), f'not carried over: there is a "{name}" beside "graph_definition"')
    return found


def _model(layers: Sequence[Layer]) -> tuple[str, str] | None:
    """The innermost wins: it is part of the graph."""
    for layer in reversed(layers):
        model = layer.content.get("model")
        if isinstance(model, str):
            return model, layer.where("model")
    return None


def _metadata(layers: Sequence[Layer], findings: Findings) -> Draft:
    """Keeps what nobody reads. The innermost wins, as for the model."""
    metadata = Draft(layers[-1].where("metadata"), {})
    for layer in reversed(layers):
        for name, value, origin in _unread(layer, is_graph=layer is layers[-1]):
            if name not in metadata.fields:
                metadata.set(name, value, origin)
            elif not same(metadata.fields[name], value):
                findings.warn(origin, f"not carried over: the metadata has another {quoted(name)}")
    return metadata


def _unread(layer: Layer, *, is_graph: bool) -> Iterator[tuple[str, Any, str]]:
    """Name, value and place of everything that belongs into the metadata."""
    given = layer.content.get("metadata")
    if isinstance(given, dict):
        inner = Layer(layer.where("metadata"), given)
        yield from ((name, value, inner.where(name)) for name, value in given.items())
    elif given is not None:
        yield "metadata", given, layer.where("metadata")
    is_body = not layer.at and "graph_definition" in layer.content
    known = {*_READ, *(_OF_THE_ROW if is_body else ()), *(OF_THE_GRAPH if is_graph else ())}
    yield from ((name, value, layer.where(name)) for name, value in layer.content.items() if name not in known)
