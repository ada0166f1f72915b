"""The engine: the one place where nodes are run. A route, a worker and the command line all end up in `run`."""

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import current_thread, main_thread
from traceback import StackSummary, TracebackException

from src.core.errors import LeaseLost, ValueRefused
from src.core.node import Kinds, Node, Visit
from src.core.outcome import Attempt, Failed, NodeError, Outcome, Succeeded
from src.core.plan import Plan
from src.core.slice import HandOff, Reason, Slice
from src.core.store import Claim, Store
from src.core.values import plain_object

logger = logging.getLogger(__name__)

MAX_INTERRUPTIONS = 5
"""A node that was in flight at so many deaths in a row is taken for their cause."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """Tells a watcher that a node starts (no attempt yet) or has ended."""

    execution_id: int
    node_id: str
    attempt: Attempt | None = None


class Run:
    """One execution in the hands of this process: its claim, its plan (the checkpoints replayed), what is under way."""

    def __init__(self, claim: Claim, slice_: Slice) -> None:
        self.claim = claim
        self.slice = slice_
        self.hand_off: HandOff | None = None
        self.plan = Plan(claim.graph, claim.initial_context, claim.history)
        self.ready: deque[Node] = deque()
        self.effect_free: deque[Node] = deque()
        """Ready too, and needing no commit of their own."""
        self.under_way = 0
        self.done = 0
        """Nodes with effects that were started here."""
        self.ended: SimpleQueue[Attempt] = SimpleQueue()
        self.unsaved: list[Attempt] = []
        self._attempts = dict(claim.attempts)
        self._queues = {"at": claim.queue, "home": claim.graph.queue}
        self._take(self.plan.ready())

    @property
    def is_over(self) -> bool:
        return not (self.ready or self.under_way or self.effect_free)

    def look_whether_to_leave(self) -> None:
        """Nothing more starts here once the run is to go on elsewhere; it never changes its mind."""
        if self.ready and self.hand_off is None:
            hand_off = self.slice.hand_off(self.ready, done=self.done, **self._queues)
            if hand_off and not (self.under_way and hand_off.reason is Reason.QUEUE):  # what ends may lead to more here
                self.hand_off = hand_off

    def next_ready(self) -> Node | None:
        """Take the first of the ready nodes that may run on this runner."""
        for place, node in enumerate(self.ready):
            if self.slice.runs_here(node, **self._queues):
                del self.ready[place]
                self.done += 1
                return node
        return None

    def next_attempt(self, node: Node) -> int:
        self._attempts[node.id] = self._attempts.get(node.id, 0) + 1
        return self._attempts[node.id]

    def record(self, attempt: Attempt) -> None:
        self.unsaved.append(attempt)
        self._take(self.plan.record(attempt.node_id, attempt.outcome))
        if self.plan.failed:
            self.ready.clear()
            self.effect_free.clear()

    def take_unsaved(self) -> list[Attempt]:
        unsaved, self.unsaved = self.unsaved, []
        return unsaved

    def _take(self, nodes: list[Node]) -> None:
        for node in nodes:
            (self.effect_free if node.effect_free else self.ready).append(node)


class GraphEngine:
    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        *,
        threads: ThreadPoolExecutor,
        node_concurrency: int,
        max_output_bytes: int,
        watch: Callable[[NodeChange], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._threads = threads
        self._node_concurrency = node_concurrency
        self._max_output_bytes = max_output_bytes
        self._watch = watch

    def run(self, execution_id: int, slice_: Slice | None = None) -> HandOff | None:
        """Drive one execution until it finishes, another runner has it, or `slice_` says that it must leave this one:
        then it is back in the queue, and the answer tells why. Safe to call twice, and from anywhere.
        """
        run = self.begin(execution_id, slice_)
        if run is None:
            return None
        try:
            while self.advance(run):
                pass
            return run.hand_off
        except LeaseLost:
            logger.warning("execution %s is another runner's now", execution_id)
            return None
        finally:
            run.claim.lost.set()  # whatever is still under way works for nobody
            self._store.forget(run.claim)

    def begin(self, execution_id: int, slice_: Slice | None = None) -> Run | None:
        """Claim an execution and replay its checkpoints; None where there is nothing to drive.

        Raises:
            ValueError: the checkpoints do not fit the graph.
        """
        claim = self._store.claim(execution_id)
        if claim is None:
            return None
        try:
            run = Run(claim, slice_ or Slice())
        except ValueError:
            self._store.forget(claim)
            raise
        if claim.interruptions >= MAX_INTERRUPTIONS:
            self._give_up(run)
        return run

    def advance(self, run: Run) -> bool:
        """One turn: start what is ready, wait until something ends, commit it. False when nothing is left to do.

        Raises:
            LeaseLost: another runner has the execution; this turn wrote nothing.
        """
        self._run_effect_free(run)
        run.look_whether_to_leave()
        if run.hand_off and run.ready and not run.under_way:
            self._store.release(run.claim, run.hand_off)
            return False
        if not run.is_over:
            self._start(run)
            self._collect(run)
            self._run_effect_free(run)
        if run.is_over:
            run.hand_off = None
            self._store.settle(run.claim, run.plan.verdict, run.take_unsaved())
            return False
        self._store.checkpoint(run.claim, run.take_unsaved())
        return True

    def _start(self, run: Run) -> None:
        """Start ready nodes: a lone one in this thread, several side by side."""
        if run.hand_off:
            return
        if self._node_concurrency == 1 or (len(run.ready) == 1 and not run.under_way):
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
            self._threads.submit(lambda: run.ended.put(self._attempt(node, visit)))
        else:
            run.ended.put(self._attempt(node, visit))
        return True

    def _give_up(self, run: Run) -> None:
        """Whoever ran this node died with it, again and again: it fails, before it takes the next runner along."""
        node = (run.ready or run.effect_free)[0]
        error = NodeError("CrashLoop", f"{run.claim.interruptions} runners have died one after another at this node")
        run.record(Attempt(node.id, node.type, run.next_attempt(node), Failed(error), datetime.now(UTC), 0.0))

    def _collect(self, run: Run) -> None:
        """Record the attempts that have ended: at least one, and all that came in meanwhile, for one commit."""
        attempt: Attempt | None = run.ended.get()
        while attempt:
            run.under_way -= 1
            if run.claim.lost.is_set() and isinstance(attempt.outcome, Failed):
                raise LeaseLost(run.claim.execution_id)  # it may have failed because it was cancelled
            run.record(attempt)
            try:
                attempt = run.ended.get_nowait()
            except Empty:
                attempt = None

    def _run_effect_free(self, run: Run) -> None:
        """Run the ready nodes that need no commit of their own; they ride in the checkpoint that comes next."""
        while run.effect_free:
            node = run.effect_free.popleft()
            run.record(self._attempt(node, self._visit(run, node)))

    def _visit(self, run: Run, node: Node) -> Visit:
        claim = run.claim
        return Visit(
            execution_id=claim.execution_id,
            node_id=node.id,
            attempt=run.next_attempt(node),
            idempotency_key=f"{claim.task_id}/{node.id}",
            context=run.plan.context_of(node.id),
            branches=run.plan.graph.branches[node.id],
            cancelled=claim.lost,
        )

    def _attempt(self, node: Node, visit: Visit) -> Attempt:
        self._watch(NodeChange(visit.execution_id, node.id))
        started_at, start = datetime.now(UTC), time.perf_counter()
        outcome = self._outcome(node, visit)
        seconds = time.perf_counter() - start - (outcome.usage.queued_seconds if outcome.usage else 0.0)
        attempt = Attempt(node.id, node.type, visit.attempt, outcome, started_at, max(0.0, seconds))
        self._watch(NodeChange(visit.execution_id, node.id, attempt))
        return attempt

    def _outcome(self, node: Node, visit: Visit) -> Outcome:
        try:
            outcome = self._kinds.run(node, visit)
            return self._kept(outcome) if isinstance(outcome, Succeeded) else outcome
        except ValueRefused as refused:
            return Failed(NodeError("ValueRefused", f"the output cannot be kept: {refused}"))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
                raise
            return Failed(_told(error))

    def _kept(self, outcome: Succeeded) -> Succeeded:
        """What can be kept of it: JSON, and a branch that is text. Raises ValueRefused."""
        if outcome.branch is not None:
            plain_object({"branch": outcome.branch}, max_bytes=self._max_output_bytes)
        if not outcome.output:
            return outcome
        output = plain_object(outcome.output, max_bytes=self._max_output_bytes)
        return replace(outcome, output=output)


def _told(error: BaseException) -> NodeError:
    """The error with the frames outside Nova: those of the code that a kind has called."""
    try:
        told = TracebackException.from_exception(error)  # survives an exception whose own str() raises
    except Exception as another:  # noqa: BLE001 -- one whose __cause__ raises is told by its name alone
        return NodeError(type(error).__name__, f"it cannot be shown: {type(another).__name__}")
    ours, walk = 0, error.__traceback__
    while walk is not None and walk.tb_frame.f_globals.get("__name__", "").startswith("src."):
        ours, walk = ours + 1, walk.tb_next
    if walk is not None:
        told.stack = StackSummary.from_list(told.stack[ours:])
    return NodeError(type(error).__name__, str(told), traceback="".join(told.format()))
