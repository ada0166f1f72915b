from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import pytest
from hypothesis import assume, given

from src.core.engine import GraphEngine
from src.core.outcome import Succeeded, WaitFor, Waiting
from src.core.status import AttemptStatus, Status
from src.core.verify import History, Kept, violations
from tests.builders import Case, attempt_at, failed, graph_of
from tests.core.strategies import CASES, RANDOMS
from tests.fakes import FakeKinds, MemoryStore


def history_of(case: Case) -> History:
    """What a run of the case leaves, one node after the other, without any trouble."""
    store = MemoryStore()
    execution_id = store.create(case.graph, case.initial_context)
    engine = GraphEngine(
        store,
        FakeKinds({node_id: lambda visit: case.outcomes[visit.node_id] for node_id in case.graph.nodes}),
        threads=ThreadPoolExecutor(1),
        node_concurrency=1,
        max_output_bytes=1_000_000,
    )
    engine.run(execution_id)
    return store.history(execution_id)


def shop() -> History:
    """`start`, `ask` (no), `refund`, `tell`; recovered once, after `ask`."""
    graph = graph_of("start -> ask -yes-> ship -> tell", "ask -no-> refund -> tell")
    rows = [
        Kept("start", "action", 1, AttemptStatus.SUCCESS, {"start": 1}, None, 1),
        Kept("ask", "decision", 1, AttemptStatus.SUCCESS, {}, "no", 1),
        Kept("refund", "action", 1, AttemptStatus.SUCCESS, {"refund": 1}, None, 2),
        Kept("tell", "action", 1, AttemptStatus.SUCCESS, {"told": True}, None, 2),
    ]
    result = {"x": 0, "start": 1, "refund": 1, "told": True}
    return History(graph, Status.COMPLETED, 2, None, {"x": 0}, result, rows, returns=1)


def changed(history: History, place: int, **fields: object) -> History:
    rows = list(history.rows)
    rows[place] = replace(rows[place], **fields)  # type: ignore[arg-type]
    return replace(history, rows=rows)


# Good histories.


def test_a_history_as_it_should_be_has_no_violations() -> None:
    assert violations(shop()) == []


@given(CASES)
def test_an_undisturbed_run_has_no_violations(case: Case) -> None:
    assert violations(history_of(case)) == []


def test_an_execution_that_nobody_has_claimed_yet_has_no_violations() -> None:
    store = MemoryStore()

    execution_id = store.create(graph_of("a -> b"))

    assert violations(store.history(execution_id)) == []


def test_an_execution_that_is_under_way_has_no_violations() -> None:
    store = MemoryStore()
    execution_id = store.create(graph_of("a -> b"))
    claim = store.claim(execution_id)
    assert claim is not None

    store.checkpoint(claim, [attempt_at("a")])

    assert violations(store.history(execution_id)) == []


def test_an_attempt_that_waited_may_be_followed_by_another() -> None:
    store = MemoryStore()
    execution_id = store.create(graph_of("a -> b"))
    claim = store.claim(execution_id)
    assert claim is not None

    store.checkpoint(claim, [attempt_at("a", Waiting(WaitFor.TIME))])
    store.checkpoint(claim, [attempt_at("a", number=2)])

    assert violations(store.history(execution_id)) == []


def test_a_sibling_that_ended_after_a_failure_is_no_violation() -> None:
    graph = graph_of("a -> b", "a -> c")
    rows = [
        Kept("a", "action", 1, AttemptStatus.SUCCESS, {}, None, 1),
        Kept("b", "action", 1, AttemptStatus.FAILED, {}, None, 1),
        Kept("c", "action", 1, AttemptStatus.SUCCESS, {"c": 1}, None, 1),
    ]

    assert violations(History(graph, Status.FAILED, 1, None, {}, {"c": 1}, rows, 0)) == []


# Corruptions, one at a time.

