"""Attempts that are not the last: retries, waits, reviews, what is woken and when. Time is the test's own."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import Any

import pytest

from src.core.classify import NeedsReview, Transient
from src.core.engine import MAX_INTERRUPTIONS, NAP_SECONDS, GraphEngine
from src.core.errors import NotReady
from src.core.node import Visit
from src.core.outcome import Context, ErrorClass, Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.core.policy import RunPolicy
from src.core.retry import LONGEST_SECONDS, RetryPolicy
from src.core.run import ASK_SECONDS
from src.core.slice import Reason, Slice
from src.core.status import Status
from src.core.store import Claim
from src.core.verify import violations
from tests.builders import NOON, graph_of
from tests.fakes import Behaviour, FakeKinds, MemoryStore
from tests.runtime.building import eventually

EXACT = RetryPolicy(max_attempts=3, interval_seconds=2, backoff_rate=2, jitter="none")
TIMEOUT = Failed(NodeError("TimeoutError", "no answer", ErrorClass.TRANSIENT))
DOUBT = Failed(NodeError("NeedsReview", "odd", ErrorClass.PARTIAL), output={"total": 7})


@dataclass
class Clock:
    """Stands still, but for the naps of the engine and for who moves it."""

    now: datetime = NOON
    naps: list[float] = field(default_factory=list)

    def nap(self, seconds: float, is_over: Callable[[], bool]) -> None:
        self.naps.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Bench:
    threads: ThreadPoolExecutor
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)

    def create(self, *lines: str, context: Context | None = None, **policy: Any) -> int:
        graph = graph_of(*lines)
        graph.policy = RunPolicy(**{"retry": EXACT, **policy})
        return self.store.create(graph, context)

    def run(self, execution_id: int, behaviours: Mapping[str, Behaviour], slice_: Slice | None = None) -> Status:
        engine = GraphEngine(
            self.store,
            FakeKinds(behaviours),
            threads=self.threads,
            node_concurrency=4,
            max_output_bytes=10_000,
            now=lambda: self.clock.now,
            nap=self.clock.nap,
            chance=lambda: 0.5,
        )
        engine.run(execution_id, slice_)
        assert violations(self.store.history(execution_id)) == []
        return self.store.status(execution_id)

    def attempts(self, execution_id: int) -> list[tuple[str, int, str]]:
        kept = self.store.attempts(execution_id)
        return [(each.node_id, each.number, type(each.outcome).__name__) for each in kept]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ThreadPoolExecutor(8) as threads:
        yield Bench(threads)


def in_turn(*outcomes: Outcome) -> Behaviour:
    left = list(outcomes)
    return lambda _: left.pop(0)


def raising(*errors: BaseException) -> Behaviour:
    """One after the other; then it succeeds."""
    left = list(errors)

    def behave(_: Visit) -> Outcome:
        if left:
            raise left.pop(0)
        return Succeeded()

    return behave


# Retries.


def test_a_transient_failure_is_tried_again_and_every_attempt_is_a_row(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end")

    status = bench.run(execution_id, {"a": in_turn(TIMEOUT, TIMEOUT, Succeeded({"a": 1}))})

    assert status is Status.COMPLETED
    assert bench.clock.naps == [2, 4]
    tried = [("a", 1, "Waiting"), ("a", 2, "Waiting"), ("a", 3, "Succeeded")]
    assert [attempt for attempt in bench.attempts(execution_id) if attempt[0] == "a"] == tried


class Bare(Transient):
    """As authors write them: without what Transient's own would have set."""

    def __init__(self) -> None:
        pass


class Blank(NeedsReview):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize("said", ["soon", -1, float("nan"), None, [1]])
def test_what_no_number_of_seconds_is_leaves_the_delay_to_the_policy(bench: Bench, said: Any) -> None:
    execution_id = bench.create("start -> a -> end")

    bench.run(execution_id, {"a": raising(Transient("busy", retry_after_seconds=said), Bare())})

    assert bench.store.status(execution_id) is Status.COMPLETED
    assert bench.clock.naps == [2, 4]


