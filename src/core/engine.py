"""The engine: the one place where nodes are run. A route, a worker and the command line all end up in `run`."""

import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from queue import Empty
from typing import NamedTuple

from src.core.about import about
from src.core.attempt import Attempting
from src.core.errors import LeaseLost, NotReady
from src.core.node import Node, Visit, Workshop
from src.core.outcome import Attempt, ErrorClass, Failed, Json, NodeError, WaitFor, Waiting
from src.core.retry import DEFAULT_RETRY
from src.core.review import reviewed
from src.core.run import Run
from src.core.secrecy import without_secrets
from src.core.slice import HandOff, Slice
from src.core.store import Claim, Store

logger = logging.getLogger(__name__)

MAX_INTERRUPTIONS = 5
"""A node that was in flight at so many deaths in a row is taken for their cause."""
NAP_SECONDS = 10.0
"""A shorter wait is slept through in place; for a longer one the runner lets go."""
LOOK_SECONDS = 0.25
"""How often a nap looks whether the process is about to end."""


class NodeChange(NamedTuple):
    """Tells a watcher that a node starts (no attempt yet), gets on, or has ended."""

    execution_id: int
    node_id: str
    attempt: Attempt | None = None
    number: int = 1
    """Of the attempt."""
    progress: tuple[float, str] | None = None
    """How far it says it is, from 0 to 1, and in words."""


def sleep(seconds: float, is_over: Callable[[], bool]) -> None:
    """Sleep, and wake early when `is_over`."""
    wake_at = time.monotonic() + seconds
    while (left := wake_at - time.monotonic()) > 0 and not is_over():
        time.sleep(min(left, LOOK_SECONDS))


