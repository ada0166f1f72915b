"""Who can be told that an execution is queued: this process itself, and whoever is next when that one does not hear.

The bell that workers hear is in `broker.py`.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from src.core.errors import Busy, NotReady
from src.runtime.queue import Bell, Queued
from src.runtime.run_pool import RunPool

logger = logging.getLogger(__name__)


class LocalBell:
    """Runs what is queued in background threads of this process, as far as there is room."""

    def __init__(self, pool: RunPool, *, is_open: Callable[[], bool]) -> None:
        self.pool = pool
        self._is_open = is_open
        self._run: Callable[[int], object] | None = None
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def answer_with(self, run: Callable[[int], object]) -> None:
        """From now on what is rung for is run by this."""
        self._run = run

    def ring(self, queued: Queued) -> bool:
        execution_id, run = queued.execution_id, self._run
        if run is None or not self._is_open():
            return False
        with self._lock:
            if execution_id in self._taken:
                return True
            self._taken.add(execution_id)
        try:
            work = self.pool.submit(lambda: self._take(execution_id, run))
        except Busy:
            self._taken.discard(execution_id)
            return False
        work.add_done_callback(lambda done: _tell_if_broken(execution_id, done))
        return True

    def _take(self, execution_id: int, run: Callable[[int], object]) -> None:
        self._taken.discard(execution_id)  # from here on a bell may mean that it came back into the queue
        run(execution_id)


def _tell_if_broken(execution_id: int, work: "Future[None]") -> None:
    """Nobody waits for it: what has broken a run off would stand nowhere."""
    error = None if work.cancelled() else work.exception()
    if isinstance(error, NotReady):
        logger.warning("a run has broken off: %s", error, extra={"execution_id": execution_id})
    elif error is not None:
        logger.error("a run has broken off", exc_info=error, extra={"execution_id": execution_id})


class FallbackBell:
    """Rings for the workers; where they cannot hear it, or there are none to hear, for this process."""

    def __init__(self, workers: Bell, here: Bell, *, are_there_workers: Callable[[], bool]) -> None:
        self._workers = workers
        self._here = here
        self._are_there_workers = are_there_workers

    def ring(self, queued: Queued) -> bool:
        if queued.rings > 1 and not self._are_there_workers():  # who starts just now hears the first bell
            return self._here.ring(queued)
        return self._workers.ring(queued) or self._here.ring(queued)


class Silence:
    """Nobody listens: for commands, which run what they run themselves."""

    def ring(self, queued: Queued) -> bool:  # noqa: ARG002
        return False
