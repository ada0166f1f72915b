"""Ends a worker that has gone deaf: alive, idle, and reached by no message while work waits in its queues.

Celery does so now and then after a reconnect, whatever its version. The platform starts the process anew.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection

from celery.worker import state
from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import aliased

from src.core.status import Status
from src.database import Database
from src.models import Execution
from src.models.columns import moment
from src.runtime.queue import DEFAULT_QUEUE

logger = logging.getLogger(__name__)

EXIT_CODE = 70
"""Other than 0, for platforms that start again only what has failed."""
LAST_SECONDS = 20.0
"""Between asking the worker to end, and ending it."""


class Watchdog:
    """
    Args:
        count_heard: how many messages have reached the pool so far.
        is_idle: nothing runs in the pool.
    """

    def __init__(
        self,
        database: Database,
        *,
        seconds: float,
        queues: Collection[str],
        count_heard: Callable[[], int],
        is_idle: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._seconds = seconds
        self._queues = queues
        self._count_heard = count_heard
        self._is_idle = is_idle
        self._clock = clock
        self._told = self._heard = count_heard()
        self._heard_at = clock()
        self._has_ended = False

    def bell_heard(self) -> bool:
        """Whether a message has come since this was asked last."""
        before, self._told = self._told, self._count_heard()
        return self._told != before

    def look(self) -> None:
        if not self._has_ended and self.is_deaf():  # told twice, a worker would drop what it has
            self._has_ended = True
            logger.error("deaf: work waits, nothing runs here, and no message came for %g s", self._seconds)
            _end()

    def is_deaf(self) -> bool:
        count = self._count_heard()
        if count != self._heard or not self._is_idle():
            self._heard, self._heard_at = count, self._clock()
        return self._clock() - self._heard_at > self._seconds and self._work_waits()

    def _work_waits(self) -> bool:
        """Something in a queue of this worker that was rung for a while ago, and again. What may wait for room, as
        another run of its workflow or for its client goes on, waits for no worker.
        """
        here = func.coalesce(Execution.queue, DEFAULT_QUEUE).in_(self._queues)
        waiting = (Execution.status == Status.QUEUED, Execution.completed_at.is_(None), here)
        long_ago = Execution.queued_at < moment(-self._seconds)
        other = aliased(Execution)
        alike = or_(other.workflow_id == Execution.workflow_id, other.client_id == Execution.client_id)
        goes_on = exists().where(other.status == Status.RUNNING, other.completed_at.is_(None), alike)
        query = select(func.count()).where(*waiting, long_ago, Execution.rung_at.is_not(None), ~goes_on)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one() > 0


def _end() -> None:
    timer = threading.Timer(LAST_SECONDS, os._exit, args=[EXIT_CODE])
    timer.daemon = True
    timer.start()
    state.should_stop = EXIT_CODE
    os.kill(os.getpid(), signal.SIGQUIT)
