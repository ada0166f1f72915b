"""How long a call to the outside may go on, all its parts together, and who may end it early."""

import threading
import time

from src.outside.errors import Cancelled, Fault

LOOK_SECONDS = 0.5
"""How often a call that waits looks whether anybody still wants its result."""


class Deadline:
    def __init__(self, seconds: float, cancelled: threading.Event | None = None) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._cancelled = cancelled or threading.Event()

    def check(self) -> None:
        """Raises as `left_seconds` does."""
        _ = self.left_seconds

    @property
    def left_seconds(self) -> float:
        """More than none.

        Raises:
            Fault: the time is over.
            Cancelled: somebody has ended it.
        """
        if self._cancelled.is_set():
            raise Cancelled("the result is no longer wanted")
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise Fault(f"no answer within {self.seconds:g} s")
        return left
