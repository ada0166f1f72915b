"""Laws of the older spellings."""

from typing import Any

import pytest

from src.formats import read_definition

EXPENSES = {
    "name": "Expense check",
    "description": "Approve what is within the budget",
    "model": "small-model",
    "nodes": [
        {"id": "start", "type": "start", "name": "Start", "next": "total"},
        {
            "id": "total",
            "type": "action",
            "executor": "e2b",
            "code": "context['total_expenses'] = sum(context['expenses'])",
            "next": "within_budget",
        },
        {
            "id": "within_budget",
            "type": "decision",
            "executor": "static",
            "code": "context['total_expenses'] <= context['budget_limit']",
            "on_true": "thank",
            "on_false": "end",
        },
        {"id": "thank", "type": "action", "executor": "ai", "prompt": "Thank the sender.", "next": "end"},
        {"id": "end", "type": "end", "name": "End", "next": None},
    ],
    "edges": [
        {"from": "start", "to": "total"},
        {"from": "within_budget", "to": "end", "condition": "False"},
    ],
}


def graph_of(*nodes: dict[str, Any], edges: list[dict[str, Any]] | None = None, **beside: object) -> dict[str, Any]:
    return {"nodes": list(nodes), "edges": edges or [], **beside}


def only_node(document: dict[str, Any]) -> Any:
    [node] = read_definition(document).graph["nodes"]
    return node


def edges_of(document: dict[str, Any]) -> list[str]:
    edges = read_definition(document).graph["edges"]
    return [f"{edge['from']} -{edge.get('condition', '')}> {edge['to']}" for edge in edges]


def warned_of(document: dict[str, Any]) -> list[str]:
    return [warning.pointer for warning in read_definition(document).warnings]


def test_a_classic_file_becomes_a_native_graph() -> None:
    definition = read_definition(EXPENSES)

    assert definition.graph == {
        "nodes": [
            {"id": "start", "type": "start", "label": "Start"},
            {
                "id": "total",
                "type": "action",
                "code": "context['total_expenses'] = sum(context['expenses'])",
                "network": True,
            },
            {
                "id": "within_budget",
                "type": "decision",
                "code": "context['total_expenses'] <= context['budget_limit']",
            },
            {"id": "thank", "type": "llm", "prompt": "Thank the sender.", "model": "small-model"},
            {"id": "end", "type": "end", "label": "End"},
        ],
        "edges": [
            {"from": "start", "to": "total"},
            {"from": "within_budget", "to": "end", "condition": "false"},
            {"from": "total", "to": "within_budget"},
            {"from": "within_budget", "to": "thank", "condition": "true"},
            {"from": "thank", "to": "end"},
        ],
        "metadata": {"model": "small-model"},
    }
    assert definition.warnings == ()


def test_an_edge_made_from_on_true_points_back_at_the_node() -> None:
    definition = read_definition(EXPENSES)

    made = [definition.pointer(f"/edges/3{rest}") for rest in ("", "/from", "/to", "/condition")]
    assert made == ["/nodes/2/on_true"] * 4


def test_a_name_read_as_label_points_back_at_the_name() -> None:
    definition = read_definition(EXPENSES)

    assert definition.pointer("/nodes/0/label") == "/nodes/0/name"


def test_what_was_inferred_points_back_at_its_reason() -> None:
    definition = read_definition({"graph_definition": EXPENSES})

    assert definition.pointer("/nodes/1/network") == "/graph_definition/nodes/1/executor"
    assert definition.pointer("/nodes/3/model") == "/graph_definition/model"


def test_a_label_wins_over_a_name() -> None:
    document = graph_of({"id": "a", "label": "A", "name": "B"}, {"id": "b", "label": "B", "name": "B"})

    assert [node["label"] for node in read_definition(document).graph["nodes"]] == ["A", "B"]
    assert warned_of(document) == ["/nodes/0/name"]


@pytest.mark.parametrize("executor", ["e2b", "E2B"])
def test_e2b_implies_network_unless_the_node_says_otherwise(executor: Any) -> None:
    node = {"id": "a", "type": "action", "executor": executor, "code": "pass"}

    assert only_node(graph_of(node))["network"] is True
    assert only_node(graph_of(node | {"network": False}))["network"] is False


@pytest.mark.parametrize("executor", ["static", None])
def test_static_is_plain(executor: Any) -> None:
    node = {"id": "a", "type": "action", "executor": executor, "code": "pass"}

    assert only_node(graph_of(node)) == {"id": "a", "type": "action", "code": "pass"}


@pytest.mark.parametrize("executor", ["docker", 5, ["e2b"]])
def test_an_unknown_executor_is_left_for_the_validator(executor: Any) -> None:
    node = {"id": "a", "type": "action", "executor": executor, "code": "pass"}

    assert only_node(graph_of(node)) == node


