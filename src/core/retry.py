"""When a failed attempt is tried again, and after how long. Pure: the random source is lent."""

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from src.core.outcome import ErrorClass, NodeError

LONGEST_SECONDS = 366 * 86_400.0
"""Between two attempts, whoever asks for more: later, no calendar may have a name for it."""


class RetryPolicy(BaseModel):
    """How often, and how far apart, a transient failure is tried again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_attempts: int = Field(3, ge=1, le=100)
    interval_seconds: float = Field(2.0, ge=0)
    backoff_rate: float = Field(2.0, ge=1)
    max_delay_seconds: float = Field(3600.0, ge=0)
    jitter: Literal["full", "none"] = "full"

    def delay_seconds(self, error: NodeError, failures: int, random: Callable[[], float]) -> float | None:
        """How long to wait before the next attempt; None where there is none.

        Args:
            failures: attempts that have failed so far, this one included.
            random: a number from 0 up to 1. Full jitter spreads those that failed together over the whole delay
                ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
        """
        if error.error_class is not ErrorClass.TRANSIENT or failures >= self.max_attempts:
            return None
        longest = self._longest(failures)
        delay = longest * random() if self.jitter == "full" else longest
        return min(max(delay, error.retry_after_seconds or 0.0), LONGEST_SECONDS)

    def _longest(self, failures: int) -> float:
        if not self.interval_seconds:
            return 0.0
        try:
            grown = self.interval_seconds * self.backoff_rate ** (failures - 1)
        except OverflowError:
            return self.max_delay_seconds
        return min(self.max_delay_seconds, grown)


DEFAULT_RETRY = RetryPolicy()
