"""How long a runner keeps an execution before it hands it on, at a node boundary. Who takes it up is not said here."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Literal

from src.core.node import Node


class Reason(StrEnum):
    """Why an execution leaves its runner."""

    BUDGET = "budget"
    """The request has waited as long as it may."""
    FORECAST = "forecast"
    """What comes next usually takes longer than there is time."""
    SLICE = "slice"
    """Others want a turn."""
    DRAIN = "drain"
    """The process is about to end."""
    PAUSE = "pause"
    """An operator wants to hold it."""
    QUEUE = "queue"
    """What comes next wants the workers of another queue."""


@dataclass(frozen=True, slots=True)
class HandOff:
    """An execution leaves its runner; whoever serves `queue` takes it up."""

    reason: Reason
    queue: str | None = None


Place = Literal["anywhere", "inline", "worker"]
"""Where a runner stands: a worker serves one queue, an inline run none; anywhere, queues mean nothing."""


@dataclass(slots=True)
class Slice:
    """One runner's time with one execution. Made when the run begins; measures with a clock of its own."""

    seconds: float | None = None
    nodes: int | None = None
    place: Place = "anywhere"
    over: Literal[Reason.BUDGET, Reason.SLICE] = Reason.SLICE
    """What it means that the time is over."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """Seconds that each node took in 95 of 100 runs before, where that is known."""
    is_draining: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    _begun_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._begun_at = self.clock()

    @property
    def left_seconds(self) -> float:
        return inf if self.seconds is None else self.seconds - (self.clock() - self._begun_at)

    def hand_off(self, ready: Collection[Node], *, done: int, at: str | None, home: str | None) -> HandOff | None:
        """Whether the run must leave before `ready` starts.

        Args:
            done: nodes that were run in this slice.
            at: the queue whose worker runs it.
            home: the queue of the workflow.
        """
        if self.is_draining():
            return HandOff(Reason.DRAIN, at)
        if self.place != "anywhere" and not any(self.runs_here(node, at=at, home=home) for node in ready):
            return HandOff(Reason.QUEUE, self._wanted_by(next(iter(ready)), home))
        reason = self._out_of_time(ready, done)
        return HandOff(reason, at or home) if reason else None

    def runs_here(self, node: Node, *, at: str | None, home: str | None) -> bool:
        if self.place == "worker":
            return self._wanted_by(node, home) == at
        return self.place == "anywhere" or node.queue is None

    def _wanted_by(self, node: Node, home: str | None) -> str | None:
        return node.queue or home

    def _out_of_time(self, ready: Collection[Node], done: int) -> Reason | None:
        if self.nodes is not None and done >= self.nodes:
            return self.over
        left = self.left_seconds
        if left <= 0 and (done or self.over is Reason.BUDGET):
            return self.over
        longest = max((self.expected.get(node.id, 0.0) for node in ready), default=0.0)
        # A slice that is still whole will not get any longer elsewhere.
        return Reason.FORECAST if longest > left and (done or self.over is Reason.BUDGET) else None
