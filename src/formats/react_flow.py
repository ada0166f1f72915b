"""React Flow: from `source`, `target` and `data` to the native form. What the editor keeps for itself is dropped."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from src.core.errors import escape_pointer
from src.core.review import APPROVE, REJECT
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
_ERROR = "error"
_BRANCHES = frozenset({"true", "false", "yes", "no", APPROVE, REJECT, _ERROR})
_SIDES = frozenset({"top", "right", "bottom", "left"})
_USUAL = ("condition", "data/condition")
"""Where the branch of an edge stands, the first that is there."""
_BY_HANDLE = ("condition", "sourceHandle", "data/condition", "label")
_BY_LABEL = ("condition", "data/condition", "label", "sourceHandle")


def is_react_flow(graph: Layer, nodes: Iterable[Draft], edges: Iterable[Draft]) -> bool:
    return (
        not graph.content.keys().isdisjoint(("viewport", "nodes_json", "edges_json"))
        or any(isinstance(node.fields.get("data"), dict) for node in nodes)
        or any("source" in edge.fields or "target" in edge.fields for edge in edges)
    )


def read_react_flow(nodes: Iterable[Draft], edges: Iterable[Draft], findings: Findings) -> None:
    by_id: dict[str, Draft] = {}
    for node in nodes:
        _read_node(node, findings)
        if isinstance(node.fields.get("id"), str):
            by_id[node.fields["id"]] = node
    drawn = [edge for edge in edges if "source" in edge.fields or "target" in edge.fields]
    ways: dict[str, list[Draft]] = defaultdict(list)
    for edge in drawn:
        ways[_source(edge)].append(edge)
    places = {source: _places(by_id[source], out, findings) for source, out in ways.items() if source in by_id}
    for edge in drawn:
        _read_edge(edge, places.get(_source(edge), _USUAL), findings)


def _source(edge: Draft) -> str:
    source = edge.fields.get("from", edge.fields.get("source"))
    return source if isinstance(source, str) else ""


def _places(node: Draft, ways: Sequence[Draft], findings: Findings) -> Sequence[str]:
    """Where the branches out of a node stand. Out of nodes that choose none, handles and labels are decoration."""
    kind = node.fields.get("type")
    if kind == "decision":
        return _BY_HANDLE
    return _places_of_decisions(node, ways, findings) if kind == "review" else _USUAL


def _places_of_decisions(node: Draft, ways: Sequence[Draft], findings: Findings) -> Sequence[str]:
    """Handles and labels say what a person may decide where one of them is a decision that the review has anyway: the
    usual two, and the one that it takes by itself in the end. Else all of its ways are taken, whatever is decided.
    """
    ways = [edge for edge in ways if not _is_for_errors(edge.fields)]
    if not ways[1:]:
        return _USUAL
    for edge in ways:
        _read_decisions(edge.fields)
    known = [each for each in (APPROVE, REJECT, node.fields.get("on_timeout")) if not blank(each)]
    for place, places in (("sourceHandle", _BY_HANDLE), ("label", _BY_LABEL)):
        if any(same(edge.fields.get(place), each) for edge in ways for each in known):
            return places
    for edge in ways:
        _warn_of_no_decision(edge, findings)
    return _USUAL


def _is_for_errors(edge: dict[str, Any]) -> bool:
    return any(_word(_at(edge, place)) == _ERROR for place in ("condition", "sourceHandle", "data/condition"))


def _read_decisions(edge: dict[str, Any]) -> None:
    """The usual two in any case. A handle that says where it is says nothing else."""
    for place in ("sourceHandle", "label"):
        word = _word(edge.get(place))
        if word in (APPROVE, REJECT):
            edge[place] = word
    if _word(edge.get("sourceHandle")) in _SIDES:
        edge["sourceHandle"] = None


def _warn_of_no_decision(edge: Draft, findings: Findings) -> None:
    if any(not blank(_at(edge.fields, place)) for place in _USUAL) or _names_branch(edge.fields):
        return
    for place in ("label", "sourceHandle"):
        if not blank(written := edge.fields.get(place)):
            detail = f"read as decoration: all ways out are taken, as none is for {APPROVE!r} or {REJECT!r}"
            findings.warn(edge.where(place), f"{quoted(written)} is {detail}")
            return


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


def _read_edge(edge: Draft, places: Sequence[str], findings: Findings) -> None:
    written = edge.fields
    edge.fields = {}
    for name, foreign in _ENDS:
        found = name if name in written else foreign
        edge.origins[name] = edge.where(found)
        if found in written:
            edge.fields[name] = written[found]
        if found == name and foreign in written and not same(written[name], written[foreign]):
            findings.warn(edge.where(foreign), f"not carried over: the edge has its own {quoted(name)}")
    for place in _BY_HANDLE if _names_branch(written, places) else places:
        if not blank(value := _at(written, place)):
            edge.set("condition", value, f"{edge.at}/{place}")
            break


def _names_branch(edge: dict[str, Any], places: Sequence[str] = _USUAL) -> bool:
    """A handle that says so anywhere: dropping it would change what runs, so the validator has to see it."""
    return _word(edge.get("sourceHandle")) in (_BRANCHES if places == _USUAL else (_ERROR,))


def _at(edge: dict[str, Any], place: str) -> object:
    if place != "data/condition":
        return edge.get(place)
    data = edge.get("data")
    return data.get("condition") if isinstance(data, dict) else None
