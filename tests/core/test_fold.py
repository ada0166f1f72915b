from copy import deepcopy

from hypothesis import given

from src.core.fold import Fold
from src.core.outcome import Succeeded
from tests.builders import Case, graph_of
from tests.core.strategies import WITHOUT_FAILURE

DIAMOND = ("a -> b -> d", "a -> c -> d")


def test_before_the_first_node_there_is_the_initial_context() -> None:
    fold = Fold(graph_of("a -> b"), {"x": 1})

    assert fold.before([]) == {"x": 1}
    assert fold.all() == {"x": 1}


def test_an_output_lies_over_what_was_there() -> None:
    fold = Fold(graph_of("a -> b"), {"x": 1, "y": 1})

    fold.add("a", [], {"x": 2})

    assert fold.before(["a"]) == {"x": 2, "y": 1}


def test_a_value_is_replaced_whole_and_not_merged() -> None:
    fold = Fold(graph_of("a -> b"), {"order": {"id": 1, "total": 2}})

    fold.add("a", [], {"order": {"id": 3}})

    assert fold.before(["a"]) == {"order": {"id": 3}}


def test_a_join_lays_outputs_over_each_other_in_topological_order() -> None:
    fold = Fold(graph_of("a -> b -> b2 -> d", "a -> c -> d"), {})

    fold.add("a", [], {"by": "a"})
    fold.add("b", ["a"], {"by": "b"})
    fold.add("b2", ["b"], {"by": "b2"})
    fold.add("c", ["a"], {"by": "c"})

    assert fold.before(["b2", "c"]) == fold.before(["c", "b2"]) == {"by": "b2"}


def test_outputs_of_one_level_lie_in_the_order_of_definition_whichever_came_first() -> None:
    fold = Fold(graph_of(*DIAMOND, defined="a c b d"), {})

    fold.add("a", [], {"by": "a"})
    fold.add("b", ["a"], {"by": "b"})
    fold.add("c", ["a"], {"by": "c"})

    assert fold.before(["b", "c"]) == {"by": "b"}


def test_the_far_side_of_a_join_is_seen_through_it_again() -> None:
    fold = Fold(graph_of("a -> join", "b -> join", "join -> after", "b -> after"), {})

    fold.add("a", [], {"a": 1})
    fold.add("b", [], {"b": 1})
    fold.add("join", ["a", "b"], {"b": 2})

    assert fold.before(["join", "b"]) == {"a": 1, "b": 2}


def test_the_context_at_the_end_holds_every_output() -> None:
    fold = Fold(graph_of("a -> b", "c -> d"), {"x": 0})

    for node_id, live in (("d", []), ("a", []), ("c", []), ("b", ["a"])):
        fold.add(node_id, live, {node_id: node_id, "last": node_id})

    assert fold.all() == {"x": 0, "a": "a", "b": "b", "c": "c", "d": "d", "last": "d"}


@given(WITHOUT_FAILURE)
def test_folding_changes_neither_the_initial_context_nor_any_output(case: Case) -> None:
    before = deepcopy((case.initial_context, case.outcomes))
    fold = Fold(case.graph, case.initial_context)

    for node_id in case.graph.order:
        outcome = case.outcomes[node_id]
        assert isinstance(outcome, Succeeded)
        fold.add(node_id, [edge.source for edge in case.graph.incoming[node_id]], outcome.output)
    fold.all()

    assert before == (case.initial_context, case.outcomes)


@given(WITHOUT_FAILURE)
def test_a_node_sees_of_its_ancestors_the_last_in_topological_order(case: Case) -> None:
    fold = Fold(case.graph, {})
    ancestors: dict[str, set[str]] = {}

    for node_id in case.graph.order:
        live = [edge.source for edge in case.graph.incoming[node_id]]
        ancestors[node_id] = set(live).union(*(ancestors[each] for each in live))
        last = max(ancestors[node_id], key=case.graph.rank.__getitem__, default=None)
        assert fold.before(live).get("last") == last
        fold.add(node_id, live, {"last": node_id})
