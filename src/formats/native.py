"""The lists of a graph, and the conditions of its edges. Whether nodes and edges make sense is not asked here."""

import json
from typing import Any, NoReturn

from src.formats.draft import Draft, Findings, blank, quoted
from src.formats.envelope import LISTS, Layer


def place_of_list(graph: Layer, name: str) -> str:
    """Where `nodes` or `edges` stand."""
    is_packed = name not in graph.content and f"{name}_json" in graph.content
    return graph.where(f"{name}_json" if is_packed else name)


def read_list(graph: Layer, name: str, findings: Findings) -> list[Draft]:
    """The objects in `nodes` or `edges`; everything in it that is not an object is a problem."""
    at = place_of_list(graph, name)
    drafts = []
    for place, item in enumerate(_items(graph, name, findings)):
        if isinstance(item, dict):
            drafts.append(Draft(f"{at}/{place}", dict(item)))
        else:
            findings.refuse(f"{at}/{place}", f"expected an object, got {quoted(item)}")
    return drafts


def read_condition(edge: Draft) -> None:
    """`True`, `"TRUE"` and `" true"` are `"true"`; an empty condition is none."""
    condition = edge.fields.get("condition")
    if blank(condition):
        edge.fields.pop("condition", None)
    elif isinstance(condition, bool):
        edge.fields["condition"] = str(condition).lower()
    elif isinstance(condition, str):
        word = condition.strip()
        edge.fields["condition"] = word.lower() if word.lower() in ("true", "false") else word


def _items(graph: Layer, name: str, findings: Findings) -> list[Any]:
    at = place_of_list(graph, name)
    packed = f"{name}_json"
    if name in graph.content:
        if packed in graph.content:
            findings.warn(graph.where(packed), f'not carried over: "{name}" holds the {name}')
        return _as_list(graph.content[name], at, findings)
    if packed in graph.content:
        return _as_list(_unpacked(graph.content[packed], at, findings), at, findings)
    if name == "nodes":  # a graph may do without edges: its nodes may name what follows them
        _refuse_missing_nodes(graph, findings)
    return []


def _unpacked(value: Any, at: str, findings: Findings) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        findings.refuse(at, f"expected a list in JSON, but the text does not parse: {error}")
        return []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _as_list(value: Any, at: str, findings: Findings) -> list[Any]:
    if isinstance(value, list):
        return value
    findings.refuse(at, f"expected a list, got {quoted(value)}")
    return []


def _refuse_missing_nodes(graph: Layer, findings: Findings) -> None:
    if any(key in graph.content for key in LISTS):
        findings.refuse(graph.where("nodes"), "missing: expected a list of nodes")
    else:
        findings.refuse(graph.at, 'not a workflow: expected an object with "nodes" and "edges", or "graph_definition"')
