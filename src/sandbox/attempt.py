"""One attempt in a child of the fork server: what its end means, and whether the child may take another."""

import math
import signal
import threading

from src.core.outcome import Usage
from src.sandbox.child import Child
from src.sandbox.conversation import Conversation
from src.sandbox.executor import CodeRequest, CodeResult, Ended, Limits, result_of
from src.sandbox.server_process import Strength
from src.sandbox.verdict import why

OUT_OF_MEMORY = 72
"""See `inside/child.py`."""
ENDED_BY_ITSELF: dict[int, Ended] = {OUT_OF_MEMORY: "memory", -signal.SIGXCPU: "timeout"}
SPENT_CPU_SECONDS = 0.9
"""A child that has worked so long takes no other request: the kernel's limit is for its whole life."""
SPENT_GROWTH_KB = 16 * 1024
"""Nor one that has held so much memory: it would be told of the attempt that comes next."""


class Attempt:
    def __init__(self, request: CodeRequest, child: Child, strength: Strength) -> None:
        self.child = child
        self._strength, self._limits = strength, request.limits
        self._cpu_limit = cpu_limit(request.limits)
        self._cpu_before = child.cpu_seconds()
        self._cpu_seconds, self._peak_kb = 0.0, 0
        self._talk = Conversation(request, child, self._cpu_limit)
        self._is_over = False
        """Told apart from a fault of ours on the way, which says nothing of the fork server."""

    def hold(self, cancelled: threading.Event) -> None:
        self._talk.hold(cancelled)
        self.child.wait_for_start()
        self._cpu_seconds = max(0.0, self.child.cpu_seconds() - self._cpu_before)
        self._peak_kb = self.child.peak_kb()
        self._is_over = True

    @property
    def is_lost(self) -> bool:
        """The fork server does not answer any more, or not for its child."""
        if not self._is_over or self.child.told is not None:
            return False
        return self._talk.result is None or not self.child.has_started

    @property
    def may_go_on(self) -> bool:
        """The child is as good as a new one, for code that may know what this code knew."""
        talk = self._talk
        if talk.stopped_as or talk.result is None or "error" in talk.result or not talk.goes_on:
            return False
        is_rested = self._cpu_before + self._cpu_seconds < SPENT_CPU_SECONDS
        return is_rested and 0 < self._peak_kb < self._strength.resident_kb + SPENT_GROWTH_KB

    def result(self, duration: float, queued_seconds: float) -> CodeResult:
        usage = Usage(self._strength.level, self._cpu_seconds, self._peak_kb, queued_seconds)
        logs, ended, answer = self._talk.output.text, self._ended(), self._talk.result
        if ended == "ok" and answer is not None:
            return result_of(answer, logs, self._talk.output.last_line, duration, usage)
        error = why(ended, self._limits, self.child.told.ended if self.child.told else None)
        return CodeResult(ended, logs=logs, error=error, duration_seconds=duration, usage=usage)

    def _ended(self) -> Ended:
        if self._talk.stopped_as:
            return self._talk.stopped_as
        if self._talk.result is not None:
            return "ok"
        if self.child.told is None or not self.child.has_started:
            return "lost"
        if self.child.told.ended == -signal.SIGKILL:  # not by us: the kernel's, or the code itself
            return self._ended_by_kernel()
        return ENDED_BY_ITSELF.get(self.child.told.ended, "crashed")

    def _ended_by_kernel(self) -> Ended:
        if self._cpu_seconds > 0.9 * self._cpu_limit:
            return "timeout"
        return "memory" if self._peak_kb > 512 * self._limits.memory_mb else "crashed"


def cpu_limit(limits: Limits) -> int:
    """Seconds of all threads together; a second over the wall's, so that a busy loop ends as what it is: a time-out."""
    return limits.cpu_seconds or math.ceil(limits.wall_seconds) + 1
