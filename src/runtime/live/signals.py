"""What a process tells of the runs in its hands, and their hot state: what is under way now, which no row says."""

import threading
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
    """By node, its last signal."""
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
        self._lock = threading.Lock()
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
        if change.attempt is not None:
            self._forget(change.execution_id, change.node_id)
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        kind, fraction, text = STARTED, 0.0, ""
        if change.progress is not None:
            kind, (fraction, text) = PROGRESS, change.progress
        signal = Signal(kind, change.execution_id, change.node_id, change.number, fraction, text[:MAX_TEXT], at)
        self._tell([self._remember(signal)])

    def _remember(self, signal: Signal) -> Signal:
        hot = self._hot.get(signal.execution_id)
        if hot is None:
            return signal
        with self._lock:
            if signal.kind == PROGRESS and (started := hot.running.get(signal.node_id)):
                signal = signal._replace(at=started.at)
            hot.running[signal.node_id] = signal
            hot.at = time.time()
        return signal

    def _forget(self, execution_id: int, node_id: str) -> None:
        if hot := self._hot.get(execution_id):
            with self._lock:
                hot.running.pop(node_id, None)

    def _tell(self, signals: Sequence[Signal]) -> None:
        for listener in self._listeners:
            listener(signals)


def _count(outcomes: Iterable[Outcome]) -> int:
    return sum(isinstance(outcome, Succeeded) for outcome in outcomes)
