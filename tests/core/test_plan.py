from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given

from src.core.outcome import Context, Outcome, Succeeded, WaitFor, Waiting
from src.core.plan import Plan, Verdict
from src.core.status import Status
from tests.builders import Case, failed, graph_of
from tests.core.reference import Reference
from tests.core.strategies import CASES, RANDOMS

SHOP = ("ask -yes-> ship -> tell", "ask -no-> refund -> tell")


def ids_of(plan: Plan) -> list[str]:
    return [node.id for node in plan.ready()]


def skipped_by(plan: Plan) -> set[str]:
    return {node_id for node_id, outcome in plan.settled.items() if outcome is None}


def run_to_end(plan: Plan, outcomes: Mapping[str, Outcome] | None = None) -> list[str]:
    """Run the first ready node again and again; answers the nodes in the order in which they ran."""
    ran = []
    while ready := plan.ready():
        node_id = ready[0].id
        plan.record(node_id, (outcomes or {}).get(node_id, Succeeded({node_id: True})))
        ran.append(node_id)
    return ran


# What is ready.


def test_a_line_runs_one_node_after_the_other() -> None:
    plan = Plan(graph_of("a -> b -> c"))

    assert ids_of(plan) == ["a"]
    assert run_to_end(plan) == ["a", "b", "c"]


def test_everything_whose_inputs_are_settled_is_ready_at_once() -> None:
    plan = Plan(graph_of("a -> b", "a -> c", "a -> d"))

    became_ready = plan.record("a", Succeeded())

    assert [node.id for node in became_ready] == ids_of(plan) == ["b", "c", "d"]


def test_ready_nodes_stand_in_topological_order_and_then_as_they_were_defined() -> None:
    plan = Plan(graph_of("a -> deep", "b -> c", "b -> d", defined="deep d c b a"))

    plan.record("b", Succeeded())
    assert ids_of(plan) == ["a", "d", "c"]

    plan.record("a", Succeeded())
    assert ids_of(plan) == ["deep", "d", "c"]


def test_a_join_waits_for_all_of_its_inputs() -> None:
    plan = Plan(graph_of("a -> join", "b -> join"))

    assert plan.record("a", Succeeded()) == []
    assert ids_of(plan) == ["b"]

    plan.record("b", Succeeded())
    assert ids_of(plan) == ["join"]


def test_two_edges_between_the_same_nodes_make_the_second_run_once() -> None:
    plan = Plan(graph_of("a -> b", "a -> b"))

    assert run_to_end(plan) == ["a", "b"]


def test_two_branches_may_lead_to_the_same_node() -> None:
    plan = Plan(graph_of("ask -yes-> tell", "ask -no-> tell"))

    plan.record("ask", Succeeded(branch="no"))

    assert ids_of(plan) == ["tell"]


# Branches.


def test_a_decision_opens_the_branch_it_names_and_no_other() -> None:
    plan = Plan(graph_of(*SHOP))

    became_ready = plan.record("ask", Succeeded(branch="yes"))

    assert [node.id for node in became_ready] == ["ship"]
    assert run_to_end(plan) == ["ship", "tell"]
    assert plan.settled["refund"] is None


def test_a_join_runs_when_one_of_its_branches_was_skipped() -> None:
    plan = Plan(graph_of(*SHOP))

    plan.record("ask", Succeeded(branch="no"))

    assert run_to_end(plan) == ["refund", "tell"]


def test_a_branch_without_an_edge_of_its_own_takes_the_default() -> None:
    plan = Plan(graph_of("ask -yes-> ship", "ask -> wait"))

    plan.record("ask", Succeeded(branch="perhaps"))

    assert run_to_end(plan) == ["wait"]


def test_a_branch_with_an_edge_of_its_own_leaves_the_default_alone() -> None:
    plan = Plan(graph_of("ask -yes-> ship", "ask -> wait"))

    plan.record("ask", Succeeded(branch="yes"))

    assert run_to_end(plan) == ["ship"]


def test_a_branch_that_leads_nowhere_ends_the_run() -> None:
    plan = Plan(graph_of(*SHOP))

    plan.record("ask", Succeeded(branch="perhaps"))

    assert plan.ready() == []
    assert plan.verdict.status is Status.COMPLETED
    assert skipped_by(plan) == {"ship", "refund", "tell"}


def test_every_edge_of_the_branch_taken_is_gone_along() -> None:
    plan = Plan(graph_of("ask -yes-> ship", "ask -yes-> bill", "ask -no-> refund"))

    plan.record("ask", Succeeded(branch="yes"))

    assert ids_of(plan) == ["ship", "bill"]


def test_a_skip_passes_down_a_whole_branch() -> None:
    plan = Plan(graph_of("ask -yes-> a -> b -> c", "ask -no-> d"))

    plan.record("ask", Succeeded(branch="no"))

    assert run_to_end(plan) == ["d"]
    assert skipped_by(plan) == {"a", "b", "c"}


