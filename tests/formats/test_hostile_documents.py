"""Laws for every document, however odd: it is read or refused, never changed, and reading again changes nothing."""

import copy
import time
from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from src.core.errors import DefinitionError, escape_pointer
from src.formats import read_definition

DEPTH = 5_000
"""Of nested values: more than Python follows by itself, which is about 1,000."""
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Laws of meaning, not of speed: a busy machine breaks none of them."""
IDS = ["a", "b", "ask", ""]
KINDS = ["start", "action", "decision", "llm", "input", "if", "trigger1", "default", "loop", "odd"]
CONDITIONS = ["true", " False ", "yes", "", True, None]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these fields, each of them now and then of another type, and now and then others."""
    known = st.fixed_dictionaries({}, optional={name: values | JSON for name, values in fields.items()})
    return st.builds(lambda others, own: others | own, st.dictionaries(st.text(max_size=3), JSON, max_size=1), known)


CONFIGURATION: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from(IDS),
    "type": st.sampled_from(KINDS),
    "label": st.just("Label"),
    "name": st.just("Name"),
    "code": st.sampled_from(["pass", "Find the total"]),
    "prompt": st.just("Sum up"),
    "model": st.just("own"),
    "executor": st.sampled_from(["e2b", "static", "cached", "AI", "other"]),
    "next": st.sampled_from(IDS),
    "on_true": st.sampled_from(IDS),
    "on_false": st.sampled_from(IDS),
    "position": st.just({"x": 1, "y": 2}),
    "width": st.just(10),
    "hidden": st.just(True),
}
ENDS = {name: st.sampled_from(IDS) for name in ("from", "to", "source", "target")}
BRANCHES = {name: st.sampled_from(CONDITIONS) for name in ("condition", "sourceHandle", "label")}
NODES = objects(**CONFIGURATION, data=objects(**CONFIGURATION, data=st.just({"id": "a"})))
EDGES = objects(**ENDS, **BRANCHES, data=objects(condition=st.sampled_from(CONDITIONS)))


def graphs(packed: bool) -> st.SearchStrategy[dict[str, Any]]:
    suffix = "_json" if packed else ""
    lists = {f"nodes{suffix}": st.lists(NODES, max_size=4), f"edges{suffix}": st.lists(EDGES, max_size=4)}
    beside = objects(
        name=st.just("Name"), model=st.just("all"), version=st.just(1), metadata=objects(model=st.just("meta"))
    )
    return st.builds(lambda others, own: others | own, beside, st.fixed_dictionaries(lists))


GRAPHS = st.one_of(graphs(packed=False), graphs(packed=True))
READABLE = GRAPHS | st.builds(lambda outer, graph: outer | {"graph_definition": graph}, objects(id=st.just(1)), GRAPHS)
ANYTHING = (
    JSON
    | READABLE
    | objects(
        nodes=st.lists(NODES | JSON),
        edges=st.lists(EDGES | JSON),
        nodes_json=st.text(),
        edges_json=st.text(),
        graph_definition=GRAPHS,
        viewport=JSON,
        initial_context=JSON,
        metadata=JSON,
    )
)


def read_or_refuse(document: object) -> Any:
    try:
        return read_definition(document)
    except DefinitionError:
        return None


def pointers_of(graph: dict[str, Any]) -> Iterator[str]:
    for name in ("nodes", "edges"):
        for place, item in enumerate(graph[name]):
            yield f"/{name}/{place}"
            for field in item.keys() - {"from", "type"}:  # the type that a node's content suggests stands nowhere
                yield f"/{name}/{place}/{escape_pointer(field)}"


def resolve(document: Any, pointer: str) -> Any:
    def step(value: Any, token: str) -> Any:
        name = token.replace("~1", "/").replace("~0", "~")
        return value[int(name)] if isinstance(value, list) else value[name]

    return reduce(step, pointer.split("/")[1:], document)


@patiently
@given(ANYTHING)
def test_any_document_is_read_or_refused_and_never_changed(document: Any) -> None:
    before = copy.deepcopy(document)

    read_or_refuse(document)

    assert document == before


@patiently
@given(ANYTHING)
def test_reading_what_was_read_changes_nothing(document: Any) -> None:
    definition = read_or_refuse(document)

    if definition:
        again = read_definition(definition.graph)
        assert again.graph == definition.graph
        assert again.warnings == ()


@patiently
@given(READABLE)
def test_every_field_of_a_graph_points_at_something_in_the_document(document: Any) -> None:
    definition = read_or_refuse(document)
    assume(definition)

    for pointer in pointers_of(definition.graph):
        resolve(document, definition.pointer(pointer))


@patiently
@given(READABLE)
def test_every_warning_points_at_something_in_the_document(document: Any) -> None:
    definition = read_or_refuse(document)
    assume(definition)

    for warning in definition.warnings:
        resolve(document, warning.pointer)


@patiently
@given(JSON, st.text(alphabet="/~01ab"))
def test_any_pointer_gets_an_answer(value: Any, pointer: str) -> None:
    definition = read_definition({"graph_definition": {"nodes": [{"data": {"a": value}}]}})

    assert definition.pointer(pointer).startswith("/graph_definition")


def deep(container: type) -> Any:
    value: Any = "bottom"
    for _ in range(DEPTH):
        value = [value] if container is list else {"data": value}
    return value


@pytest.mark.parametrize("container", [list, dict])
@pytest.mark.parametrize("field", ["id", "type", "data", "label", "name", "executor", "code", "next", "on_true"])
def test_a_bottomless_value_in_a_node_does_no_harm(container: type, field: str) -> None:
    bottomless = {field: deep(container)}
    twice = bottomless | {"label": "Label", "data": bottomless | {"label": deep(container)}}

    definition = read_or_refuse({"nodes": [{"id": "a", "type": "decision"} | bottomless, twice], "edges": []})

    assert definition


@pytest.mark.parametrize("container", [list, dict])
@pytest.mark.parametrize("field", ["from", "to", "condition", "source", "target", "sourceHandle", "data", "label"])
def test_a_bottomless_value_in_an_edge_does_no_harm(container: type, field: str) -> None:
    nodes = [{"id": "a", "type": "decision", "next": deep(container), "on_true": "b"}]
    edge = {"from": "a", "to": "b", field: deep(container)}

    definition = read_or_refuse({"nodes": nodes, "edges": [edge, {"source": "a", field: deep(container)}]})

    assert definition


@pytest.mark.parametrize("container", [list, dict])
@pytest.mark.parametrize(
    "field", ["nodes", "edges", "nodes_json", "graph_definition", "name", "initial_context", "metadata", "model", "x"]
)
def test_a_bottomless_value_around_a_graph_does_no_harm(container: type, field: str) -> None:
    inner = {"nodes": [], "metadata": {"x": deep(container)}, field: deep(container)}

    read_or_refuse({"nodes": [], field: deep(container)})
    read_or_refuse({"x": deep(container), "graph_definition": inner})


def test_many_nodes_of_one_name_do_not_slow_reading_down() -> None:
    nodes = [{"id": "a", "next": "c", "on_true": "d"}] * 20_000
    edges = [{"from": "a", "to": "b"}] * 20_000

    began = time.monotonic()
    read_definition({"nodes": nodes, "edges": edges})

    assert time.monotonic() - began < 10