@pytest.mark.parametrize("said", [1e300, float("inf"), 10**400])
def test_a_delay_beyond_all_calendars_is_a_year(bench: Bench, said: Any) -> None:
    execution_id = bench.create("start -> a -> end")

    assert bench.run(execution_id, {"a": raising(Transient("busy", retry_after_seconds=said))}) is Status.WAITING

    assert bench.store.verdict(execution_id).wake_at == NOON + timedelta(seconds=LONGEST_SECONDS)


def test_an_exception_that_hands_nothing_over_is_reviewed_all_the_same(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end")

    assert bench.run(execution_id, {"a": raising(Blank())}) is Status.WAITING
    assert bench.store.verdict(execution_id).waiting_for is WaitFor.REVIEW


def test_when_the_attempts_are_used_up_the_node_fails_with_its_last_error(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end")

    assert bench.run(execution_id, {"a": lambda _: TIMEOUT}) is Status.FAILED
    assert bench.store.verdict(execution_id).error == TIMEOUT.error
    assert len(bench.attempts(execution_id)) == 1 + EXACT.max_attempts


def test_a_failed_attempt_is_kept_before_the_next_one_starts(bench: Bench) -> None:
    execution_id = bench.create("a")
    kept: list[int] = []

    def fail(_: Visit) -> Outcome:
        kept.append(len(bench.store.attempts(execution_id)))
        return TIMEOUT

    bench.run(execution_id, {"a": fail})

    assert kept == [0, 1, 2]


def test_for_a_long_delay_the_runner_lets_go(bench: Bench) -> None:
    execution_id = bench.create("a", retry=EXACT.model_copy(update={"interval_seconds": NAP_SECONDS + 1}))
    behaviours = {"a": in_turn(TIMEOUT, Succeeded())}

    assert bench.run(execution_id, behaviours) is Status.WAITING
    verdict = bench.store.verdict(execution_id)
    assert (verdict.waiting_for, verdict.wake_at) == (WaitFor.RETRY, NOON + timedelta(seconds=NAP_SECONDS + 1))

    bench.clock.pass_by(NAP_SECONDS + 1)
    bench.store.wake(execution_id)
    assert bench.run(execution_id, behaviours) is Status.COMPLETED


def test_a_delay_that_does_not_fit_into_the_slice_is_not_slept_through(bench: Bench) -> None:
    execution_id = bench.create("a")

    assert bench.run(execution_id, {"a": lambda _: TIMEOUT}, Slice(seconds=1.5)) is Status.WAITING
    assert bench.clock.naps == []


def test_attempts_are_counted_on_after_a_wake(bench: Bench) -> None:
    execution_id = bench.create("a", retry=EXACT.model_copy(update={"interval_seconds": 60, "backoff_rate": 1}))
    for _ in range(2):
        assert bench.run(execution_id, {"a": lambda _: TIMEOUT}) is Status.WAITING
        bench.clock.pass_by(60)
        bench.store.wake(execution_id)

    assert bench.run(execution_id, {"a": lambda _: TIMEOUT}) is Status.FAILED


def test_who_is_woken_too_early_by_its_own_clock_believes_the_one_that_woke_it(bench: Bench) -> None:
    execution_id = bench.create("a")
    behaviours = {"a": in_turn(Waiting(WaitFor.TIME, NOON + timedelta(hours=1)), Succeeded())}
    bench.run(execution_id, behaviours)

    bench.store.wake(execution_id, woken_for=NOON + timedelta(hours=1))

    assert bench.run(execution_id, behaviours) is Status.COMPLETED


def test_the_others_go_on_while_one_waits_for_its_next_attempt(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end", "start -> b -> c -> end")

    status = bench.run(execution_id, {"a": in_turn(TIMEOUT, Succeeded())})

    assert status is Status.COMPLETED
    ended = [node_id for node_id, _, outcome in bench.attempts(execution_id) if outcome == "Succeeded"]
    assert ended.index("c") < ended.index("a")


# Waits and reviews.


def test_a_node_that_has_waited_is_told_what_for(bench: Bench) -> None:
    execution_id = bench.create("a")
    wait = Waiting(WaitFor.TIME, NOON + timedelta(hours=1), {"why": "tomorrow"})
    told: list[Waiting | None] = []

    def ask(visit: Visit) -> Outcome:
        told.append(visit.waited)
        return Succeeded() if visit.waited else wait

    bench.run(execution_id, {"a": ask})
    bench.clock.pass_by(3600)
    bench.store.wake(execution_id)
    bench.run(execution_id, {"a": ask})

    assert told == [None, wait]


def test_who_is_not_due_does_not_run_again_when_another_is(bench: Bench) -> None:
    execution_id = bench.create("start -> soon -> end", "start -> late -> end")
    runs: list[str] = []

    def until(hours: int) -> Behaviour:
        def run(visit: Visit) -> Outcome:
            runs.append(visit.node_id)
            return Succeeded() if visit.waited else Waiting(WaitFor.TIME, NOON + timedelta(hours=hours))

        return run

    behaviours = {"soon": until(1), "late": until(9)}
    bench.run(execution_id, behaviours)
    bench.clock.pass_by(3600)
    bench.store.wake(execution_id)

    assert bench.run(execution_id, behaviours) is Status.WAITING
    assert sorted(runs) == ["late", "soon", "soon"]


def test_a_run_waits_for_a_person_rather_than_for_time(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end", "start -> b -> end")

    bench.run(
        execution_id,
        {"a": lambda _: Waiting(WaitFor.REVIEW), "b": lambda _: Waiting(WaitFor.TIME, NOON + timedelta(hours=1))},
    )

    verdict = bench.store.verdict(execution_id)
    assert (verdict.waiting_for, verdict.wake_at) == (WaitFor.REVIEW, NOON + timedelta(hours=1))


@pytest.mark.parametrize(
    ("answer", "status", "result"),
    [
        ({"decision": "approve"}, Status.COMPLETED, {"total": 7, "b": 1}),
        ({"decision": "approve", "output": {"total": 8}}, Status.COMPLETED, {"total": 8, "b": 1}),
        ({"decision": "reject", "comment": "no"}, Status.FAILED, {}),
        ({"decision": "retry"}, Status.COMPLETED, {"total": 9, "b": 1}),
    ],
)
def test_a_partial_failure_is_what_the_reviewer_makes_of_it(
    bench: Bench, answer: Context, status: Status, result: Context
) -> None:
    execution_id = bench.create("a -> b")
    behaviours = {"a": in_turn(DOUBT, Succeeded({"total": 9}))}
    assert bench.run(execution_id, behaviours) is Status.WAITING

    bench.store.answer(execution_id, "a", answer)

    assert bench.run(execution_id, behaviours) is status
    assert bench.store.verdict(execution_id).result == result


def asks(due: timedelta) -> Behaviour:
    """A node that waits for a person, and does without after a while."""

    def ask(visit: Visit) -> Outcome:
        if visit.answer is not None:
            return Succeeded({visit.node_id: "answered"})
        if visit.waited is not None:
            return Succeeded({visit.node_id: "timed out"})
        return Waiting(WaitFor.REVIEW, NOON + due)

    return ask


@pytest.mark.parametrize("reason", [WaitFor.REVIEW, WaitFor.CHILD])
def test_who_waits_for_somebody_else_waits_as_a_row_however_soon_the_time_is_over(
    bench: Bench, reason: WaitFor
) -> None:
    execution_id = bench.create("start -> a -> end")

    status = bench.run(execution_id, {"a": lambda _: Waiting(reason, NOON + timedelta(seconds=1))})

    assert (status, bench.clock.naps) == (Status.WAITING, [])


def test_an_answer_that_came_while_another_node_ran_counts_when_the_time_is_over(bench: Bench) -> None:
    execution_id = bench.create("start -> ask -> end", "start -> late -> end", "start -> work -> more -> end")

    def work(_: Visit) -> Outcome:
        eventually(lambda: "ask" in {each.node_id for each in bench.store.attempts(execution_id)}, what="the wait")
        bench.store.answer(execution_id, "ask", {"decision": "approve"})
        bench.clock.pass_by(60)
        return Succeeded()

    behaviours = {"ask": asks(timedelta(seconds=30)), "late": asks(timedelta(seconds=30)), "work": work}

    assert bench.run(execution_id, behaviours) is Status.COMPLETED

    result = bench.store.verdict(execution_id).result
    assert (result["ask"], result["late"]) == ("answered", "timed out")


def test_an_answer_is_heard_while_another_node_runs(bench: Bench) -> None:
    execution_id = bench.create("start -> ask -> next -> end", "start -> first -> work -> end")
    went_on = Event()

    def work(_: Visit) -> Outcome:
        eventually(lambda: "ask" in {each.node_id for each in bench.store.attempts(execution_id)}, what="the wait")
        bench.store.answer(execution_id, "ask", {"decision": "approve"})
        bench.clock.pass_by(ASK_SECONDS)
        return Succeeded({"was_first": not went_on.wait(20)})

    def go_on(_: Visit) -> Outcome:
        went_on.set()
        return Succeeded()

    assert bench.run(execution_id, {"ask": asks(timedelta(days=1)), "work": work, "next": go_on}) is Status.COMPLETED
    assert bench.store.verdict(execution_id).result["was_first"] is False


class AwayStore(MemoryStore):
    """Its database does not answer who asks for answers."""

    is_away = True
    asked = 0

    def answers(self, claim: Claim) -> dict[str, Json]:
        self.asked += 1
        if self.is_away:
            raise NotReady("nobody is there")
        return super().answers(claim)


def test_a_database_that_is_away_when_it_is_asked_for_answers_costs_nothing(bench: Bench) -> None:
    """What is under way goes on, and nothing is too late before it is known that nobody has answered in time."""
    store = bench.store = AwayStore()
    execution_id = bench.create("start -> ask -> end", "start -> first -> work -> end")
    worked: list[str] = []

    def work(visit: Visit) -> Outcome:
        worked.append(visit.node_id)
        eventually(lambda: "ask" in {each.node_id for each in store.attempts(execution_id)}, what="the wait")
        store.answer(execution_id, "ask", {"decision": "approve"})
        bench.clock.pass_by(3600)
        eventually(lambda: store.asked > 0, what="the first question")
        bench.clock.pass_by(3600)
        eventually(lambda: store.asked > 1, what="the second question")
        store.is_away = False
        bench.clock.pass_by(3600)
        eventually(lambda: store.asked > 2, what="the answer")
        return Succeeded()

    assert bench.run(execution_id, {"ask": asks(timedelta(minutes=1)), "work": work}) is Status.COMPLETED
    assert worked == ["work"]
    assert store.verdict(execution_id).result["ask"] == "answered"


def test_what_is_due_does_not_wait_for_a_node_that_is_under_way(bench: Bench) -> None:
    execution_id = bench.create("start -> rest -> next -> end", "start -> first -> work -> end")
    went_on = Event()

    def rest(visit: Visit) -> Outcome:
        return Succeeded() if visit.waited else Waiting(WaitFor.TIME, NOON + timedelta(seconds=0.01))

    def work(_: Visit) -> Outcome:
        bench.clock.pass_by(60)
        return Succeeded({"was_first": not went_on.wait(20)})

    def go_on(_: Visit) -> Outcome:
        went_on.set()
        return Succeeded()

    assert bench.run(execution_id, {"rest": rest, "work": work, "next": go_on}) is Status.COMPLETED
    assert bench.store.verdict(execution_id).result["was_first"] is False


def test_the_answer_of_another_node_leaves_the_one_that_waits_alone(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end", "start -> b -> end")
    behaviours: dict[str, Behaviour] = {"a": lambda _: DOUBT, "b": lambda _: DOUBT}
    bench.run(execution_id, behaviours)

    bench.store.answer(execution_id, "b", {"decision": "approve"})

    assert bench.run(execution_id, behaviours) is Status.WAITING
    assert ("b", 2, "Succeeded") in bench.attempts(execution_id)
    assert ("a", 2, "Waiting") not in bench.attempts(execution_id)


# Errors that are expected, runs that take too long, runs that are held.


def test_a_failure_goes_along_its_error_edge_with_the_error_in_the_context(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> b -> end", "a -error-> mend -> end")
    seen: list[Context] = []

    def mend(visit: Visit) -> Outcome:
        seen.append(dict(visit.context))
        return Succeeded({"mended": True})

    status = bench.run(execution_id, {"a": lambda _: Failed(NodeError("KeyError", "'x'")), "mend": mend})

    assert status is Status.COMPLETED
    assert seen[0]["error"] == {"node_id": "a", "type": "KeyError", "message": "'x'", "class": "permanent"}
    assert "b" not in bench.store.verdict(execution_id).result


def test_what_ends_well_does_not_go_along_its_error_edge(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> b -> end", "a -error-> mend -> end")

    assert bench.run(execution_id, {}) is Status.COMPLETED
    assert "mend" not in bench.store.verdict(execution_id).result


def test_a_run_that_has_taken_too_long_goes_no_further(bench: Bench) -> None:
    execution_id = bench.create("a -> b", timeout=10)

    def slow(_: Visit) -> Outcome:
        bench.clock.pass_by(11)
        return Succeeded()

    assert bench.run(execution_id, {"a": slow}) is Status.FAILED
    verdict = bench.store.verdict(execution_id)
    assert verdict.error is not None
    assert (verdict.node_id, verdict.error.type) == ("b", "RunTimeout")


def test_what_a_run_was_too_slow_for_does_not_run_either_along_an_error_edge(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> b -> end", "b -error-> mend -> end", timeout=10)

    def slow(_: Visit) -> Outcome:
        bench.clock.pass_by(11)
        return Succeeded()

    assert bench.run(execution_id, {"a": slow, "b": never, "mend": never}) is Status.FAILED
    verdict = bench.store.verdict(execution_id)
    assert verdict.error is not None
    assert (verdict.node_id, verdict.error.type) == ("mend", "RunTimeout")


# Nodes that take their runners along.


def never(visit: Visit) -> Outcome:
    raise AssertionError(f"{visit.node_id} has run")


def kill(bench: Bench, execution_id: int) -> None:
    """One runner after another, at the same place."""
    for _ in range(MAX_INTERRUPTIONS):
        claim = bench.store.claim(execution_id)
        assert claim
        bench.store.forget(claim)
        bench.store.expire_lease(execution_id)
        bench.store.recover()


def test_a_node_that_takes_its_runners_along_fails_and_may_be_mended(bench: Bench) -> None:
    execution_id = bench.create("a -> end", "a -error-> mend -> end")
    kill(bench, execution_id)

    status = bench.run(execution_id, {"a": never, "mend": lambda visit: Succeeded({"why": visit.context["error"]})})

    assert status is Status.COMPLETED
    assert bench.store.verdict(execution_id).result["why"]["type"] == "CrashLoop"


def test_so_does_one_that_had_waited_before(bench: Bench) -> None:
    execution_id = bench.create("start -> a -> end", retry=RetryPolicy(interval_seconds=3600, jitter="none"))
    assert bench.run(execution_id, {"a": in_turn(TIMEOUT)}) is Status.WAITING
    bench.store.wake(execution_id, woken_for=NOON + timedelta(hours=1))
    kill(bench, execution_id)

    assert bench.run(execution_id, {"a": never}) is Status.FAILED
    error = bench.store.verdict(execution_id).error
    assert error is not None
    assert (error.type, bench.store.held) == ("CrashLoop", [])


def test_a_run_that_is_asked_to_pause_does_so_at_the_next_boundary(bench: Bench) -> None:
    execution_id = bench.create("a -> b -> c")

    def ask(_: Visit) -> Outcome:
        bench.store.ask_to_pause(execution_id)
        return Succeeded()

    assert bench.run(execution_id, {"b": ask}) is Status.PAUSED
    assert [node_id for node_id, *_ in bench.attempts(execution_id)] == ["a", "b"]
    assert [hand_off.reason for hand_off in bench.store.hand_offs(execution_id)] == [Reason.PAUSE]