def test_a_skip_ends_at_a_join_that_is_reached_another_way() -> None:
    plan = Plan(graph_of("start -> ask", "start -> other -> join", "ask -yes-> a -> join", "ask -no-> d"))

    plan.record("start", Succeeded())
    plan.record("ask", Succeeded(branch="no"))

    assert run_to_end(plan) == ["other", "d", "join"]


def test_a_join_all_of_whose_branches_were_skipped_is_skipped() -> None:
    plan = Plan(graph_of("ask -yes-> a -> join -> after", "ask -yes-> b -> join", "ask -no-> d"))

    plan.record("ask", Succeeded(branch="no"))

    assert run_to_end(plan) == ["d"]
    assert plan.settled["join"] is plan.settled["after"] is None


def test_a_decision_that_is_skipped_skips_all_of_its_branches() -> None:
    plan = Plan(graph_of("outer -in-> inner", "inner -yes-> a -> end", "inner -no-> b -> end", "outer -out-> end"))

    plan.record("outer", Succeeded(branch="out"))

    assert run_to_end(plan) == ["end"]
    assert plan.settled["inner"] is plan.settled["a"] is plan.settled["b"] is None


def test_a_join_behind_a_skip_still_waits_for_its_slow_input() -> None:
    plan = Plan(graph_of("ask -yes-> a -> join", "slow -> join", "ask -no-> d"))

    plan.record("ask", Succeeded(branch="no"))
    assert "join" not in ids_of(plan)

    plan.record("slow", Succeeded())
    assert "join" in ids_of(plan)


# Context.


def test_a_node_sees_what_its_ancestors_wrote() -> None:
    plan = Plan(graph_of("a -> b -> c"), {"x": 0, "kept": 1})

    plan.record("a", Succeeded({"x": 1}))
    plan.record("b", Succeeded({"y": 2}))

    assert plan.context_of("c") == {"x": 1, "kept": 1, "y": 2}


def test_siblings_do_not_see_what_each_other_wrote() -> None:
    plan = Plan(graph_of("a -> b", "a -> c", "b -> join", "c -> join"), {"by": "nobody"})

    plan.record("a", Succeeded({"by": "a"}))
    plan.record("b", Succeeded({"by": "b", "b": 1}))

    assert plan.context_of("c") == {"by": "a"}


def test_a_join_sees_the_later_defined_of_two_siblings_whichever_ended_first() -> None:
    graph = graph_of("a -> b -> join", "a -> c -> join", defined="a c b join")
    one, other = Plan(graph), Plan(graph)

    for plan, order in ((one, "abc"), (other, "acb")):
        for node_id in order:
            plan.record(node_id, Succeeded({"by": node_id}))

    assert one.context_of("join") == other.context_of("join") == {"by": "b"}


def test_what_a_dead_branch_would_have_seen_is_seen_by_nobody() -> None:
    plan = Plan(graph_of("ask -yes-> a -> join", "ask -no-> b -> join", "c -> join"))

    plan.record("ask", Succeeded({"by": "ask"}, branch="no"))
    plan.record("b", Succeeded({"b": 1}))
    plan.record("c", Succeeded({"c": 1}))

    assert plan.context_of("join") == {"by": "ask", "b": 1, "c": 1}


# The end.


def test_a_run_completes_with_all_that_was_written() -> None:
    plan = Plan(graph_of("a -> b", "a -> c"), {"x": 0})

    run_to_end(plan, {"a": Succeeded({"x": 1}), "b": Succeeded({"b": 2}), "c": Succeeded({"c": 3})})

    assert plan.verdict == Verdict(Status.COMPLETED, {"x": 1, "b": 2, "c": 3})


def test_a_failure_leaves_nothing_ready() -> None:
    plan = Plan(graph_of("a -> b", "a -> c"))
    failure = failed("out of paper")
    plan.record("a", Succeeded({"x": 1}))

    assert plan.record("b", failure) == []

    assert plan.failed
    assert plan.ready() == []
    assert plan.verdict == Verdict(Status.FAILED, {"x": 1}, failure.error, "b")


def test_a_node_in_flight_when_another_fails_is_still_recorded() -> None:
    plan = Plan(graph_of("a -> b -> d", "a -> c"), history=[("a", Succeeded()), ("c", failed())])

    assert plan.record("b", Succeeded({"b": 1})) == []

    assert plan.ready() == []
    assert plan.verdict.result == {"b": 1}


def test_a_run_in_which_a_node_waits_is_not_at_its_end() -> None:
    plan = Plan(graph_of("a -> b"))

    assert plan.record("a", Waiting(WaitFor.TIME)) == []

    assert plan.verdict.status is Status.WAITING


