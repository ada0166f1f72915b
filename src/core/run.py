"""One execution in the hands of this process. What to do next with it is the engine's; what it ends as, the plan's."""

from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from queue import SimpleQueue

from src.core.node import Node
from src.core.outcome import Attempt, Json, WaitFor, Waiting
from src.core.plan import Plan
from src.core.slice import HandOff, Reason, Slice
from src.core.store import Claim

BY_OTHERS = (WaitFor.REVIEW, WaitFor.CHILD)
"""Waits that end when somebody answers, and by their time only if nobody does."""
ASK_SECONDS = 1.0
"""How often a run whose other nodes go on asks whether somebody has answered."""


class Run:
    """Its claim, its plan (the checkpoints replayed), what is under way."""

    def __init__(self, claim: Claim, slice_: Slice, now: datetime) -> None:
        self.claim = claim
        self._asked_at = self._heard_at = max(now, claim.woken_for or now)
        """When it was asked last what others have answered, and when that was known last: with the claim it is."""
        self.slice = slice_
        self.plan = Plan(claim.graph, claim.initial_context, claim.history)
        self.hand_off: HandOff | None = None
        """Why nothing more starts here, once it is so."""
        self.ready: deque[Node] = deque()
        self.effect_free: deque[Node] = deque()
        """Ready too, and needing no commit of their own."""
        self.under_way = 0
        self.done = 0
        """Nodes with effects that were started here."""
        self.ended: SimpleQueue[Attempt] = SimpleQueue()
        self.waited: dict[str, Waiting] = {}
        """What the nodes have waited for that are about to run again."""
        self.failures = Counter(node_id for node_id, outcome in claim.history if _is_retry(outcome))
        """Attempts in a row that were tried again, by node."""
        self._unsaved: list[Attempt] = []
        self._attempts = dict(claim.attempts)
        self._asleep: dict[str, Waiting] = dict(self.plan.waiting)
        self._queues = {"at": claim.queue, "home": claim.graph.policy.queue}
        self._take([node for node in self.plan.ready() if node.id not in self._asleep])

    @property
    def is_over(self) -> bool:
        """Nothing is left to do now; what sleeps may be left for later."""
        return not (self.ready or self.under_way or self.effect_free)

    def look_whether_to_leave(self) -> None:
        """Nothing more starts here once the run is to go on elsewhere; it never changes its mind."""
        if self.ready and self.hand_off is None:
            hand_off = self.slice.hand_off(self.ready, done=self.done, **self._queues)
            if hand_off and not (self.under_way and hand_off.reason is Reason.QUEUE):  # what ends may lead to more here
                self.hand_off = hand_off

    def pause(self) -> None:
        self.hand_off = HandOff(Reason.PAUSE, self.claim.queue)

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
        self._unsaved.append(attempt)
        self._take(self.plan.record(attempt.node_id, attempt.outcome))
        if isinstance(attempt.outcome, Waiting):
            self._asleep[attempt.node_id] = attempt.outcome
        if self.plan.failed:
            self.ready.clear()
            self.effect_free.clear()
            self._asleep.clear()

    def take_unsaved(self) -> list[Attempt]:
        unsaved, self._unsaved = self._unsaved, []
        return unsaved

    @property
    def next_turn(self) -> datetime | None:
        """When there may be something to do though nothing has ended: a wait is over, or it is time to ask."""
        moments = [wait.until for wait in self._asleep.values() if wait.until and wait.reason not in BY_OTHERS]
        others = self._unanswered
        if others:
            moments.append(self._asked_at + timedelta(seconds=ASK_SECONDS))
            moments += [wait.until for wait in others if wait.until and wait.until > self._asked_at]
        return min(moments, default=None)

    @property
    def alarm(self) -> datetime | None:
        """What is waited for next, where time alone brings it: who waits for somebody else waits as a row, where that
        one is heard.
        """
        first = min((wait for wait in self._asleep.values() if wait.until is not None), key=_until, default=None)
        return None if first is None or first.reason in BY_OTHERS else first.until

    @property
    def has_sleepers(self) -> bool:
        return bool(self._asleep)

    def is_to_ask(self, now: datetime) -> bool:
        """Somebody may have answered, and it is time to ask: the last moment, or a while after the last time."""
        others = self._unanswered
        if not others:
            return False
        is_overdue = any(wait.until and self._asked_at < wait.until <= now for wait in others)
        return is_overdue or (now - self._asked_at).total_seconds() >= ASK_SECONDS

    def hear(self, answers: Mapping[str, Json] | None, now: datetime) -> None:
        """`answers`: None where nobody could be asked, who is asked again in a while."""
        self._asked_at = now
        if answers is not None:
            self._heard_at = now
            self.claim.answers.update({each: answers[each] for each in self._asleep if each in answers})

    def wake(self, now: datetime) -> None:
        """Make ready what waits no longer: its time has come, or its answer."""
        for node_id in self._due(now) if self._asleep else ():
            self.waited[node_id] = self._asleep.pop(node_id)
            self._take([self.plan.graph.nodes[node_id]])

    def take_next(self) -> Node | None:
        """Whatever node is next, on whichever runner."""
        queue = self.ready or self.effect_free
        return queue.popleft() if queue else None

    def _due(self, now: datetime) -> list[str]:
        """Who waits for others waits in vain only where it is known that they had not answered in time."""
        now = max(now, self.claim.woken_for or now)
        return [
            node_id
            for node_id, wait in self._asleep.items()
            if node_id in self.claim.answers
            or (wait.until and wait.until <= (self._heard_at if wait.reason in BY_OTHERS else now))
        ]

    @property
    def _unanswered(self) -> list[Waiting]:
        """What waits for others who have not answered."""
        waits = self._asleep.items()
        return [wait for each, wait in waits if wait.reason in BY_OTHERS and each not in self.claim.answers]

    def _take(self, nodes: list[Node]) -> None:
        for node in nodes:
            (self.effect_free if node.effect_free else self.ready).append(node)


def _until(wait: Waiting) -> datetime:
    assert wait.until is not None
    return wait.until


def _is_retry(outcome: object) -> bool:
    return isinstance(outcome, Waiting) and outcome.reason is WaitFor.RETRY
