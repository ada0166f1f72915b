from graphlib import CycleError

import pytest
from hypothesis import given

from src.core.graph import Edge
from tests.builders import Case, graph_of
from tests.core.reference import Reference
from tests.core.strategies import CASES


def test_a_drawing_becomes_nodes_and_edges_in_the_order_drawn() -> None:
    graph = graph_of("ask -yes-> ship -> tell", "ask -no-> refund -> tell", "ask -> wait")

    assert list(graph.nodes) == ["ask", "ship", "tell", "refund", "wait"]
    assert graph.edges == (
        Edge("ask", "ship", "yes"),
        Edge("ship", "tell"),
        Edge("ask", "refund", "no"),
        Edge("refund", "tell"),
        Edge("ask", "wait"),
    )


def test_edges_are_found_from_both_of_their_ends() -> None:
    graph = graph_of("a -> b -> c", "a -> c")

    assert [edge.source for edge in graph.incoming["c"]] == ["b", "a"]
    assert [edge.target for edge in graph.outgoing["a"]] == ["b", "c"]
    assert graph.incoming["a"] == graph.outgoing["c"] == []


def test_a_node_comes_after_the_longest_way_to_it() -> None:
    graph = graph_of("a -> d", "a -> b -> c -> d")

    assert graph.order == ("a", "b", "c", "d")


def test_nodes_of_one_level_stand_in_the_order_of_definition() -> None:
    graph = graph_of("a -> b", "a -> c", "a -> d", defined="d c b a")

    assert graph.order == ("a", "d", "c", "b")


def test_a_shallow_node_comes_before_a_deep_one_that_was_defined_earlier() -> None:
    graph = graph_of("a -> mid -> deep", "a -> shallow", defined="deep shallow mid a")

    assert graph.order == ("a", "shallow", "mid", "deep")


def test_a_circle_has_no_order() -> None:
    graph = graph_of("a -> b -> a")

    with pytest.raises(CycleError):
        _ = graph.order


@given(CASES)
def test_the_order_holds_every_node_once_and_every_edge_goes_forward(case: Case) -> None:
    graph = case.graph

    rank = graph.rank
    assert sorted(graph.order) == sorted(graph.nodes)
    assert [rank[node_id] for node_id in graph.order] == list(range(len(graph.nodes)))
    assert all(rank[edge.source] < rank[edge.target] for edge in graph.edges)


@given(CASES)
def test_the_order_is_by_level_and_then_by_definition(case: Case) -> None:
    graph = case.graph

    reference = Reference(graph, {}, {})

    assert list(graph.order) == sorted(graph.nodes, key=reference.level)
