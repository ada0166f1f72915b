"""Laws of the React Flow dialect."""

import json
from typing import Any

import pytest

from src.core.errors import DefinitionError
from src.formats import read_definition
from src.nodes import KINDS

FLOW = {
    "nodes": [
        {
            "id": "n1",
            "type": "input",
            "data": {"label": "Begin"},
            "position": {"x": 0, "y": 0},
            "measured": {"width": 150, "height": 40},
            "selected": False,
        },
        {
            "id": "cond1",
            "type": "conditional",
            "data": {"label": "Paid?", "expression": "context.paid"},
            "position": {"x": 0, "y": 100},
            "sourcePosition": "bottom",
        },
        {
            "id": "true1",
            "type": "default",
            "data": {"label": "Ship", "code": "context['shipped'] = True", "timeout": 20},
            "position": {"x": -100, "y": 200},
        },
        {"id": "n4", "type": "output", "data": {"label": "Done"}, "position": {"x": 0, "y": 300}, "width": 150},
    ],
    "edges": [
        {"id": "e1", "source": "n1", "target": "cond1", "type": "smoothstep", "animated": True},
        {"id": "e3", "source": "cond1", "target": "true1", "sourceHandle": "true", "targetHandle": None},
        {"id": "e4", "source": "cond1", "target": "n4", "sourceHandle": None, "label": "False"},
        {"id": "e5", "source": "true1", "target": "n4", "style": {"stroke": "#333"}},
    ],
    "viewport": {"x": 0, "y": 0, "zoom": 1},
}
NATIVE = {
    "nodes": [
        {"id": "n1", "type": "start", "label": "Begin", "position": {"x": 0, "y": 0}},
        {
            "id": "cond1",
            "type": "decision",
            "label": "Paid?",
            "expression": "context.paid",
            "position": {"x": 0, "y": 100},
        },
        {
            "id": "true1",
            "type": "action",
            "label": "Ship",
            "code": "context['shipped'] = True",
            "timeout": 20,
            "position": {"x": -100, "y": 200},
        },
        {"id": "n4", "type": "end", "label": "Done", "position": {"x": 0, "y": 300}},
    ],
    "edges": [
        {"from": "n1", "to": "cond1"},
        {"from": "cond1", "to": "true1", "condition": "true"},
        {"from": "cond1", "to": "n4", "condition": "false"},
        {"from": "true1", "to": "n4"},
    ],
}


def node_of(written: dict[str, Any]) -> Any:
    [node] = read_definition({"nodes": [written], "edges": [], "viewport": {}}).graph["nodes"]
    return node


def edge_out_of(kind: str, **fields: object) -> Any:
    node = {"id": "a", "type": kind, "data": {}}
    [edge] = read_definition({"nodes": [node], "edges": [{"source": "a", "target": "b", **fields}]}).graph["edges"]
    return edge


def warned_of(document: object) -> list[str]:
    return [warning.pointer for warning in read_definition(document).warnings]


def test_a_saved_flow_becomes_a_native_graph_without_its_decoration() -> None:
    definition = read_definition(FLOW)

    assert definition.graph == NATIVE
    assert definition.warnings == ()


def test_pointers_lead_to_where_the_flow_has_it() -> None:
    definition = read_definition(FLOW)

    assert definition.pointer("/nodes/2") == "/nodes/2"
    assert definition.pointer("/nodes/2/id") == "/nodes/2/id"
    assert definition.pointer("/nodes/2/type") == "/nodes/2/type"
    assert definition.pointer("/nodes/2/position/x") == "/nodes/2/position/x"
    assert definition.pointer("/nodes/2/code") == "/nodes/2/data/code"
    assert definition.pointer("/edges/2/from") == "/edges/2/source"
    assert definition.pointer("/edges/2/to") == "/edges/2/target"
    assert definition.pointer("/edges/1/condition") == "/edges/1/sourceHandle"
    assert definition.pointer("/edges/2/condition") == "/edges/2/label"


def test_a_pointer_to_a_missing_field_leads_to_where_it_belongs() -> None:
    definition = read_definition({"nodes": [{"data": {}}], "edges": [{"source": "a"}]})

    assert definition.pointer("/nodes/0/id") == "/nodes/0/id"
    assert definition.pointer("/nodes/0/code") == "/nodes/0/data/code"
    assert definition.pointer("/edges/0/to") == "/edges/0/target"


def test_a_flow_inside_an_api_body_is_read() -> None:
    definition = read_definition({"name": "Ship", "graph_definition": FLOW})

    assert definition.graph == NATIVE
    assert definition.pointer("/nodes/2/code") == "/graph_definition/nodes/2/data/code"
    assert definition.pointer("/edges/1/condition") == "/graph_definition/edges/1/sourceHandle"


