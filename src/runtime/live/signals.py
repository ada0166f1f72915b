"""What a process tells of the runs in its hands, and their hot state: what is under way now, which no row says."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from src.core.engine import NodeChange
from src.core.outcome import Attempt, Outcome, Succeeded
from src.core.status import Status
from src.core.store import Claim

MAX_TEXT = 100
"""Characters of what a node says of its progress."""
CHANGED = "changed"
STARTED = "started"
PROGRESS = "progress"


class Signal(NamedTuple):
    """`changed`: rows of the execution have been committed. The other two are of no row: a node has `started`, or tells
    of its `progress`.
    """

    kind: str
    execution_id: int
    node_id: str = ""
    attempt: int = 0
    fraction: float = 0.0
    text: str = ""
    at: str = ""


Listener = Callable[[Sequence[Signal]], None]


@dataclass(slots=True)
class Hot:
    """What is known of an execution without asking SQL."""

    status: str
    total: int
    done: int = 0
    running: dict[str, Signal] = field(default_factory=dict)
    """By node, its last signal. Changed by the threads of its nodes while others look: they take a copy first."""
    at: float = field(default_factory=time.time)


class Signals:
    """Called by the store after each commit and by the engine as nodes start; calls whoever listens. Never waits."""

    def __init__(self, watch: Callable[[NodeChange], None] = lambda _: None) -> None:
        """
        Args:
            watch: told of every change of a node, too.
        """
        self._watch = watch
        self._hot: dict[int, Hot] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def ignore(self, listener: Listener) -> None:
        self._listeners.remove(listener)

    def hot(self, execution_id: int) -> Hot | None:
        """None where this process does not run it."""
        return self._hot.get(execution_id)

    # From the store, after the commit.

    def claimed(self, claim: Claim) -> None:
        done = _count(outcome for _, outcome in claim.history)
        self._hot[claim.execution_id] = Hot(Status.RUNNING, len(claim.graph.nodes), done)
        self.changed(claim.execution_id)

    def kept(self, claim: Claim, attempts: Sequence[Attempt]) -> None:
        if hot := self._hot.get(claim.execution_id):
            hot.done += _count(attempt.outcome for attempt in attempts)
            hot.at = time.time()
        self.changed(claim.execution_id)

    def left(self, claim: Claim, status: Status, attempts: Sequence[Attempt] = ()) -> None:
        """The run has ended here, or goes on elsewhere."""
        if hot := self._hot.get(claim.execution_id):
            hot.status, hot.done = status, hot.done + _count(attempt.outcome for attempt in attempts)
            hot.running.clear()
            hot.at = time.time()
        self.changed(claim.execution_id)
        self._hot.pop(claim.execution_id, None)

    def changed(self, *execution_ids: int) -> None:
        self._tell([Signal(CHANGED, execution_id) for execution_id in execution_ids])

    # From the engine, as it happens.

    def watch(self, change: NodeChange) -> None:
        self._watch(change)
        hot = self._hot.get(change.execution_id)
        if change.attempt is not None:
            if hot:
                hot.running.pop(change.node_id, None)
            return
        signal = _signal_of(change)
        if hot:
            if signal.kind == PROGRESS and (started := hot.running.get(signal.node_id)):
                signal = signal._replace(at=started.at)
            hot.running[signal.node_id] = signal
            hot.at = time.time()
        self._tell([signal])

    def _tell(self, signals: Sequence[Signal]) -> None:
        for listener in self._listeners:
            listener(signals)


def _count(outcomes: Iterable[Outcome]) -> int:
    return sum(isinstance(outcome, Succeeded) for outcome in outcomes)


def _signal_of(change: NodeChange) -> Signal:
    at = f"{datetime.now(UTC).isoformat(timespec='milliseconds')[:-6]}Z"
    if change.progress is None:
        return Signal(STARTED, change.execution_id, change.node_id, change.number, at=at)
    fraction, text = change.progress
    return Signal(PROGRESS, change.execution_id, change.node_id, change.number, fraction, text[:MAX_TEXT], at)