@pytest.mark.parametrize("kind", ["action", "llm"])
@pytest.mark.parametrize("executor", ["cached", "ai"])
def test_a_node_for_a_model_becomes_an_llm_node(kind: str, executor: Any) -> None:
    document = graph_of(
        {"id": "a", "type": kind, "executor": executor, "prompt": "Sum up", "model": "own"}, model="all"
    )

    assert only_node(document) == {"id": "a", "type": "llm", "prompt": "Sum up", "model": "own"}
    assert warned_of(document) == []


def test_prose_where_code_should_be_is_read_as_the_prompt() -> None:
    document = graph_of({"id": "a", "type": "action", "executor": "cached", "code": "Find the total in the invoice"})

    assert only_node(document) == {"id": "a", "type": "llm", "prompt": "Find the total in the invoice"}
    assert warned_of(document) == ["/nodes/0/code"]
    assert read_definition(document).pointer("/nodes/0/prompt") == "/nodes/0/code"


def test_code_beside_a_prompt_for_a_model_is_named_as_lost() -> None:
    document = graph_of({"id": "a", "type": "action", "executor": "ai", "prompt": "Sum up", "code": "pass"})

    assert only_node(document) == {"id": "a", "type": "llm", "prompt": "Sum up"}
    assert warned_of(document) == ["/nodes/0/code"]


@pytest.mark.parametrize("code", [{}, {"code": None}, {"code": ""}])
def test_an_action_with_only_a_prompt_becomes_an_llm_node(code: dict[str, Any]) -> None:
    document = graph_of({"id": "a", "type": "action", "prompt": "Sum up"} | code)

    assert only_node(document) == {"id": "a", "type": "llm", "prompt": "Sum up"}
    assert warned_of(document) == ["/nodes/0/type"]


def test_a_decision_for_a_model_is_warned_of_because_a_model_chooses_no_branch() -> None:
    document = graph_of({"id": "a", "type": "decision", "executor": "ai", "prompt": "Is it urgent?"})

    assert only_node(document)["type"] == "llm"
    assert warned_of(document) == ["/nodes/0/type"]


def test_a_prompt_and_a_model_beside_code_are_named_as_lost() -> None:
    document = graph_of({"id": "a", "type": "action", "code": "pass", "prompt": "Sum up", "model": "own"})

    assert only_node(document) == {"id": "a", "type": "action", "code": "pass"}
    assert warned_of(document) == ["/nodes/0/prompt", "/nodes/0/model"]


def test_code_that_does_not_compile_stays_code_where_python_was_asked_for() -> None:
    node = {"id": "a", "type": "action", "code": "Find the total in the invoice"}

    assert only_node(graph_of(node)) == node


def test_ways_out_that_edges_say_already_add_nothing() -> None:
    document = graph_of(
        {"id": "a", "next": "ask"},
        {"id": "ask", "on_true": "x", "on_false": "y"},
        edges=[
            {"from": "ask", "to": "y", "condition": "False"},
            {"from": "ask", "to": "x", "condition": True},
            {"from": "a", "to": "ask"},
        ],
    )

    assert edges_of(document) == ["ask -false> y", "ask -true> x", "a -> ask"]
    assert warned_of(document) == []


def test_edges_win_over_a_way_out_that_contradicts_them() -> None:
    document = graph_of(
        {"id": "a", "next": "c"},
        {"id": "ask", "on_true": "x"},
        edges=[{"from": "a", "to": "b"}, {"from": "ask", "to": "y", "condition": "true"}],
    )

    assert edges_of(document) == ["a -> b", "ask -true> y"]
    assert warned_of(document) == ["/nodes/0/next", "/nodes/1/on_true"]


def test_edges_drawn_without_condition_take_on_the_ones_of_the_decision() -> None:
    document = graph_of(
        {"id": "ask", "on_true": "x", "on_false": "y"},
        edges=[{"from": "ask", "to": "y"}, {"from": "ask", "to": "x"}],
    )

    assert edges_of(document) == ["ask -false> y", "ask -true> x"]
    assert sorted(warned_of(document)) == ["/edges/0", "/edges/1"]
    assert read_definition(document).pointer("/edges/0/condition") == "/nodes/0/on_false"


def test_both_branches_may_lead_to_the_same_node() -> None:
    document = graph_of({"id": "ask", "on_true": "x", "on_false": "x"}, edges=[{"from": "ask", "to": "x"}])

    assert edges_of(document) == ["ask -true> x", "ask -false> x"]


def test_a_default_edge_stays_beside_the_branches_of_the_node() -> None:
    document = graph_of({"id": "ask", "on_true": "x"}, edges=[{"from": "ask", "to": "y"}])

    assert edges_of(document) == ["ask -> y", "ask -true> x"]
    assert warned_of(document) == []


def test_a_way_out_of_an_odd_type_is_left_for_the_validator() -> None:
    definition = read_definition(graph_of({"next": 5}, {"id": ["a"], "next": ["b"]}))

    assert definition.graph["edges"] == [{"to": 5}, {"from": ["a"], "to": ["b"]}]
    assert definition.pointer("/edges/0/to") == "/nodes/0/next"
