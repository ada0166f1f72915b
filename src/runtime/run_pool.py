"""Where runs get their threads: a bounded pool of their own, never the threads that serve short requests."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from src.core.errors import Busy

Answer = TypeVar("Answer")


class RunPool:
    """At most `threads` runs at once and `backlog` that wait for a thread; beyond that a run is refused, unwritten."""

    def __init__(self, *, threads: int, backlog: int, name: str = "run") -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.BoundedSemaphore(threads + backlog)
        self.size = threads
        self._places_in_all = threads + backlog
        self._full = f"{threads} executions run here and {backlog} wait: there is no room for another now."

    def submit(self, work: Callable[[], Answer]) -> Future[Answer]:
        """Run `work` in a thread of the pool. Raises Busy."""
        if not self._places.acquire(blocking=False):
            raise Busy(self._full)
        try:
            future = self._pool.submit(copy_context().run, work)
        except RuntimeError:  # it is being shut down
            self._places.release()
            raise Busy("This process is shutting down.") from None
        future.add_done_callback(lambda _: self._places.release())
        return future

    @property
    def used(self) -> int:
        """Runs that have a thread, or wait for one."""
        return self._places_in_all - self._places._value  # it has no other way to tell

    def close(self) -> None:
        """Take no more work; what runs goes on to its end."""
        self._pool.shutdown(wait=True, cancel_futures=True)
