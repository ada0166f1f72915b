"""Random graphs under random outcomes, deaths, pauses, stops, reviews and clock jumps, against a naive reference."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from src.core.engine import GraphEngine
from src.core.errors import LeaseLost
from src.core.node import Visit
from src.core.outcome import ErrorClass, Failed, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.core.policy import RunPolicy
from src.core.retry import RetryPolicy
from src.core.run import Run
from src.core.slice import HandOff, Reason
from src.core.status import Status
from src.core.verify import violations
from tests.builders import random_case
from tests.core.reference import Reference
from tests.core.test_waiting import Clock
from tests.fakes import FakeKinds, MemoryStore

LONG = RetryPolicy(max_attempts=3, interval_seconds=60, jitter="none")
TROUBLES = ("transient", "partial", "wait")
THREADS = ThreadPoolExecutor(2)


class OneRun(RuleBasedStateMachine):
    """Every node ends as its case says, in the end; on the way there it may fail, ask or wait once."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        random = Random(seed)
        self.case = random_case(random, most_nodes=7)
        self.case.graph.policy = RunPolicy(retry=LONG)
        self.trouble = {node_id: random.choice((*TROUBLES, "none", "none")) for node_id in self.case.graph.nodes}
        self.clock = Clock()
        self.store = MemoryStore()
        self.engine = GraphEngine(
            self.store,
            FakeKinds(dict.fromkeys(self.case.graph.nodes, self._outcome)),
            threads=THREADS,
            node_concurrency=1,
            max_output_bytes=100_000,
            now=lambda: self.clock.now,
            nap=self.clock.nap,
        )
        self.id = self.store.create(self.case.graph, self.case.initial_context)
        self.run: Run | None = None
        self.settled: set[str] = set()

    def _outcome(self, visit: Visit) -> Outcome:
        assert visit.node_id not in self.settled, f"{visit.node_id} ran again after it was kept"
        trouble = self.trouble.pop(visit.node_id, "none")
        if self.case.graph.nodes[visit.node_id].effect_free or trouble == "none":
            return self.case.outcomes[visit.node_id]
        if trouble == "wait":
            return Waiting(WaitFor.TIME, self.clock.now + timedelta(hours=1))
        if trouble == "transient":
            return Failed(NodeError("TimeoutError", "", ErrorClass.TRANSIENT))
        return Failed(NodeError("NeedsReview", "", ErrorClass.PARTIAL))

    @property
    def status(self) -> Status:
        return self.store.status(self.id)

    @rule()
    def advance(self) -> None:
        """A turn, of whoever can have the run."""
        try:
            self.run = self.run or self.engine.begin(self.id)
            if self.run and not self.engine.advance(self.run):
                self.run = None
        except LeaseLost:
            self.run = None

    @precondition(lambda self: self.run is not None and self.status is Status.RUNNING)
    @rule()
    def die(self) -> None:
        self.run = None
        self.store.expire_lease(self.id)
        self.store.recover()
        self.store.forget_interruptions(self.id)  # a crash loop is another test's

    @precondition(lambda self: self.run is not None and self.status is Status.RUNNING)
    @rule()
    def hand_off(self) -> None:
        assert self.run is not None
        self.store.release(self.run.claim, HandOff(Reason.SLICE))
        self.run = None

    @precondition(lambda self: self.run is not None and self.status is Status.RUNNING)
    @rule()
    def ask_to_pause(self) -> None:
        self.store.ask_to_pause(self.id)

    @precondition(lambda self: self.status is Status.PAUSED)
    @rule()
    def resume(self) -> None:
        self.store.resume(self.id)

    @precondition(lambda self: not self.status.is_final)
    @rule(chance=st.integers(0, 19))
    def stop(self, chance: int) -> None:
        """Rarely, so that most runs come further. Whoever has the run still believes in it, and writes nothing."""
        if chance == 0:
            self.store.stop(self.id)

    @precondition(lambda self: self.status is Status.WAITING)
    @rule(decision=st.sampled_from(["approve", "retry"]))
    def go_on(self, decision: str) -> None:
        """A person answers, or time has passed."""
        waiting = self._waiting()
        asked = [node_id for node_id, wait in waiting.items() if wait.reason is WaitFor.REVIEW]
        if not asked:
            self.clock.pass_by(7200)
            self.store.wake(self.id)
            return
        expected = self.case.outcomes[asked[0]]
        is_approved = decision == "approve" and isinstance(expected, Succeeded) and expected.branch is None
        answer = {"decision": "approve", "output": expected.output} if is_approved else {"decision": "retry"}
        self.store.answer(self.id, asked[0], answer)

    def _waiting(self) -> dict[str, Waiting]:
        last = {attempt.node_id: attempt.outcome for attempt in self.store.attempts(self.id)}
        return {node_id: outcome for node_id, outcome in last.items() if isinstance(outcome, Waiting)}

    @invariant()
    def the_history_holds(self) -> None:
        if not hasattr(self, "store"):
            return
        kept = self.store.attempts(self.id)
        self.settled = {each.node_id for each in kept if not isinstance(each.outcome, Waiting)}
        assert violations(self.store.history(self.id)) == []

    @invariant()
    def it_ends_as_the_reference_says(self) -> None:
        if not hasattr(self, "store") or self.status not in (Status.COMPLETED, Status.FAILED):
            return
        kept = self.store.attempts(self.id)
        ended = {each.node_id: each.outcome for each in kept if not isinstance(each.outcome, Waiting)}
        reference = Reference(self.case.graph, self.case.initial_context, ended)
        assert reference.ready == set()
        for node_id, outcome in ended.items():
            assert _bare(outcome) == _bare(self.case.outcomes[node_id])
        if self.status is Status.COMPLETED:
            assert self.store.verdict(self.id).result == reference.result
            assert ended.keys() | reference.skipped == self.case.graph.nodes.keys()

    def teardown(self) -> None:
        """Left alone, it comes to its end."""
        if not hasattr(self, "store"):
            return
        for _ in range(500):
            if self.status.is_final and self.run is None:
                break
            if self.status is Status.PAUSED:
                self.resume()
            elif self.status is Status.WAITING:
                self.go_on("approve")
            else:
                self.advance()
        assert self.status.is_final
        self.the_history_holds()
        self.it_ends_as_the_reference_says()


def _bare(outcome: Outcome) -> Outcome:
    return replace(outcome, logs="", usage=None)


OneRun.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestOneRun = OneRun.TestCase
