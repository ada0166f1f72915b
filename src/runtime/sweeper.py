"""The sweep: every process looks every few seconds for what is due. What there is to look for is for `bootstrap`."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady

logger = logging.getLogger(__name__)

JITTER = random.SystemRandom()
"""Without a state of its own: that of `random` belongs to whoever seeds it, and is doubled by a fork."""


class Sweeper:
    """Calls its duties in turn, from one thread. Each may run in many processes at once, and must bear to be missed."""

    def __init__(
        self,
        duties: Mapping[str, Callable[[], object]],
        *,
        seconds: float,
        told: Callable[[float], None] = lambda _: None,
    ) -> None:
        """
        Args:
            told: how many seconds each sweep took.
        """
        self._duties = dict(duties)
        self._seconds = seconds
        self._told = told
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, name: str, duty: Callable[[], object]) -> None:
        """Before it starts."""
        self._duties[name] = duty

    def start(self) -> None:
        self._thread = threading.Thread(target=self._keep_sweeping, name="sweep", daemon=True)
        self._thread.start()

    def sweep(self) -> None:
        """Each duty is a call of its own: a bug in one must not keep the others from theirs."""
        with ThreadPoolExecutor(1, thread_name_prefix="duty") as apart:
            for name, duty in self._duties.items():
                error = apart.submit(duty).exception()
                if isinstance(error, NotReady | SQLAlchemyError):  # the next sweep sees to it
                    logger.warning("sweep: %s: %s", name, error.__class__.__name__)
                elif error is not None:
                    logger.error("sweep: %s", name, exc_info=error)

    def close(self) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=self._seconds + 5)

    def _keep_sweeping(self) -> None:
        while not self._closed.is_set():
            begun = time.monotonic()
            self.sweep()
            self._told(time.monotonic() - begun)
            self._closed.wait(self._seconds * JITTER.uniform(0.8, 1.2))
