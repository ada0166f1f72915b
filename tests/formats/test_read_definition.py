"""Laws of `read_definition`: the native form, what may stand around a graph, and what cannot be read at all."""

import copy
from typing import Any

import pytest

from src.core.errors import DefinitionError, Problem
from src.formats import read_definition

NATIVE = {
    "nodes": [
        {"id": "start", "type": "start"},
        {"id": "fetch", "type": "http_request", "url": "https://example.com/{{ context.id }}", "timeout": 5},
        {"id": "end", "type": "end", "position": {"x": 400, "y": 0}},
    ],
    "edges": [{"from": "start", "to": "fetch"}, {"from": "fetch", "to": "end"}],
}


def problems_of(document: object) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        read_definition(document)
    return [problem.pointer for problem in caught.value.problems]


def test_a_native_graph_is_read_as_it_is() -> None:
    definition = read_definition(NATIVE)

    assert definition.graph == NATIVE
    assert (definition.name, definition.description, definition.initial_context) == (None, None, None)
    assert definition.warnings == ()


def test_an_api_body_is_unwrapped() -> None:
    definition = read_definition(
        {"name": "Fetch", "description": "Once a day", "graph_definition": NATIVE, "initial_context": {"id": 7}}
    )

    assert definition.graph == NATIVE
    assert (definition.name, definition.description) == ("Fetch", "Once a day")
    assert definition.initial_context == {"id": 7}


def test_pointers_into_an_api_body_lead_through_the_graph_definition() -> None:
    definition = read_definition({"name": "Fetch", "graph_definition": NATIVE})

    assert definition.pointer("/nodes/1/url") == "/graph_definition/nodes/1/url"
    assert definition.pointer("/nodes/1/no_such_field") == "/graph_definition/nodes/1/no_such_field"
    assert definition.pointer("/edges") == "/graph_definition/edges"
    assert definition.pointer("") == "/graph_definition"


def test_a_bare_file_keeps_what_nobody_reads_as_metadata() -> None:
    definition = read_definition(
        {"id": 12, "version": 3, "model": "small", "a/b": 1, "name": "Fetch", "initial_context": {"id": 7}, **NATIVE}
    )

    assert definition.graph == NATIVE | {"metadata": {"id": 12, "version": 3, "model": "small", "a/b": 1}}
    assert (definition.name, definition.initial_context) == ("Fetch", {"id": 7})
    assert definition.pointer("/metadata/a~1b") == "/a~1b"


def test_metadata_stays_and_takes_in_what_stands_beside_it() -> None:
    definition = read_definition(NATIVE | {"metadata": {"team": "billing"}, "team": "sales", "owner": "kim"})

    assert definition.graph["metadata"] == {"team": "billing", "owner": "kim"}
    assert [warning.pointer for warning in definition.warnings] == ["/team"]


def test_a_stored_workflow_can_be_sent_back_and_leaves_no_traces_of_its_row() -> None:
    row = {"id": 12, "version": 3, "name": "Fetch", "created_at": "2030-01-01T00:00:00Z", "updated_at": None}

    definition = read_definition(row | {"graph_definition": NATIVE})

    assert definition.graph == NATIVE
    assert definition.warnings == ()


def test_extra_keys_inside_a_graph_definition_are_kept_and_found_again() -> None:
    definition = read_definition({"name": "New", "graph_definition": NATIVE | {"name": "Old", "variables": [1]}})

    assert definition.name == "New"
    assert definition.graph["metadata"] == {"variables": [1]}
    assert definition.pointer("/metadata/variables/0") == "/graph_definition/variables/0"
    assert [warning.pointer for warning in definition.warnings] == ["/graph_definition/name"]


def test_the_name_inside_a_graph_definition_counts_where_there_is_no_other() -> None:
    definition = read_definition({"graph_definition": NATIVE | {"name": "Inner", "initial_context": {"id": 7}}})

    assert (definition.name, definition.initial_context) == ("Inner", {"id": 7})


def test_lists_beside_a_graph_definition_are_named_as_lost() -> None:
    definition = read_definition({"graph_definition": NATIVE, "nodes": [], "edges": []})

    assert definition.graph == NATIVE
    assert [warning.pointer for warning in definition.warnings] == ["/nodes", "/edges"]


@pytest.mark.parametrize(
    ("written", "read"),
    [(True, "true"), (False, "false"), ("True", "true"), (" FALSE ", "false"), (" Yes ", "Yes"), ("error", "error")],
)
def test_a_condition_is_read_in_any_case_and_as_a_boolean(written: Any, read: str) -> None:
    definition = read_definition(NATIVE | {"edges": [{"from": "a", "to": "b", "condition": written}]})

    assert definition.graph["edges"] == [{"from": "a", "to": "b", "condition": read}]


@pytest.mark.parametrize("written", [None, "", "  "])
def test_an_empty_condition_is_no_condition(written: Any) -> None:
    definition = read_definition(NATIVE | {"edges": [{"from": "a", "to": "b", "condition": written}]})

    assert definition.graph["edges"] == [{"from": "a", "to": "b"}]


def test_a_graph_without_edges_is_read() -> None:
    definition = read_definition({"nodes": NATIVE["nodes"]})

    assert definition.graph == {"nodes": NATIVE["nodes"], "edges": []}


def test_odd_fields_of_nodes_and_edges_are_left_for_the_validator() -> None:
    graph = {"nodes": [{"type": 5}, {"id": ["a"], "type": None}], "edges": [{"from": 1}, {"to": {}, "condition": 3}]}

    definition = read_definition(graph)

    assert definition.graph == graph