def test_a_run_goes_on_when_the_node_that_waited_has_ended() -> None:
    plan = Plan(graph_of("a -> b"))
    plan.record("a", Waiting(WaitFor.TIME))

    plan.record("a", Succeeded({"a": 1}))

    assert run_to_end(plan) == ["b"]
    assert plan.verdict.status is Status.COMPLETED


def test_the_first_of_two_failures_is_the_one_told() -> None:
    plan = Plan(graph_of("a -> join", "b -> join"))

    plan.record("b", failed("first"))
    plan.record("a", failed("second"))

    assert plan.verdict.node_id == "b"
    assert plan.verdict.error == failed("first").error


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (["b"], "its inputs are not settled"),
        (["a", "a"], "it has ended already"),
        (["a", "elsewhere"], "there is no such node"),
        (["a", "b", "join"], "one of its inputs is not settled"),
        (["a", "b", "ask:no", "never"], "it was skipped"),
    ],
)
def test_a_history_that_does_not_fit_the_graph_is_refused(history: list[str], why: str) -> None:
    graph = graph_of("a -> b -> join", "a -> c -> join", "a -> ask -yes-> never", "ask -no-> d")
    *before, (misfit, outcome) = [(node_id, Succeeded(branch=b or None)) for node_id, _, b in map(_parted, history)]
    plan = Plan(graph, {}, before)

    with pytest.raises(ValueError, match=repr(misfit)):
        plan.record(misfit, outcome)


def _parted(word: str) -> tuple[str, str, str]:
    return word.partition(":")


# On any graph.


@given(CASES, RANDOMS)
def test_a_plan_agrees_with_the_reference_at_every_step(case: Case, random: Random) -> None:
    plan = Plan(case.graph, case.initial_context)
    reference = Reference(case.graph, case.initial_context, {})
    while plan.ready():
        ready = plan.ready()
        _agree(plan, reference)

        node_id = random.choice(ready).id
        became_ready = plan.record(node_id, case.outcomes[node_id])

        reference = Reference(case.graph, case.initial_context, {**reference.outcomes, node_id: case.outcomes[node_id]})
        assert {node.id for node in became_ready} == reference.ready - {node.id for node in ready}

    _agree(plan, reference)
    assert plan.verdict.result == reference.result
    assert plan.failed or set(plan.settled) == set(case.graph.nodes)


def _agree(plan: Plan, reference: Reference) -> None:
    assert set(ids_of(plan)) == reference.ready
    assert ids_of(plan) == sorted(
        reference.ready, key=lambda each: (reference.level(each), reference.names.index(each))
    )
    assert skipped_by(plan) == reference.skipped
    for node_id in reference.ready:
        assert plan.context_of(node_id) == reference.context_of(node_id)


@given(CASES)
def test_no_node_runs_before_one_that_an_edge_puts_first(case: Case) -> None:
    ran = run_to_end(Plan(case.graph), case.outcomes)

    place = {node_id: index for index, node_id in enumerate(ran)}
    assert len(place) == len(ran)
    assert all(
        place[edge.source] < place[edge.target]
        for edge in case.graph.edges
        if edge.source in place and edge.target in place
    )


@given(CASES, RANDOMS)
def test_a_run_resumed_at_any_point_goes_on_as_if_it_had_not_stopped(case: Case, random: Random) -> None:
    live, steps = Plan(case.graph, case.initial_context), []
    while ready := live.ready():
        node_id = random.choice(ready).id
        steps.append((_state(live), (node_id, case.outcomes[node_id])))
        live.record(*steps[-1][1])
    history = [step for _, step in steps]

    for cut, (state, _) in enumerate(steps):
        resumed = Plan(case.graph, case.initial_context, history[:cut])
        assert _state(resumed) == state
        for node_id, outcome in history[cut:]:
            resumed.record(node_id, outcome)
        assert (resumed.verdict, resumed.settled) == (live.verdict, live.settled)


def _state(plan: Plan) -> list[tuple[str, Context]]:
    return [(node.id, plan.context_of(node.id)) for node in plan.ready()]


@given(CASES, RANDOMS)
def test_the_order_in_which_parallel_nodes_end_does_not_change_a_completed_run(case: Case, random: Random) -> None:
    first, other = Plan(case.graph, case.initial_context), Plan(case.graph, case.initial_context)

    run_to_end(first, case.outcomes)
    while ready := other.ready():
        node_id = random.choice(ready).id
        other.record(node_id, case.outcomes[node_id])

    assert first.failed == other.failed
    assert first.failed or first.verdict == other.verdict


@given(CASES, RANDOMS)
def test_what_is_not_ready_cannot_be_recorded(case: Case, random: Random) -> None:
    plan = Plan(case.graph)
    while ready := plan.ready():
        for node_id in case.graph.nodes.keys() - {node.id for node in ready}:
            with pytest.raises(ValueError, match=node_id):
                plan.record(node_id, Succeeded())
        node_id = random.choice(ready).id
        plan.record(node_id, case.outcomes[node_id])
