"""React Flow: from `source`, `target` and `data` to the native form. What the editor keeps for itself is dropped."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Any

from src.core.errors import escape_pointer
from src.formats.draft import Draft, Findings, blank, quoted, same
from src.formats.envelope import Layer

_KINDS = frozenset(
    {"start", "end", "action", "decision", "transform", "function"}
    | {"http_request", "llm", "agent", "image", "email_send", "email_fetch", "sql"}
    | {"review", "wait", "workflow", "map"}
)
_ALIASES = {
    "input": "start",
    "output": "end",
    "finish": "end",
    "conditional": "decision",
    "condition": "decision",
    "if": "decision",
}
_OF_ANOTHER_DIALECT = frozenset(
    {"text_generation", "image_generation", "loop", "context_retrieval", "processing"}
    | {"generate_copy", "generate_image", "attach", "attach_creative"}
)
"""Types of creative workflows: a prompt in them does not make them an `llm` node, so the validator has to name them."""

_COSMETIC = frozenset(
    {"width", "height", "initialWidth", "initialHeight", "measured", "style", "className", "zIndex", "ariaLabel"}
    | {"selected", "dragging", "resizing", "draggable", "selectable", "connectable", "deletable", "focusable"}
    | {"positionAbsolute", "sourcePosition", "targetPosition", "origin", "extent", "expandParent", "dragHandle"}
    | {"handles", "domAttributes"}
)
_OF_THE_NODE = ("id", "type", "position")
_LOST = {
    "hidden": "not carried over: a hidden node runs like any other",
    "parentId": "not carried over: a group is not a graph of its own",
    "parentNode": "not carried over: a group is not a graph of its own",
}
_ENDS = (("from", "source"), ("to", "target"))
_BRANCHES = frozenset({"true", "false", "yes", "no", "approve", "reject", "error"})


def is_react_flow(graph: Layer, nodes: Iterable[Draft], edges: Iterable[Draft]) -> bool:
    return (
        not graph.content.keys().isdisjoint(("viewport", "nodes_json", "edges_json"))
        or any(isinstance(node.fields.get("data"), dict) for node in nodes)
        or any("source" in edge.fields or "target" in edge.fields for edge in edges)
    )


def read_react_flow(nodes: Iterable[Draft], edges: Iterable[Draft], findings: Findings) -> None:
    kinds: dict[str, object] = {}
    for node in nodes:
        _read_node(node, findings)
        if isinstance(node.fields.get("id"), str):
            kinds[node.fields["id"]] = node.fields.get("type")
    drawn = [edge for edge in edges if "source" in edge.fields or "target" in edge.fields]
    ways = Counter(source for edge in drawn if isinstance(source := edge.fields.get("source"), str))
    deciders = {each for each, kind in kinds.items() if kind == "decision" or (kind == "review" and ways[each] > 1)}
    for edge in drawn:
        _read_edge(edge, deciders, findings)


def _read_node(node: Draft, findings: Findings) -> None:
    """Bring up what is under `data`. A field of the node itself wins over one of the same name there."""
    own = {name: value for name, value in node.fields.items() if name not in _COSMETIC}
    for name, detail in _LOST.items():
        if own.pop(name, None):
            findings.warn(node.where(name), detail)
    data = own.get("data")
    if data is None or isinstance(data, dict):  # anything else stays, for the validator to name
        own.pop("data", None)
    data = data if isinstance(data, dict) else {}
    node.origins = {name: node.where(name) for name in (*own, *_OF_THE_NODE) if name in own or name not in data}
    node.inside = f"{node.at}/data"
    node.fields = own | {name: value for name, value in data.items() if name not in own and name != "data"}
    _read_type(node, data.get("type"), findings)
    for name, value in data.items():
        if (name in own or name == "data") and name != "type" and not same(own.get(name), value):
            findings.warn(
                f"{node.inside}/{escape_pointer(name)}", f"not carried over: the node has its own {quoted(name)}"
            )


def _read_type(node: Draft, inner: object, findings: Findings) -> None:
    """The type that the node shows; else the one in its data; else what its data can be run as."""
    written = node.fields.get("type")
    if _word(written) in _OF_ANOTHER_DIALECT:
        return
    kind = _kind(written)
    if kind:
        node.fields["type"] = kind
        if inner is not None and _kind(inner) != kind:
            findings.warn(f"{node.inside}/type", f"not carried over: the node is of type {quoted(written)}")
    elif inner_kind := _kind(inner):
        node.set("type", inner_kind, f"{node.inside}/type")
    elif guess := _kind_by_content(node):
        node.fields["type"] = guess
        if not blank(written) and written != "default":
            findings.warn(node.where("type"), f"Nova has no kind {quoted(written)}: read as {quoted(guess)}")


def _kind(written: object) -> str | None:
    word = _word(written)
    if word in _KINDS:
        return word
    return "start" if word.startswith("trigger") else _ALIASES.get(word)


def _kind_by_content(node: Draft) -> str | None:
    if node.fields.get("code"):
        return "action"
    return "llm" if node.fields.get("prompt") else None


def _word(written: object) -> str:
    return written.strip().lower() if isinstance(written, str) else ""


def _read_edge(edge: Draft, deciders: Container[str], findings: Findings) -> None:
    written = edge.fields
    edge.fields = {}
    for name, foreign in _ENDS:
        found = name if name in written else foreign
        edge.origins[name] = edge.where(found)
        if found in written:
            edge.fields[name] = written[found]
        if found == name and foreign in written and not same(written[name], written[foreign]):
            findings.warn(edge.where(foreign), f"not carried over: the edge has its own {quoted(name)}")
    source = edge.fields.get("from")
    decides = isinstance(source, str) and source in deciders
    for place, value in _branches(written, decides):
        if not blank(value):
            edge.set("condition", value, f"{edge.at}/{place}")
            break


def _branches(written: dict[str, Any], decides: bool) -> Iterator[tuple[str, object]]:
    """Where the branch of an edge may stand. Out of nodes that choose none, handles and labels are decoration, but for
    a handle that names a branch: dropping it would change what runs, so the validator has to see it.
    """
    data = written.get("data")
    handle = written.get("sourceHandle")
    yield "condition", written.get("condition")
    if decides or _word(handle) in _BRANCHES:
        yield "sourceHandle", handle
    if isinstance(data, dict):
        yield "data/condition", data.get("condition")
    if decides:
        yield "label", written.get("label")
