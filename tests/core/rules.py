"""The rules of a state machine: random graphs under random outcomes, deaths, pauses, stops, reviews and clock jumps,
against a naive reference. What keeps the executions is a `World`: memory, or a database with all that belongs to it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Protocol, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from src.core.engine import MAX_INTERRUPTIONS, GraphEngine
from src.core.errors import LeaseLost
from src.core.graph import Graph
from src.core.node import Visit
from src.core.outcome import Context, ErrorClass, Failed, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.core.run import Run
from src.core.slice import HandOff, Reason
from src.core.status import Status
from src.core.store import Claim
from tests.core.drawn import Drawn, draw
from tests.core.reference import Reference
from tests.core.simulate import Crash, CrashingStore
from tests.core.test_waiting import Clock
from tests.fakes import FakeKinds

Found = TypeVar("Found")
THREADS = ThreadPoolExecutor(2)
BOUND = 200
"""Looks at everything: more than any of these runs can need to come to its end."""
WHICH = st.integers(0, 11)
"""Which of those to which it can be done."""
TURNS = st.integers(0, 3)
"""How many turns are taken before it happens."""


class Mortal(CrashingStore):
    """The store of a process that can die, and be counted as dead."""

    def claim(self, execution_id: int) -> Claim | None:
        return self._store.claim(execution_id)


class World(Protocol):
    """What keeps executions, and what can happen to them from outside."""

    store: Mortal
    with_children: bool

    @property
    def may_pause(self) -> Sequence[Status]: ...
    @property
    def may_answer(self) -> Sequence[Status]: ...
    def create(self, drawn: Drawn) -> int: ...
    def statuses(self, head: int) -> dict[int, Status]:
        """Of an execution, and of those that it has started."""

    def outcomes(self, execution_id: int) -> list[tuple[str, Outcome]]:
        """Of every attempt, in the order they were written."""

    def described(self, execution_id: int) -> tuple[Graph, Context, Context | None]:
        """Its graph, its initial context, its result."""

    def children(self, execution_id: int, node_id: str) -> list[int]:
        """In the order of the items."""

    def complaints(self, execution_id: int) -> list[str]: ...
    def retry(self, execution_id: int) -> int | None:
        """A new execution that stands on what this one has done; None where there are no such things."""

    def pause(self, execution_id: int) -> None: ...
    def resume(self, execution_id: int) -> None: ...
    def stop(self, execution_id: int) -> None: ...
    def answer(self, execution_id: int, node_id: str, decision: str, output: Context | None) -> None: ...
    def let_time_pass(self) -> None:
        """More than any wait takes, for whoever waits. Nobody notices before the next sweep."""

    def lose(self, execution_id: int) -> None:
        """Its runner is dead, and its lease has run out."""

    def sweep(self) -> None: ...
    def told(self, head: int) -> str:
        """All that stands in the rows, for a test that fails."""


class Runs(RuleBasedStateMachine):
    """Every node ends as its case says, in the end; on the way there it may fail, ask or wait once."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.id = 0
        self.is_retried = False
        self.statuses: dict[int, Status] = {}
        self.runs: dict[int, Run] = {}

    @initialize(seed=st.integers(0, 2**20))
    def begin(self, seed: int) -> None:
        self.random = Random(seed)
        self._begin()

    def _begin(self) -> None:
        """What has failed or was stopped is retried, once; otherwise something else begins."""
        if not self.is_retried and self.statuses.get(self.id) in (Status.FAILED, Status.STOPPED):
            self.is_retried, self.may_be_stopped = True, False
            if (again := self.world.retry(self.id)) is not None:
                self._follow(again)
                return
        self.is_retried = False
        self.drawn = draw(self.random, with_children=self.world.with_children)
        self.may_be_stopped = self.random.random() < 0.4
        self.clock = Clock(datetime.now(UTC))
        self.engine = GraphEngine(
            self.world.store,
            FakeKinds(dict.fromkeys(self.drawn.outcomes, self._outcome)),
            threads=THREADS,
            node_concurrency=1,
            max_output_bytes=100_000,
            now=lambda: self.clock.now,
            nap=self.clock.nap,
        )
        self._follow(self.world.create(self.drawn))

    def _follow(self, execution_id: int) -> None:
        self.id = execution_id
        self.statuses = self.world.statuses(self.id)
        self.ended = {each: _ended(self.world.outcomes(each)) for each in self.statuses}
        """What has ended, by execution and node: it runs no more."""
        self.standing = dict(self.ended)
        """Of that, what came from an earlier execution, which was looked at then."""
        self.last: dict[int, dict[str, tuple[int, Outcome]]] = {}
        """The number and the outcome of the last attempt at each node."""
        self.had_trouble: set[tuple[int, str]] = set()
        self.answered: set[tuple[int, str, int]] = set()
        self.stopped: set[int] = set()
        self.asked: dict[int, int] = {}
        """Which run is to pause, and how many nodes it has run since."""
        self.is_too_late = False
        """Whoever runs a node now has lost the lease."""
        self.deaths: Counter[int] = Counter()
        for each in self.statuses:
            assert self.world.complaints(each) == [], self.world.told(self.id)

    def _outcome(self, visit: Visit) -> Outcome:
        node_id, here = visit.node_id, (visit.execution_id, visit.node_id)
        if not (self.is_too_late or self._is_effect_free(node_id)):
            self._check_that_it_may_run(*here)
        if node_id in self.drawn.mapped:
            mapped = self.drawn.mapped[node_id]
            if visit.answer is None:
                return Waiting(WaitFor.CHILD, details=mapped.details, children=mapped.children)
            return mapped.outcome(node_id, visit.answer)
        trouble = self.drawn.trouble[node_id]
        expected = self.drawn.outcomes[node_id]
        if here in self.had_trouble or trouble == "none" or self._is_effect_free(node_id) or self.is_too_late:
            return expected
        self.had_trouble.add(here)
        if trouble == "wait":
            return Waiting(WaitFor.TIME, self.clock.now + timedelta(hours=1))
        error_class = ErrorClass.TRANSIENT if trouble == "transient" else ErrorClass.PARTIAL
        return Failed(NodeError("Trouble", trouble, error_class))

    def _check_that_it_may_run(self, execution_id: int, node_id: str) -> None:
        assert node_id not in self.ended.get(execution_id, ()), f"{node_id} ran again after it was kept"
        if execution_id in self.asked:
            assert self.asked[execution_id] == 0, f"{node_id} ran, and a pause was asked for before the node before it"
            self.asked[execution_id] += 1

    def _is_effect_free(self, node_id: str) -> bool:
        return any(case.graph.nodes[node_id].effect_free for case in self.drawn.cases if node_id in case.graph.nodes)

    # What may happen, after some turns, so that most examples get somewhere. What cannot happen then, does not.

    @rule(
        turns=TURNS,
        which=WHICH,
        when=st.sampled_from(["between two turns", "before a commit", *2 * ["after a commit"]]),
    )
    def die(self, turns: int, which: int, when: str) -> None:
        for execution_id in self._one_of(lambda: self._mortal, turns, which):
            store = self.world.store
            store.crash_before, store.crash_after = when == "before a commit", when == "after a commit"
            if when != "between two turns":
                self._turn(execution_id)
            store.crash_before = store.crash_after = False
            self._let_go(execution_id)
            self._lose(execution_id)

    @rule(turns=TURNS, which=WHICH)
    def take_for_dead(self, turns: int, which: int) -> None:
        """Somebody else takes it. Whoever had it has not noticed, goes on, and writes nothing."""
        for execution_id in self._one_of(lambda: [each for each in self._mortal if each in self.runs], turns, which):
            slow = self.runs.pop(execution_id)
            self._lose(execution_id)
            self.world.sweep()
            self._take(execution_id)
            rows = self.world.statuses(self.id), self.world.outcomes(execution_id)
            self.is_too_late = True
            with suppress(LeaseLost):
                while self.engine.advance(slow):
                    pass
            self.is_too_late = False
            self.world.store.forget(slow.claim)
            assert (self.world.statuses(self.id), self.world.outcomes(execution_id)) == rows, self.world.told(self.id)

    @rule(turns=TURNS, which=WHICH)
    def hand_off(self, turns: int, which: int) -> None:
        for execution_id in self._one_of(lambda: self._mortal, turns, which):
            if run := self._take(execution_id):
                self.world.store.release(run.claim, HandOff(Reason.SLICE))
                self._let_go(execution_id)

    @rule(turns=TURNS, which=WHICH)
    def pause(self, turns: int, which: int) -> None:
        for execution_id in self._one_of(lambda: self._which(*self.world.may_pause), turns, which):
            self.world.pause(execution_id)
            self.asked.update({each: 0 for each in self._below(execution_id) if each in self.runs})

    @rule(turns=TURNS, which=WHICH)
    def resume(self, turns: int, which: int) -> None:
        for execution_id in self._one_of(lambda: self._which(Status.PAUSED), turns, which):
            self._resume(execution_id)

    @rule(turns=TURNS, which=WHICH)
    def stop(self, turns: int, which: int) -> None:
        """Not everywhere, so that most runs come further. Whoever has the run still believes in it, and writes
        nothing.
        """
        for execution_id in self._one_of(lambda: self._unfinished if self.may_be_stopped else [], turns, which):
            self.stopped.add(execution_id)
            self.world.stop(execution_id)

    @rule(turns=TURNS, which=WHICH, decision=st.sampled_from(["approve", "retry"]))
    def decide(self, turns: int, which: int, decision: str) -> None:
        """A person answers, where one was asked."""
        for asked in self._one_of(lambda: self._asked, turns, which):
            self._decide(*asked, decision)

    @rule(turns=TURNS)
    def time_passes(self, turns: int) -> None:
        self._go_on(turns)
        self.clock.pass_by(7200)
        self.world.let_time_pass()

    @rule(turns=TURNS)
    def sweep(self, turns: int) -> None:
        self._go_on(turns)
        self.world.sweep()

    def _one_of(self, look: Callable[[], list[Found]], turns: int, which: int) -> list[Found]:
        """One of those to which it can be done by then, if there is any."""
        self._go_on(turns)
        found = look()
        return found and [found[which % len(found)]]

    def _go_on(self, turns: int) -> None:
        """Whoever can have a run takes a turn; where nobody can, somebody helps; where all has ended, something else
        begins.
        """
        if self.is_over:
            self._begin()
        for turn in range(turns):
            if able := self._able:
                self._turn(able[turn % len(able)])
            else:
                self._help()
            self.the_laws_hold()

    def _take(self, execution_id: int) -> Run | None:
        """The run of whoever has it, or can have it now."""
        if run := self.runs.get(execution_id) or self.engine.begin(execution_id):
            self.runs[execution_id] = run
        return run

    def _turn(self, execution_id: int) -> None:
        try:
            if (run := self._take(execution_id)) is None or self.engine.advance(run):
                return
            if execution_id in self.asked:
                status = self.world.statuses(self.id)[execution_id]
                assert status is Status.PAUSED or status.is_final, f"it was to pause\n{self.world.told(self.id)}"
        except (Crash, LeaseLost):
            pass
        self._let_go(execution_id)

    def _let_go(self, execution_id: int) -> None:
        if run := self.runs.pop(execution_id, None):
            self.world.store.forget(run.claim)

    def _lose(self, execution_id: int) -> None:
        if self.world.statuses(self.id)[execution_id] is Status.RUNNING:
            self.deaths[execution_id] += 1
            self.world.lose(execution_id)

    def _resume(self, execution_id: int) -> None:
        for each in self._below(execution_id):
            self.asked.pop(each, None)
        self.world.resume(execution_id)

    def _below(self, execution_id: int) -> list[int]:
        """An execution with all that it has started."""
        return list(self.statuses) if execution_id == self.id else [execution_id]

    def _decide(self, execution_id: int, node_id: str, attempt: int, decision: str) -> None:
        self.answered.add((execution_id, node_id, attempt))
        expected = self.drawn.outcomes[node_id]
        if decision == "approve" and isinstance(expected, Succeeded) and expected.branch is None:
            self.world.answer(execution_id, node_id, "approve", expected.output)
        else:
            self.world.answer(execution_id, node_id, "retry", None)

    # To which it may.

    @property
    def is_over(self) -> bool:
        return not (self._unfinished or self.runs)

    def _which(self, *statuses: Status) -> list[int]:
        return [each for each, status in self.statuses.items() if status in statuses]

    @property
    def _able(self) -> list[int]:
        return [each for each, status in self.statuses.items() if each in self.runs or status is Status.QUEUED]

    @property
    def _mortal(self) -> list[int]:
        """Whose runner may be lost, and lost once more: as many in a row as make a crash loop are another test's."""
        may_run = self._which(Status.QUEUED, Status.RUNNING)
        return [each for each in self._able if each in may_run and self.deaths[each] < MAX_INTERRUPTIONS - 1]

    @property
    def _unfinished(self) -> list[int]:
        return [each for each, status in self.statuses.items() if not status.is_final]

    @property
    def _asked(self) -> list[tuple[int, str, int]]:
        """Where a person is asked and has not answered: execution, node, attempt."""
        return [
            (execution_id, node_id, attempt)
            for execution_id in self._which(*self.world.may_answer)
            for node_id, (attempt, outcome) in self.last.get(execution_id, {}).items()
            if isinstance(outcome, Waiting) and outcome.reason is WaitFor.REVIEW
            if (execution_id, node_id, attempt) not in self.answered
        ]

    # What must hold.

    @invariant()
    def the_laws_hold(self) -> None:
        if self.is_over:
            return
        before, self.statuses = self.statuses, self.world.statuses(self.id)
        for execution_id, status in self.statuses.items():
            was = before.get(execution_id)
            if status is was and execution_id not in self.runs:
                continue
            rows = self.last.get(execution_id)
            complaints = list(self._complaints(execution_id, status))
            if status.is_final and status is not was:
                complaints += self.world.complaints(execution_id)
            if was and was.is_final and (status, self.last[execution_id]) != (was, rows):
                complaints.append(f"it was {was}, and something has changed")
            assert not complaints, f"execution {execution_id}: {complaints}\n{self.world.told(self.id)}"
        if self.is_over and not self.stopped:
            assert self.statuses[self.id] is self.drawn.status, self.world.told(self.id)

    def _complaints(self, execution_id: int, status: Status) -> Iterator[str]:
        outcomes = self.world.outcomes(execution_id)
        ended = _ended(outcomes)
        attempts = Counter(node_id for node_id, _ in outcomes)
        self.ended[execution_id] = ended
        self.last[execution_id] = {node_id: (attempts[node_id], outcome) for node_id, outcome in outcomes}
        for node_id, outcome in ended.items():
            if node_id not in self.standing.get(execution_id, ()) and _bare(outcome) != _bare(
                self._expected(execution_id, node_id)
            ):
                yield f"{node_id!r} ended as {outcome}"
        if status in (Status.COMPLETED, Status.FAILED):
            yield from self._of_the_end(execution_id, status, ended)

    def _expected(self, execution_id: int, node_id: str) -> Outcome:
        """What a node must end as; one with children, by the ends that these have come to."""
        if node_id not in self.drawn.mapped:
            return self.drawn.outcomes[node_id]
        children = self.world.children(execution_id, node_id)
        statuses = self.world.statuses(self.id)
        ends = [{"status": statuses[each], "result": self.world.described(each)[2]} for each in children]
        return self.drawn.mapped[node_id].outcome(node_id, ends)

    def _of_the_end(self, execution_id: int, status: Status, ended: dict[str, Outcome]) -> Iterator[str]:
        graph, initial_context, result = self.world.described(execution_id)
        reference = Reference(graph, initial_context, ended)
        if reference.ready:
            yield f"it is {status}, and {reference.ready} could run"
        if status is Status.COMPLETED and result != reference.result:
            yield f"its result is {result}, and should be {reference.result}"
        if status is Status.COMPLETED and ended.keys() | reference.skipped != graph.nodes.keys():
            yield "it is completed, and not all of its nodes have ended"

    def teardown(self) -> None:
        """Left alone, all comes to its end."""
        for _ in range(BOUND):
            if self.is_over:
                break
            self._go_on(3)
        assert self.is_over, f"it does not end\n{self.world.told(self.id)}"

    def _help(self) -> None:
        """Let go on what is held, answer what is asked, wait for the rest."""
        for execution_id in self._which(Status.PAUSED)[:1]:
            self._resume(execution_id)
        for asked in self._asked[:1]:
            self._decide(*asked, "approve")
        self.clock.pass_by(7200)
        self.world.let_time_pass()
        self.world.sweep()


def _ended(outcomes: list[tuple[str, Outcome]]) -> dict[str, Outcome]:
    return {node_id: outcome for node_id, outcome in outcomes if not isinstance(outcome, Waiting)}


def _bare(outcome: Outcome) -> Outcome:
    return replace(outcome, logs="", usage=None)