@pytest.mark.parametrize("pack", [json.dumps, list])
def test_the_pair_of_lists_is_read_packed_or_not(pack: Any) -> None:
    definition = read_definition({"nodes_json": pack(FLOW["nodes"]), "edges_json": pack(FLOW["edges"])})

    assert definition.graph == NATIVE
    assert definition.pointer("/nodes/2/code") == "/nodes_json/2/data/code"
    assert definition.pointer("/edges/2/to") == "/edges_json/2/target"
    assert definition.pointer("/edges") == "/edges_json"


@pytest.mark.parametrize(
    "packed", ["", "[", "{}", "5", "null", "[NaN]", "[" * 100_000, "[" + "9" * 5000 + "]", None, 5, {}]
)
def test_lists_that_do_not_parse_are_refused_together(packed: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition({"nodes_json": packed, "edges_json": packed})

    assert {problem.pointer.split("/")[1] for problem in caught.value.problems} == {"nodes_json", "edges_json"}


def test_lists_win_over_their_packed_twins() -> None:
    document = FLOW | {"nodes_json": "[]", "edges_json": "[]"}

    assert read_definition(document).graph == NATIVE
    assert warned_of(document) == ["/nodes_json", "/edges_json"]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("input", "start"),
        ("start", "start"),
        ("trigger", "start"),
        ("triggerWebhook", "start"),
        ("output", "end"),
        ("end", "end"),
        ("finish", "end"),
        ("conditional", "decision"),
        ("condition", "decision"),
        ("decision", "decision"),
        ("If", "decision"),
        ("http_request", "http_request"),
        ("Review", "review"),
    ],
)
def test_known_types_are_read_as_kinds(written: Any, kind: str) -> None:
    assert node_of({"id": "a", "type": written, "data": {}})["type"] == kind


@pytest.mark.parametrize("written", [{}, {"type": "default"}, {"type": "pythonNode"}])
def test_a_node_of_another_type_is_what_its_data_can_be_run_as(written: Any) -> None:
    code = node_of({"id": "a", "data": {"code": "pass", "prompt": "Sum up"}} | written)
    prompt = node_of({"id": "a", "data": {"prompt": "Sum up"}} | written)
    neither = node_of({"id": "a", "data": {"label": "?"}} | written)

    assert (code["type"], prompt["type"], neither.get("type")) == ("action", "llm", written.get("type"))


def test_only_a_type_that_was_named_is_warned_of() -> None:
    nodes = [{"id": kind, "type": kind, "data": {"code": "pass"}} for kind in ("default", "pythonNode")]

    assert warned_of({"nodes": nodes, "edges": []}) == ["/nodes/1/type"]


@pytest.mark.parametrize("kind", ["text_generation", "image_generation", "processing", "generate_copy", "loop"])
def test_types_of_creative_workflows_are_left_alone(kind: str) -> None:
    assert node_of({"id": "a", "type": kind, "data": {"prompt": "Write", "model": "m"}})["type"] == kind


def test_the_type_in_the_data_counts_where_the_node_shows_a_component() -> None:
    definition = read_definition({"nodes": [{"id": "a", "type": "card", "data": {"type": "http_request"}}]})

    assert definition.graph["nodes"] == [{"id": "a", "type": "http_request"}]
    assert definition.pointer("/nodes/0/type") == "/nodes/0/data/type"


def test_a_field_of_the_node_wins_over_its_data() -> None:
    node = {"id": "a", "type": "end", "label": "Own", "data": {"id": "b", "type": "start", "label": "Own", "data": 1}}
    document = {"nodes": [node], "edges": []}

    assert read_definition(document).graph["nodes"] == [{"id": "a", "type": "end", "label": "Own"}]
    assert warned_of(document) == ["/nodes/0/data/type", "/nodes/0/data/id", "/nodes/0/data/data"]


def test_hidden_nodes_and_groups_are_named_as_lost() -> None:
    nodes = [{"id": "a", "type": "end", "data": {}, "hidden": True, "parentId": "group"}, {"id": "b", "hidden": False}]

    assert warned_of({"nodes": nodes, "edges": []}) == ["/nodes/0/hidden", "/nodes/0/parentId"]


def test_the_branch_of_a_decision_is_the_first_that_is_present() -> None:
    fields = {"sourceHandle": "yes", "data": {"condition": "no"}, "label": "True"}

    assert edge_out_of("decision", **fields)["condition"] == "yes"
    assert edge_out_of("decision", **fields | {"sourceHandle": None})["condition"] == "no"
    assert edge_out_of("decision", **fields | {"sourceHandle": None, "data": {}})["condition"] == "true"
    assert "condition" not in edge_out_of("decision")


