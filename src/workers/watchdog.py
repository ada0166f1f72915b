"""Ends a worker that has gone deaf: alive, idle, and reached by no message while work waits in its queues.

Celery does so now and then after a reconnect, whatever its version. The platform starts the process anew.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from celery.worker import state
from sqlalchemy import and_, exists, func, select
from sqlalchemy.orm import aliased

from src.core.outcome import Json
from src.core.status import Status
from src.database import Database
from src.models import Client, Execution
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
        definition: of a version of a workflow, or of the graph inside one.
    """

    def __init__(
        self,
        database: Database,
        *,
        seconds: float,
        queues: Collection[str],
        count_heard: Callable[[], int],
        is_idle: Callable[[], bool],
        definition: Callable[[int, int, str | None], Mapping[str, Json]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._seconds = seconds
        self._queues = queues
        self._count_heard = count_heard
        self._is_idle = is_idle
        self._definition = definition
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
        another run of a workflow or for a client goes on that may have only so many, waits for no worker.
        """
        here = func.coalesce(Execution.queue, DEFAULT_QUEUE).in_(self._queues)
        long_ago = Execution.queued_at < moment(-self._seconds)
        query = _WAITING.where(here, long_ago, Execution.rung_at.is_not(None))
        with self._database.read() as connection:
            waiting = connection.execute(query).all()
        return any(not row.goes_on or not self._is_bounded(row) for row in waiting)

    def _is_bounded(self, row: Any) -> bool:
        definition = self._definition(row.workflow_id, row.workflow_version, row.subgraph)
        return definition.get("max_concurrent") is not None


_OTHER = aliased(Execution)
_GOES_ON = exists().where(_OTHER.status == Status.RUNNING, _OTHER.completed_at.is_(None))
_IS_LIMITED = exists().where(Client.id == Execution.client_id, Client.max_concurrent.is_not(None))
_IS_ALIKE = and_(_OTHER.workflow_id == Execution.workflow_id, _OTHER.subgraph.is_not_distinct_from(Execution.subgraph))
_WAITING = (
    select(
        Execution.workflow_id,
        Execution.workflow_version,
        Execution.subgraph,
        _GOES_ON.where(_IS_ALIKE).label("goes_on"),
    )
    .where(Execution.status == Status.QUEUED, Execution.completed_at.is_(None))
    .where(~and_(_IS_LIMITED, _GOES_ON.where(_OTHER.client_id == Execution.client_id)))
    .distinct()
)
"""The graphs that something waits for and whether another run of them goes on; without clients that are at work and may
have only so many runs at once.
"""


def _end() -> None:
    timer = threading.Timer(LAST_SECONDS, os._exit, args=[EXIT_CODE])
    timer.daemon = True
    timer.start()
    state.should_stop = EXIT_CODE
    os.kill(os.getpid(), signal.SIGQUIT)