Corrupt = Callable[[History], History]
CORRUPTIONS: dict[str, tuple[Corrupt, str]] = {
    "a dropped row in the middle": (
        lambda it: replace(it, rows=[*it.rows[:2], it.rows[3]]),
        "'tell' attempt 1 before its inputs were settled",
    ),
    "a dropped row at the end": (lambda it: replace(it, rows=it.rows[:3]), "completed, but 'tell' has no result"),
    "a repeated row": (lambda it: replace(it, rows=[*it.rows, it.rows[0]]), "'start' attempt 1 after the node had end"),
    "a second attempt after success": (
        lambda it: replace(it, rows=[*it.rows, replace(it.rows[3], attempt=2)]),
        "'tell' attempt 2 after the node had ended",
    ),
    "swapped rows": (
        lambda it: replace(it, rows=[it.rows[0], it.rows[2], it.rows[1], it.rows[3]]),
        "'refund' attempt 1 before its inputs were settled",
    ),
    "an attempt left out": (lambda it: changed(it, 3, attempt=3), "'tell' attempt 3 where attempt 1 was to come"),
    "a token that goes back": (
        lambda it: changed(it, 3, lease_token=1),
        "'tell' attempt 1 was written under token 1 after one under 2",
    ),
    "a token before the first": (lambda it: changed(it, 0, lease_token=0), "'start' attempt 1 was written under"),
    "a token nobody claimed": (
        lambda it: changed(it, 3, lease_token=7),
        "rows under token 7, which nobody has claimed: the last is 2",
    ),
    "a claim without a return": (
        lambda it: replace(it, lease_token=4),
        "claimed 4 times, but back in the queue only 1 times",
    ),
    "a lease after the end": (lambda it: replace(it, lease_owner="web.1"), "it is completed, and web.1 still holds"),
    "another kind": (lambda it: changed(it, 0, node_type="llm"), "'start' attempt 1 ran as llm, but is of kind action"),
    "an unknown node": (lambda it: changed(it, 3, node_id="sell"), "'sell' attempt 1: there is no such node"),
    "a branch not taken": (
        lambda it: changed(it, 2, node_id="ship"),
        "'ship' attempt 1 on a branch that was not taken",
    ),
    "another branch": (lambda it: changed(it, 1, branch="yes"), "'refund' attempt 1 on a branch that was not taken"),
    "another output": (lambda it: changed(it, 0, output={"start": 2}), "the result is not what its outputs add up to"),
    "another result": (lambda it: replace(it, result={}), "the result is not what its outputs add up to"),
    "no result": (lambda it: replace(it, result=None), "the result is not what its outputs add up to"),
    "another initial context": (
        lambda it: replace(it, initial_context={}),
        "the result is not what its outputs add up",
    ),
    "a failure in a completed run": (
        lambda it: changed(it, 3, status=AttemptStatus.FAILED),
        "completed, but 'tell' failed",
    ),
    "a failed run without a failure": (lambda it: replace(it, status=Status.FAILED), "failed, but no node did"),
    "a row that only waited": (
        lambda it: changed(it, 3, status=AttemptStatus.WAITING),
        "completed, but 'tell' has no result",
    ),
}


@pytest.mark.parametrize(("corrupt", "says"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
def test_a_corruption_is_named(corrupt: Corrupt, says: str) -> None:
    found = violations(corrupt(shop()))

    assert any(says in violation for violation in found), found


# On any history.


@given(CASES, RANDOMS)
def test_a_row_that_is_lost_from_a_completed_run_is_noticed(case: Case, random: Random) -> None:
    history = history_of(case)
    assume(history.status is Status.COMPLETED)
    rows = list(history.rows)

    del rows[random.randrange(len(rows))]

    assert violations(replace(history, rows=rows))


@given(CASES, RANDOMS)
def test_a_row_that_is_there_twice_is_noticed(case: Case, random: Random) -> None:
    history = history_of(case)

    again = random.choice(history.rows)

    assert violations(replace(history, rows=[*history.rows, again]))


@given(CASES, RANDOMS)
def test_a_row_before_one_that_an_edge_puts_first_is_noticed(case: Case, random: Random) -> None:
    history = history_of(case)
    place = {row.node_id: index for index, row in enumerate(history.rows)}
    edges = [edge for edge in case.graph.edges if edge.source in place and edge.target in place]
    assume(edges)
    edge, rows = random.choice(edges), list(history.rows)

    rows.insert(place[edge.source], rows.pop(place[edge.target]))

    assert violations(replace(history, rows=rows))


@given(CASES, RANDOMS)
def test_a_row_of_a_node_that_was_skipped_is_noticed(case: Case, random: Random) -> None:
    history = history_of(case)
    ran = {row.node_id for row in history.rows}
    assume(history.status is Status.COMPLETED and case.graph.nodes.keys() - ran)
    node = case.graph.nodes[random.choice(sorted(case.graph.nodes.keys() - ran))]

    row = Kept(node.id, node.type, 1, AttemptStatus.SUCCESS, {}, None, history.lease_token)

    assert f"{node.id!r} attempt 1 on a branch that was not taken" in violations(
        replace(history, rows=[*history.rows, row])
    )


@given(CASES, RANDOMS)
def test_a_stale_token_is_noticed(case: Case, random: Random) -> None:
    history = history_of(case)
    assume(len(history.rows) > 1)
    cut = random.randrange(1, len(history.rows))
    rows = [replace(row, lease_token=3 if index < cut else 2) for index, row in enumerate(history.rows)]

    found = violations(replace(history, rows=rows, lease_token=3, returns=2))

    assert any("was written under token 2 after one under 3" in violation for violation in found)


def test_a_run_that_failed_is_checked_like_any_other() -> None:
    graph = graph_of("a -> b")
    case = Case(graph, {"x": 1}, {"a": Succeeded({"a": 1}), "b": failed()})

    history = history_of(case)

    assert history.status is Status.FAILED
    assert violations(history) == []
    assert violations(replace(history, rows=history.rows[1:]))