class GraphEngine:
    def __init__(
        self,
        store: Store,
        workshop: Workshop,
        *,
        threads: ThreadPoolExecutor,
        node_concurrency: int,
        max_output_bytes: int,
        watch: Callable[[NodeChange], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        nap: Callable[[float, Callable[[], bool]], None] = sleep,
        chance: Callable[[], float] = random.SystemRandom().random,  # no state, which a fork would double
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._attempting = Attempting(workshop, max_output_bytes=max_output_bytes, now=now)
        self._threads = threads
        self._node_concurrency = node_concurrency
        self._watch = watch
        self._now = now
        self._nap = nap
        self._chance = chance

    def run(self, execution_id: int, slice_: Slice | None = None) -> HandOff | None:
        """Drive one execution until it finishes, waits, another runner has it, or `slice_` says that it must leave this
        one: then it is back in the queue, and the answer tells why. Safe to call twice, and from anywhere.
        """
        run = self.begin(execution_id, slice_)
        if run is None:
            return None
        with about(execution_id=execution_id, task_id=run.claim.task_id):
            return self._drive(run)

    def _drive(self, run: Run) -> HandOff | None:
        try:
            while self.advance(run):
                pass
            return run.hand_off
        except LeaseLost:
            logger.warning("this execution is no longer this runner's")
            return None
        finally:
            run.claim.lost.set()  # whatever is still under way works for nobody
            self._workshop.forget(run.claim.execution_id)
            self._store.forget(run.claim)

    def begin(self, execution_id: int, slice_: Slice | None = None) -> Run | None:
        """Claim an execution and replay its checkpoints; None where there is nothing to drive.

        Raises:
            ValueError: the checkpoints do not fit the graph.
        """
        claim = self._store.claim(execution_id)
        if claim is None:
            return None
        with ExitStack() as undone:
            undone.callback(self._store.forget, claim)
            run = Run(claim, slice_ or Slice(), self._now())
            if claim.interruptions >= MAX_INTERRUPTIONS:
                run.wake(self._now())
                died = f"{claim.interruptions} runners have died one after another at this node"
                self._fail_next(run, NodeError("CrashLoop", died))
            undone.pop_all()
        if claim.is_asked_to_pause:
            run.pause()
        return run

    def advance(self, run: Run) -> bool:
        """One turn: start what is ready, wait until something ends, commit it. False when nothing is left to do.

        Raises:
            LeaseLost: another runner has the execution; this turn wrote nothing.
        """
        self._wake(run)
        self._run_effect_free(run)
        run.look_whether_to_leave()
        if run.hand_off and run.ready and not run.under_way:
            self._store.release(run.claim, run.hand_off)
            return False
        if not run.is_over:
            self._start(run)
            self._collect(run)
            self._run_effect_free(run)
        if not run.is_over:
            self._checkpoint(run)
        elif not self._slept(run):
            run.hand_off = None
            self._store.settle(run.claim, run.plan.verdict, run.take_unsaved())
            return False
        return True

    def _checkpoint(self, run: Run) -> None:
        unsaved = run.take_unsaved()
        if unsaved and self._store.checkpoint(run.claim, unsaved):
            run.pause()

    def _wake(self, run: Run) -> None:
        """Go on with what has waited long enough. A run that has taken too long goes no further."""
        now = self._now()
        if run.is_to_ask(now):
            run.hear(self._answers(run.claim), now)
        run.wake(now)
        limit = run.plan.graph.policy.timeout
        while limit is not None and run.ready and (self._now() - run.claim.started_at).total_seconds() > limit:
            self._fail_next(run, NodeError("RunTimeout", f"the run took longer than {limit:g} s"))

    def _answers(self, claim: Claim) -> dict[str, Json] | None:
        """None where the database is away: what runs here meanwhile does not need to know."""
        try:
            return self._store.answers(claim)
        except NotReady:
            return None

    def _slept(self, run: Run) -> bool:
        """Sleep until the first of what waits is due, where that is soon. False where it is not: the run lets go."""
        wake_at = run.alarm
        if wake_at is None or run.hand_off or run.slice.is_draining():
            return False
        seconds = (wake_at - self._now()).total_seconds()
        if seconds > min(NAP_SECONDS, run.slice.left_seconds):
            return False
        self._checkpoint(run)
        self._nap(seconds, lambda: run.claim.lost.is_set() or run.slice.is_draining())
        if run.claim.lost.is_set():
            raise LeaseLost(run.claim.execution_id)
        return not run.slice.is_draining()

    def _start(self, run: Run) -> None:
        """Start ready nodes: one that is all there is to do in this thread, others side by side."""
        if run.hand_off:
            return
        is_alone = len(run.ready) == 1 and not run.under_way and not run.has_sleepers
        if self._node_concurrency == 1 or is_alone:
            self._begin_attempt(run, side_by_side=False)
            return
        while run.under_way < self._node_concurrency and self._begin_attempt(run, side_by_side=True):
            pass

    def _begin_attempt(self, run: Run, *, side_by_side: bool) -> bool:
        node = run.next_ready()
        if node is None:
            return False
        visit = self._visit(run, node)
        run.under_way += 1
        if side_by_side:
            self._threads.submit(copy_context().run, lambda: run.ended.put(self._attempt(node, visit)))
        else:
            run.ended.put(self._attempt(node, visit))
        return True

    def _collect(self, run: Run) -> None:
        """Record the attempts that have ended: at least one, and all that came in meanwhile, for one commit. What is
        due before any of them has ended is not kept waiting, nor what somebody has answered.
        """
        next_turn = run.next_turn
        timeout = None if next_turn is None else max(0.0, (next_turn - self._now()).total_seconds())
        while run.under_way:
            try:
                attempt = run.ended.get(timeout=timeout)
            except Empty:
                return
            timeout = 0.0
            run.under_way -= 1
            if run.claim.lost.is_set() and isinstance(attempt.outcome, Failed):
                raise LeaseLost(run.claim.execution_id)  # it may have failed because it was cancelled
            run.record(self._second_thoughts(run, attempt))

    def _run_effect_free(self, run: Run) -> None:
        """Run the ready nodes that need no commit of their own; they ride in the checkpoint that comes next."""
        while run.effect_free:
            node = run.effect_free.popleft()
            run.record(self._second_thoughts(run, self._attempt(node, self._visit(run, node))))

    def _second_thoughts(self, run: Run, attempt: Attempt) -> Attempt:
        """A failure that may pass is a wait for the next attempt; one that needs a person, a wait for that person."""
        if not isinstance(attempt.outcome, Failed):
            return attempt
        failed, node = attempt.outcome, run.plan.graph.nodes[attempt.node_id]
        if failed.error.error_class is ErrorClass.PARTIAL:
            return attempt._replace(outcome=_waiting(failed, WaitFor.REVIEW))
        policy = node.retry or run.plan.graph.policy.retry or DEFAULT_RETRY
        delay = policy.delay_seconds(failed.error, run.failures[node.id] + 1, self._chance)
        if delay is None:
            return attempt
        run.failures[node.id] += 1
        return attempt._replace(outcome=_waiting(failed, WaitFor.RETRY, self._now() + timedelta(seconds=delay)))

    def _fail_next(self, run: Run, error: NodeError) -> None:
        """Let the node that is next fail instead of running it."""
        node = run.take_next()
        if node is not None:
            run.record(Attempt(node.id, node.type, run.next_attempt(node), Failed(error), self._now(), 0.0))

    def _visit(self, run: Run, node: Node) -> Visit:
        claim, number = run.claim, run.next_attempt(node)
        return Visit(
            execution_id=claim.execution_id,
            node_id=node.id,
            attempt=number,
            idempotency_key=f"{claim.task_id}/{node.id}",
            context=run.plan.context_of(node.id),
            branches=run.plan.graph.branches[node.id],
            cancelled=claim.lost,
            client_id=claim.client_id,
            waited=run.waited.pop(node.id, None),
            answer=claim.answers.pop(node.id, None),
            progress=lambda done, words: self._watch(
                NodeChange(claim.execution_id, node.id, None, number, (done, claim.credentials.mask.text(words)))
            ),
            credentials=claim.credentials,
            depth=claim.depth,
        )

    def _attempt(self, node: Node, visit: Visit) -> Attempt:
        self._watch(NodeChange(visit.execution_id, node.id, number=visit.attempt))
        with about(node_id=node.id):
            decided = reviewed(node, visit, self._now())
            attempt = without_secrets(decided or self._attempting.attempt(node, visit), visit)
        self._watch(NodeChange(visit.execution_id, node.id, attempt, visit.attempt))
        return attempt


def _waiting(failed: Failed, reason: WaitFor, until: datetime | None = None) -> Waiting:
    return Waiting(reason, until, failed.details, failed.error, failed.output, failed.logs, failed.usage, failed.branch)