@pytest.mark.parametrize("document", [None, True, 5, 1.5, "text", [], [NATIVE], {}, {"name": "Fetch"}])
def test_what_is_no_workflow_is_refused_as_a_whole(document: Any) -> None:
    assert problems_of(document) == [""]


@pytest.mark.parametrize("graph", [None, 5, "text", [NATIVE]])
def test_a_graph_definition_that_is_no_object_is_refused(graph: Any) -> None:
    assert problems_of({"name": "Fetch", "graph_definition": graph}) == ["/graph_definition"]


def test_an_empty_graph_definition_is_refused() -> None:
    assert problems_of({"name": "Fetch", "graph_definition": {}}) == ["/graph_definition"]


def test_a_body_inside_a_body_is_refused() -> None:
    assert problems_of({"graph_definition": {"graph_definition": NATIVE}}) == ["/graph_definition"]


def test_missing_nodes_are_refused_where_they_should_stand() -> None:
    assert problems_of({"edges": []}) == ["/nodes"]
    assert problems_of({"graph_definition": {"edges": []}}) == ["/graph_definition/nodes"]


def test_every_structural_problem_is_listed_at_once() -> None:
    graph = {"nodes": [{"id": "a"}, 5, "b", None], "edges": [[], {"from": "a", "to": "b"}, "a -> b"]}
    document = {"name": 5, "initial_context": [], "graph_definition": graph}

    pointers = problems_of(document)

    inside = ["/nodes/1", "/nodes/2", "/nodes/3", "/edges/0", "/edges/2"]
    assert pointers == ["/name", "/initial_context"] + [f"/graph_definition{pointer}" for pointer in inside]


def test_lists_of_another_type_are_refused_together() -> None:
    assert problems_of({"nodes": {}, "edges": None}) == ["/nodes", "/edges"]


def test_a_problem_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition({"nodes": "x" * 1000, "edges": [True]})

    assert caught.value.problems == (
        Problem("/nodes", f"expected a list, got '{'x' * 60}...'"),
        Problem("/edges/0", "expected an object, got true or false"),
    )


def test_the_document_is_not_changed_and_its_nodes_are_not_shared() -> None:
    document = {"name": "Fetch", "graph_definition": copy.deepcopy(NATIVE), "model": "small"}
    before = copy.deepcopy(document)

    definition = read_definition(document)
    definition.graph["nodes"][0]["label"] = "changed"
    definition.graph["edges"].clear()

    assert document == before


# Graphs inside nodes.

FLOW = {
    "nodes": [
        {"id": "a", "type": "input", "data": {}, "position": {"x": 0, "y": 0}},
        {"id": "b", "type": "default", "data": {"code": "context['x'] = 1"}, "position": {"x": 1, "y": 0}},
        {"id": "c", "type": "output", "data": {}, "position": {"x": 2, "y": 0}},
    ],
    "edges": [{"id": "1", "source": "a", "target": "b"}, {"id": "2", "source": "b", "target": "c"}],
}


def over(graph: object, **node: Any) -> dict[str, Any]:
    each = {"id": "each", "type": "map", "items": "context.orders", "graph": graph, **node}
    nodes = [{"id": "start", "type": "start"}, each, {"id": "end", "type": "end"}]
    return {"nodes": nodes, "edges": [{"from": "start", "to": "each"}, {"from": "each", "to": "end"}]}


@pytest.mark.parametrize("wrap", [lambda graph: graph, lambda graph: {"name": "inner", "graph_definition": graph}])
def test_a_graph_inside_a_node_is_read_in_any_form(wrap: Any) -> None:
    document = over(wrap(FLOW))
    before = copy.deepcopy(document)

    inner = read_definition(document).graph["nodes"][1]["graph"]

    assert inner == read_definition(FLOW).graph
    assert [node["type"] for node in inner["nodes"]] == ["start", "action", "end"]
    assert document == before


def test_a_native_graph_inside_a_node_stays_as_it_is() -> None:
    document = over(over(NATIVE | {"queue": "analyst", "retry": {"max_attempts": 2}}))

    assert read_definition(document).graph == document


def test_pointers_into_a_graph_inside_a_node_lead_through_all_that_is_around_it() -> None:
    whole = read_definition({"graph_definition": over({"graph_definition": over(FLOW)})})
    flow = read_definition(
        {"nodes": [{"id": "each", "type": "map", "data": {"items": "[]", "graph": FLOW}}], "edges": []}
    )

    deep = "/nodes/1/graph/nodes/1/graph/nodes/1/code"
    expected = "/graph_definition/nodes/1/graph/graph_definition/nodes/1/graph/nodes/1/data/code"
    assert whole.pointer(deep) == expected
    assert whole.pointer("/nodes/1/graph") == "/graph_definition/nodes/1/graph/graph_definition"
    assert flow.pointer("/nodes/0/graph/nodes/1/code") == "/nodes/0/data/graph/nodes/1/data/code"


def test_what_is_wrong_or_lost_inside_a_node_is_found_there() -> None:
    assert problems_of(over({"nodes": 3})) == ["/nodes/1/graph/nodes"]
    lost = read_definition(over(FLOW | {"initial_context": {"x": 1}}))
    assert [warning.pointer for warning in lost.warnings] == ["/nodes/1/graph/initial_context"]
