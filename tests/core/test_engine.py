import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from src.core.engine import GraphEngine, NodeChange
from src.core.errors import LeaseLost
from src.core.node import Visit
from src.core.outcome import Failed, Outcome, Succeeded, WaitFor, Waiting
from src.core.slice import HandOff, Reason
from src.core.status import Status
from src.core.store import Store
from src.core.verify import violations
from tests.builders import NOON, attempt_at, failed, graph_of
from tests.fakes import Behaviour, FakeKinds, MemoryStore

PATIENCE_SECONDS = 5.0
"""How long a test waits for what should come at once. Only a failing test waits that long."""
FAN = ("start -> a -> end", "start -> b -> end", "start -> c -> end", "start -> d -> end")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(16)
    yield pool
    pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Engines:
    """Builds engines on one pool of threads."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def __call__(
        self,
        store: Store,
        behaviours: Mapping[str, Behaviour] | None = None,
        *,
        node_concurrency: int = 8,
        max_output_bytes: int = 1_000_000,
        changes: list[NodeChange] | None = None,
    ) -> GraphEngine:
        return GraphEngine(
            store,
            FakeKinds(behaviours),
            threads=self._threads,
            node_concurrency=node_concurrency,
            max_output_bytes=max_output_bytes,
            watch=(changes if changes is not None else []).append,
        )


@pytest.fixture
def engine_of(threads: ThreadPoolExecutor) -> Engines:
    return Engines(threads)


def answers(output: Any, branch: str | None = None) -> Behaviour:
    return lambda visit: Succeeded(output, branch)


def raises(error: BaseException) -> Behaviour:
    def run(visit: Visit) -> Outcome:
        raise error

    return run


def run_within_patience(engine: GraphEngine, execution_id: int) -> None:
    """`engine.run`, but a hang, or an error that even pytest cannot print, is a failure of this test alone."""
    ended: SimpleQueue[str | None] = SimpleQueue()

    def run() -> None:
        try:
            engine.run(execution_id)
        except BaseException as error:  # noqa: BLE001 -- told to the thread that waits
            ended.put(type(error).__name__)
        else:
            ended.put(None)

    threading.Thread(target=run, daemon=True).start()
    try:
        raised = ended.get(timeout=PATIENCE_SECONDS)
    except Empty:
        raise AssertionError("the run hangs") from None
    assert raised is None, f"the run raised {raised}"


# A run.


def test_a_run_ends_with_the_context_its_nodes_made(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a -> b -> c"), {"x": 0})

    engine_of(store, {"b": answers({"x": 1})}).run(execution_id)

    assert store.status(execution_id) is Status.COMPLETED
    assert store.verdict(execution_id).result == {"x": 1, "a": 1, "c": 1}
    assert violations(store.history(execution_id)) == []


def test_a_node_is_told_where_it_runs(store: MemoryStore, engine_of: Engines) -> None:
    visits: list[Visit] = []

    def ask(visit: Visit) -> Outcome:
        assert not visit.cancelled.is_set()
        visits.append(visit)
        return Succeeded(branch="yes")

    execution_id = store.create(graph_of("a -> ask -yes-> b", "ask -> c"), {"x": 0})

    engine_of(store, {"ask": ask}).run(execution_id)

    [visit] = visits
    assert (visit.execution_id, visit.node_id, visit.attempt) == (execution_id, "ask", 1)
    assert visit.context == {"x": 0, "a": 1}
    assert visit.branches == {"yes", None}
    assert store.status(execution_id) is Status.COMPLETED


def test_the_idempotency_key_of_a_node_is_the_same_at_every_attempt_and_nowhere_else(
    store: MemoryStore, engine_of: Engines
) -> None:
    keys: list[str] = []

    def note(visit: Visit) -> Outcome:
        keys.append(visit.idempotency_key)
        return Succeeded()

    first, other = store.create(graph_of("a -> b")), store.create(graph_of("a -> b"))
    behaviours = {"a": note, "b": note}

    abandoned = engine_of(store, behaviours).begin(first)
    assert abandoned is not None
    lose_the_lease(store, first)
    with pytest.raises(LeaseLost):
        engine_of(store, behaviours).advance(abandoned)
    engine_of(store, behaviours).run(first)
    engine_of(store, behaviours).run(other)

    assert keys[0] == keys[1]
    assert len(set(keys[1:])) == len(keys[1:]) == 4


def lose_the_lease(store: MemoryStore, execution_id: int) -> None:
    store.expire_lease(execution_id)
    store.recover()


def test_a_branch_that_was_not_taken_leaves_no_row(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("ask -yes-> a -> end", "ask -no-> b -> end"))

    engine_of(store, {"ask": answers({}, "no")}).run(execution_id)

    assert [attempt.node_id for attempt in store.attempts(execution_id)] == ["ask", "b", "end"]


def test_a_watcher_hears_of_every_node_as_it_starts_and_as_it_ends(store: MemoryStore, engine_of: Engines) -> None:
    changes: list[NodeChange] = []
    execution_id = store.create(graph_of("a -> b", effect_free="a"))

    engine_of(store, changes=changes).run(execution_id)

    assert [(change.node_id, change.attempt is not None) for change in changes] == [
        ("a", False),
        ("a", True),
        ("b", False),
        ("b", True),
    ]


# Commits.


def test_a_run_costs_one_commit_for_each_node_with_effects(store: MemoryStore, engine_of: Engines) -> None:
    graph = graph_of("start -> a -> t -> b -> u -> v -> c -> end", effect_free="start t u v end")
    execution_id = store.create(graph)

    engine_of(store).run(execution_id)

    assert [(commit.what, commit.node_ids) for commit in store.commits(execution_id)] == [
        ("checkpoint", ("start", "a", "t")),
        ("checkpoint", ("b", "u", "v")),
        ("settle", ("c", "end")),
    ]


def test_the_end_of_a_run_rides_in_the_commit_of_its_last_node(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a"))

    engine_of(store).run(execution_id)

    assert [(commit.what, commit.node_ids) for commit in store.commits(execution_id)] == [("settle", ("a",))]


def test_a_run_without_effects_is_one_commit(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a -> b -> c", effect_free="a b c"))

    engine_of(store).run(execution_id)

    assert [(commit.what, commit.node_ids) for commit in store.commits(execution_id)] == [("settle", ("a", "b", "c"))]


def test_a_node_is_kept_before_the_next_one_starts(store: MemoryStore, engine_of: Engines) -> None:
    kept: list[list[str]] = []
    execution_id = store.create(graph_of("a -> b"))

    def look(visit: Visit) -> Outcome:
        kept.append([attempt.node_id for attempt in store.attempts(execution_id)])
        return Succeeded()

    engine_of(store, {"b": look}).run(execution_id)

    assert kept == [["a"]]


def test_an_effect_free_failure_ends_the_run_in_one_commit(store: MemoryStore, engine_of: Engines) -> None:
    graph = graph_of("start -> broken -> a", "start -> other", effect_free="start broken other", defined="start broken")
    execution_id = store.create(graph)

    engine_of(store, {"broken": raises(ValueError("no"))}).run(execution_id)

    assert store.status(execution_id) is Status.FAILED
    assert [(commit.what, commit.node_ids) for commit in store.commits(execution_id)] == [
        ("settle", ("start", "broken"))
    ]


# Side by side.


def test_nodes_that_are_ready_together_run_side_by_side(store: MemoryStore, engine_of: Engines) -> None:
    meeting = threading.Barrier(4)

    def meet(visit: Visit) -> Outcome:
        meeting.wait(PATIENCE_SECONDS)
        return Succeeded()

    execution_id = store.create(graph_of(*FAN))

    engine_of(store, dict.fromkeys("abcd", meet), node_concurrency=4).run(execution_id)

    assert store.status(execution_id) is Status.COMPLETED
    assert violations(store.history(execution_id)) == []


@pytest.mark.parametrize("node_concurrency", [1, 2, 3])
def test_never_more_nodes_run_than_may(store: MemoryStore, engine_of: Engines, node_concurrency: int) -> None:
    """Each node stays until as many as may run are there, so one too many would be seen."""
    crowd = Crowd(node_concurrency, of=8)
    graph = graph_of(*(f"start -> n{place} -> end" for place in range(8)), effect_free="start end")
    execution_id = store.create(graph)

    engine_of(store, {f"n{place}": crowd.join for place in range(8)}, node_concurrency=node_concurrency).run(
        execution_id
    )

    assert store.status(execution_id) is Status.COMPLETED
    assert crowd.most == node_concurrency


class Crowd:
    """Counts who is there at once. Whoever comes stays until `full` are there, or nobody more can come."""

    def __init__(self, full: int, *, of: int) -> None:
        self.most = 0
        self._full = full
        self._to_come = of
        self._here = 0
        self._changed = threading.Condition()

    def join(self, visit: Visit) -> Outcome:
        with self._changed:
            self._here += 1
            self._to_come -= 1
            self.most = max(self.most, self._here)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.most >= self._full or not self._to_come, PATIENCE_SECONDS)
            self._here -= 1
        return Succeeded()


def test_a_slow_node_does_not_hold_up_what_does_not_need_it(store: MemoryStore, engine_of: Engines) -> None:
    quick_is_through = threading.Event()

    def slow(visit: Visit) -> Outcome:
        assert quick_is_through.wait(PATIENCE_SECONDS)
        return Succeeded()

    def last(visit: Visit) -> Outcome:
        quick_is_through.set()
        return Succeeded()

    execution_id = store.create(graph_of("start -> slow -> end", "start -> quick -> last -> end"))

    engine_of(store, {"slow": slow, "last": last}).run(execution_id)

    assert store.status(execution_id) is Status.COMPLETED
    assert [attempt.node_id for attempt in store.attempts(execution_id)] == ["start", "quick", "last", "slow", "end"]


def test_effect_free_nodes_ride_along_while_another_node_is_in_flight(store: MemoryStore, engine_of: Engines) -> None:
    passed = threading.Event()

    def slow(visit: Visit) -> Outcome:
        assert passed.wait(PATIENCE_SECONDS)
        return Succeeded()

    def ride(visit: Visit) -> Outcome:
        passed.set()
        return Succeeded()

    graph = graph_of("start -> slow -> end", "start -> quick -> ride -> end", effect_free="start ride end")
    execution_id = store.create(graph)

    engine_of(store, {"slow": slow, "ride": ride}).run(execution_id)

    assert [(commit.what, commit.node_ids) for commit in store.commits(execution_id)] == [
        ("checkpoint", ("start", "quick", "ride")),
        ("settle", ("slow", "end")),
    ]


def test_one_output_of_two_parallel_nodes_wins_by_definition_and_not_by_speed(
    store: MemoryStore, engine_of: Engines
) -> None:
    b_is_done = threading.Event()

    def wait_for_b(visit: Visit) -> Outcome:
        assert b_is_done.wait(PATIENCE_SECONDS)
        return Succeeded({"by": "a"})

    def b(visit: Visit) -> Outcome:
        b_is_done.set()
        return Succeeded({"by": "b"})

    execution_id = store.create(graph_of("start -> a", "start -> b"))

    engine_of(store, {"a": wait_for_b, "b": b}).run(execution_id)

    assert store.verdict(execution_id).result["by"] == "b"


# Waiting.


def test_a_run_in_which_a_node_waits_does_what_it_can_and_waits(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("start -> review -> end", "start -> a -> b -> end"))

    engine_of(store, {"review": lambda visit: Waiting(WaitFor.TIME)}).run(execution_id)

    assert store.status(execution_id) is Status.WAITING
    assert {attempt.node_id for attempt in store.attempts(execution_id)} == {"start", "review", "a", "b"}
    assert violations(store.history(execution_id)) == []


# Failures.


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Inscrutable(Exception):
    @property
    def __cause__(self) -> BaseException | None:  # type: ignore[override]
        raise RuntimeError("no reason")


ERRORS = {
    "an exception": (ValueError("no"), "ValueError"),
    "SystemExit": (SystemExit(3), "SystemExit"),
    "an exception without words": (Unspeakable(), "Unspeakable"),
    "an exception that hides its cause": (Inscrutable(), "Inscrutable"),
    "an exception in a group": (ExceptionGroup("many", [ValueError("one")]), "ExceptionGroup"),
    "a recursion": (RecursionError("too deep"), "RecursionError"),
    "a cancelled coroutine": (asyncio.CancelledError(), "CancelledError"),
    "a generator's end": (GeneratorExit(), "GeneratorExit"),
}


@pytest.mark.parametrize(("error", "name"), ERRORS.values(), ids=ERRORS.keys())
def test_what_a_node_raises_fails_it_when_it_runs_alone(
    store: MemoryStore, engine_of: Engines, error: BaseException, name: str
) -> None:
    execution_id = store.create(graph_of("a -> b"))

    run_within_patience(engine_of(store, {"a": raises(error)}), execution_id)

    verdict = store.verdict(execution_id)
    assert (verdict.status, verdict.node_id) == (Status.FAILED, "a")
    assert verdict.error is not None
    assert verdict.error.type == name


@pytest.mark.parametrize(("error", "name"), ERRORS.values(), ids=ERRORS.keys())
def test_what_a_node_raises_fails_it_when_it_runs_beside_others(
    store: MemoryStore, engine_of: Engines, error: BaseException, name: str
) -> None:
    execution_id = store.create(graph_of(*FAN))

    run_within_patience(engine_of(store, {"b": raises(error)}), execution_id)

    verdict = store.verdict(execution_id)
    assert (verdict.status, verdict.node_id) == (Status.FAILED, "b")
    assert verdict.error is not None
    assert verdict.error.type == name


def test_a_traceback_shows_the_code_of_the_node_and_none_of_ours(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a"))

    engine_of(store, {"a": raises(ValueError("out of paper"))}).run(execution_id)

    error = store.verdict(execution_id).error
    assert error is not None
    assert error.message == "out of paper"
    assert "test_engine.py" in error.traceback
    assert error.traceback.rstrip().endswith("ValueError: out of paper")
    assert 'engine.py", line' not in error.traceback.replace("test_engine.py", "")


def test_nothing_starts_after_a_failure(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of(*FAN))

    engine_of(store, {"a": lambda visit: failed("no")}, node_concurrency=1).run(execution_id)

    assert [attempt.node_id for attempt in store.attempts(execution_id)] == ["start", "a"]
    assert store.status(execution_id) is Status.FAILED


def test_a_node_in_flight_when_another_fails_is_still_kept(store: MemoryStore, engine_of: Engines) -> None:
    """The failure is committed before the other node ends: only then is the other let go."""
    is_failure_kept = threading.Event()

    class Telling(MemoryStore):
        def checkpoint(self, claim: Any, attempts: Any) -> bool:
            is_asked = super().checkpoint(claim, attempts)
            if any(isinstance(attempt.outcome, Failed) for attempt in attempts):
                is_failure_kept.set()
            return is_asked

    def slow(visit: Visit) -> Outcome:
        assert is_failure_kept.wait(PATIENCE_SECONDS)
        return Succeeded({"slow": True})

    telling = Telling()
    execution_id = telling.create(graph_of("start -> bad -> end", "start -> slow -> end"))

    run_within_patience(engine_of(telling, {"bad": raises(ValueError("no")), "slow": slow}), execution_id)

    assert [attempt.node_id for attempt in telling.attempts(execution_id)] == ["start", "bad", "slow"]
    assert telling.verdict(execution_id).result == {"start": 1, "slow": True}
    assert violations(telling.history(execution_id)) == []


def test_a_run_that_crashed_after_a_failure_was_kept_fails_and_runs_nothing(
    store: MemoryStore, engine_of: Engines
) -> None:
    execution_id = store.create(graph_of("start -> bad", "start -> other"))
    claim = store.claim(execution_id)
    assert claim is not None
    store.checkpoint(claim, [attempt_at("start"), attempt_at("bad", failed("no"))])
    lose_the_lease(store, execution_id)

    engine_of(store).run(execution_id)

    assert store.status(execution_id) is Status.FAILED
    assert [attempt.node_id for attempt in store.attempts(execution_id)] == ["start", "bad"]


# What cannot be kept.


@pytest.mark.parametrize(
    ("output", "pointer"),
    [
        ({"when": object()}, "/when"),
        ({"total": float("nan")}, "/total"),
        ({"rows": [1, {"x/y": b"z"}]}, "/rows/1/x~1y"),
        ({"text": "a\x00b"}, "/text"),
        ({3: "three"}, "/3"),
        ({10**5000: "many"}, ""),
        (["no object"], "expected an object"),
    ],
    ids=["object", "nan", "bytes", "nul", "key", "hostile key", "list"],
)
def test_an_output_that_is_not_json_fails_the_node_and_names_the_key(
    store: MemoryStore, engine_of: Engines, output: Any, pointer: str
) -> None:
    execution_id = store.create(graph_of("a -> b"))

    engine_of(store, {"a": answers(output)}).run(execution_id)

    error = store.verdict(execution_id).error
    assert error is not None
    assert error.type == "ValueRefused"
    assert pointer in error.message
    assert store.verdict(execution_id).result == {}


def test_an_output_that_is_too_large_fails_the_node(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a"))

    engine_of(store, {"a": answers({"text": "x" * 2000})}, max_output_bytes=1000).run(execution_id)

    error = store.verdict(execution_id).error
    assert error is not None
    assert "1,000 bytes" in error.message


@pytest.mark.parametrize("branch", ["\x00", "\ud800"], ids=["nul", "surrogate"])
def test_a_branch_that_cannot_be_kept_fails_the_node(store: MemoryStore, engine_of: Engines, branch: str) -> None:
    execution_id = store.create(graph_of("ask -yes-> a", "ask -> b"))

    engine_of(store, {"ask": answers({}, branch)}).run(execution_id)

    assert store.status(execution_id) is Status.FAILED


def test_a_node_sees_what_the_store_would_give_back(store: MemoryStore, engine_of: Engines) -> None:
    seen: list[object] = []

    def look(visit: Visit) -> Outcome:
        seen.append(visit.context["pair"])
        return Succeeded()

    execution_id = store.create(graph_of("a -> b"))

    engine_of(store, {"a": answers({"pair": (1, 2)}), "b": look}).run(execution_id)

    assert seen == [[1, 2]]


def test_a_node_cannot_change_what_it_has_handed_over(store: MemoryStore, engine_of: Engines) -> None:
    mine = {"list": [1]}

    def change(visit: Visit) -> Outcome:
        mine["list"].append(2)
        return Succeeded()

    execution_id = store.create(graph_of("a -> b"))

    engine_of(store, {"a": answers(mine), "b": change}).run(execution_id)

    assert store.verdict(execution_id).result["list"] == [1]


# Claims.


def test_an_execution_that_is_over_is_left_alone(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a"))
    engine_of(store).run(execution_id)
    events = list(store.events)

    engine_of(store, {"a": raises(AssertionError("ran again"))}).run(execution_id)

    assert store.events == events


def test_an_execution_of_another_runner_is_left_alone(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a"))
    store.claim(execution_id)
    events = list(store.events)

    engine_of(store.seen_by("other"), {"a": raises(AssertionError("ran"))}).run(execution_id)

    assert store.events == events


def test_there_is_nothing_to_do_for_an_execution_that_does_not_exist(store: MemoryStore, engine_of: Engines) -> None:
    engine_of(store).run(42)

    assert store.events == []


def test_a_lost_lease_stops_the_run_and_tells_its_nodes(store: MemoryStore, engine_of: Engines) -> None:
    visits: list[Visit] = []
    execution_id = store.create(graph_of("a -> b"))

    def lose(visit: Visit) -> Outcome:
        visits.append(visit)
        lose_the_lease(store, execution_id)
        return Succeeded()

    engine_of(store, {"a": lose, "b": raises(AssertionError("ran without a lease"))}).run(execution_id)

    assert visits[0].cancelled.is_set()
    assert store.attempts(execution_id) == []
    assert store.status(execution_id) is Status.QUEUED


def test_a_lost_lease_at_the_very_end_writes_nothing(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a"))

    def lose(visit: Visit) -> Outcome:
        lose_the_lease(store, execution_id)
        assert store.seen_by("other").claim(execution_id)
        return Succeeded()

    engine_of(store, {"a": lose}).run(execution_id)

    assert store.status(execution_id) is Status.RUNNING
    assert store.attempts(execution_id) == []


def test_a_lost_lease_is_told_to_nodes_that_are_in_flight(store: MemoryStore, engine_of: Engines) -> None:
    was_cancelled = threading.Event()
    execution_id = store.create(graph_of("start -> slow", "start -> quick", effect_free="start"))

    def slow(visit: Visit) -> Outcome:
        if visit.cancelled.wait(PATIENCE_SECONDS):
            was_cancelled.set()
        return Succeeded()

    def quick(visit: Visit) -> Outcome:
        lose_the_lease(store, execution_id)
        return Succeeded()

    run_within_patience(engine_of(store, {"slow": slow, "quick": quick}), execution_id)

    assert was_cancelled.wait(PATIENCE_SECONDS)
    assert store.attempts(execution_id) == []


def test_every_claim_is_forgotten_when_its_run_is_over(store: MemoryStore, engine_of: Engines) -> None:
    good, bad, lost = (store.create(graph_of("a")) for _ in range(3))

    def lose(visit: Visit) -> Outcome:
        lose_the_lease(store, lost)
        return Succeeded()

    engine_of(store).run(good)
    engine_of(store, {"a": raises(ValueError("no"))}).run(bad)
    engine_of(store, {"a": lose}).run(lost)

    assert store.held == []


def test_a_claim_whose_history_does_not_fit_is_forgotten(store: MemoryStore, engine_of: Engines) -> None:
    """A lease that nobody needs would be renewed for ever, and the execution never recovered."""
    execution_id = store.create(graph_of("a -> b"))
    claim = store.claim(execution_id)
    assert claim is not None
    store.checkpoint(claim, [attempt_at("b")])
    store.release(claim, HandOff(Reason.SLICE))
    store.forget(claim)

    with pytest.raises(ValueError, match="'b'"):
        engine_of(store).run(execution_id)

    assert store.held == []


def test_a_claim_is_forgotten_when_the_store_breaks_down(engine_of: Engines) -> None:
    class Broken(MemoryStore):
        def settle(self, claim: Any, verdict: Any, attempts: Any) -> None:
            raise ConnectionError("the database is away")

    store = Broken()
    execution_id = store.create(graph_of("a"))

    with pytest.raises(ConnectionError):
        engine_of(store).run(execution_id)

    assert store.held == []


# After a crash.


def test_a_run_goes_on_after_the_last_checkpoint_of_the_one_before(store: MemoryStore, engine_of: Engines) -> None:
    ran: list[str] = []

    def note(visit: Visit) -> Outcome:
        ran.append(visit.node_id)
        return Succeeded({visit.node_id: len(visit.context)})

    execution_id = store.create(graph_of("a -> b -> c"), {"x": 0})
    engine = engine_of(store, dict.fromkeys("abc", note))
    run = engine.begin(execution_id)
    assert run is not None
    engine.advance(run)
    lose_the_lease(store, execution_id)

    engine_of(store.seen_by("other"), dict.fromkeys("abc", note)).run(execution_id)

    assert ran == ["a", "b", "c"]
    assert store.verdict(execution_id).result == {"x": 0, "a": 1, "b": 2, "c": 3}
    assert violations(store.history(execution_id)) == []


def test_an_attempt_that_left_no_row_is_not_counted(store: MemoryStore, engine_of: Engines) -> None:
    numbers: list[int] = []

    def note(visit: Visit) -> Outcome:
        numbers.append(visit.attempt)
        return Succeeded()

    execution_id = store.create(graph_of("a"))
    run = engine_of(store, {"a": note}).begin(execution_id)
    lose_the_lease(store, execution_id)
    assert run is not None
    with pytest.raises(LeaseLost):
        engine_of(store, {"a": note}).advance(run)

    engine_of(store, {"a": note}).run(execution_id)

    assert numbers == [1, 1]


def test_attempts_are_numbered_on_from_those_that_left_a_row(store: MemoryStore, engine_of: Engines) -> None:
    numbers: list[int] = []

    def note(visit: Visit) -> Outcome:
        numbers.append(visit.attempt)
        return Succeeded()

    execution_id = store.create(graph_of("a"))
    claim = store.claim(execution_id)
    assert claim is not None
    store.checkpoint(claim, [attempt_at("a", Waiting(WaitFor.TIME, until=NOON))])
    store.release(claim, HandOff(Reason.SLICE))

    engine_of(store, {"a": note}).run(execution_id)

    assert numbers == [2]
    assert [attempt.number for attempt in store.attempts(execution_id)] == [1, 2]


# One turn at a time.


def test_a_turn_is_one_commit(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("start -> a -> b -> end", effect_free="start end"))
    engine = engine_of(store)
    run = engine.begin(execution_id)
    assert run is not None
    assert store.commits(execution_id) == []

    assert engine.advance(run)
    assert len(store.commits(execution_id)) == 1

    assert not engine.advance(run)
    assert len(store.commits(execution_id)) == 2
    assert store.status(execution_id) is Status.COMPLETED


def test_a_turn_without_the_lease_says_so(store: MemoryStore, engine_of: Engines) -> None:
    execution_id = store.create(graph_of("a -> b"))
    engine = engine_of(store)
    run = engine.begin(execution_id)
    assert run is not None
    lose_the_lease(store, execution_id)

    with pytest.raises(LeaseLost):
        engine.advance(run)

    assert store.commits(execution_id) == []