def test_the_ways_out_of_a_review_are_the_decisions_that_a_person_has() -> None:
    nodes = [{"id": "ask", "type": "review", "data": {}}]
    edges = [
        {"source": "ask", "target": "a", "sourceHandle": "publish"},
        {"source": "ask", "target": "b", "label": "reject"},
        {"source": "ask", "target": "c"},
    ]

    read = read_definition({"nodes": nodes, "edges": edges}).graph["edges"]

    assert [edge.get("condition") for edge in read] == ["publish", "reject", None]
    assert edge_out_of("review", sourceHandle="approve")["condition"] == "approve"
    assert edge_out_of("review", sourceHandle="right", label="then") == {"from": "a", "to": "b"}


def ways_out_of_a_review(*fields: dict[str, str], **data: object) -> tuple[list[object], list[str]]:
    """The conditions of its edges, and the pointers of the warnings."""
    edges = [{"source": "ask", "target": f"n{place}", **each} for place, each in enumerate(fields)]
    read = read_definition({"nodes": [{"id": "ask", "type": "review", "data": data}], "edges": edges})
    conditions = [edge.get("condition") for edge in read.graph["edges"]]
    return conditions, [warning.pointer for warning in read.warnings]


def test_labels_that_name_no_decision_of_a_review_leave_all_its_ways_open_with_a_warning() -> None:
    assert ways_out_of_a_review({"label": "mail"}, {"label": "log"}) == (
        [None, None],
        ["/edges/0/label", "/edges/1/label"],
    )
    assert ways_out_of_a_review({"sourceHandle": "right"}, {"sourceHandle": "bottom"}) == ([None, None], [])


def test_a_way_for_errors_beside_another_makes_that_no_decision() -> None:
    assert ways_out_of_a_review({"label": "reject"}, {"sourceHandle": "error"}) == ([None, "error"], [])


def test_the_decision_of_a_review_stands_at_the_label_where_its_handle_says_a_side() -> None:
    edges = (
        {"sourceHandle": "right", "label": "Approve"},
        {"sourceHandle": "bottom", "label": "later"},
        {"sourceHandle": "error", "label": "it broke"},
    )

    assert ways_out_of_a_review(*edges) == (["approve", "later", "error"], [])


def test_a_review_that_names_a_decision_of_its_own_has_it_at_its_ways() -> None:
    edges = ({"label": "publish"}, {"label": "discard"})

    assert ways_out_of_a_review(*edges, on_timeout="discard") == (["publish", "discard"], [])


def test_the_way_out_for_errors_is_never_decoration() -> None:
    assert edge_out_of("action", sourceHandle="error")["condition"] == "error"


def test_handles_and_labels_out_of_other_nodes_are_decoration() -> None:
    assert edge_out_of("start", sourceHandle="right", label="then") == {"from": "a", "to": "b"}


def test_a_branch_out_of_another_node_is_left_for_the_validator() -> None:
    assert edge_out_of("start", sourceHandle="True")["condition"] == "true"
    assert edge_out_of("start", data={"condition": "late"})["condition"] == "late"


def test_older_spellings_are_read_under_data_too() -> None:
    nodes = [
        {"id": "ask", "type": "decision", "data": {"name": "Ask", "code": "1 > 0", "executor": "e2b", "on_true": "x"}},
        {"id": "x", "type": "output", "data": {}},
    ]

    definition = read_definition({"nodes": nodes, "edges": []})

    assert definition.graph == {
        "nodes": [
            {"id": "ask", "type": "decision", "label": "Ask", "code": "1 > 0", "network": True},
            {"id": "x", "type": "end"},
        ],
        "edges": [{"from": "ask", "to": "x", "condition": "true"}],
    }
    assert definition.pointer("/nodes/0/label") == "/nodes/0/data/name"
    assert definition.pointer("/nodes/0/network") == "/nodes/0/data/executor"
    assert definition.pointer("/edges/0/to") == "/nodes/0/data/on_true"


def test_an_edge_may_mix_both_ways_of_naming_its_ends() -> None:
    document = {"nodes": [], "edges": [{"from": "a", "source": "z", "target": "b"}, {"from": "b", "to": "c"}]}

    assert read_definition(document).graph["edges"] == [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}]
    assert warned_of(document) == ["/edges/0/source"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_by_its_name(kind: str) -> None:
    data = {"code": "pass"} if kind in ("action", "decision") else {"prompt": "Sum up"}
    node = {"id": "n1", "type": kind, "data": data, "position": {"x": 0, "y": 0}}

    definition = read_definition({"nodes": [node], "edges": []})

    assert (definition.graph["nodes"][0]["type"], definition.warnings) == (kind, ())
