"""What a worker does beside its tasks: it sweeps, it tells its processes of its end, and it ends when it has gone deaf.

The main process starts its threads before it forks, and what they hold is of no use to its children, which build
their own parts. The end is told through a pipe that all of them have inherited.
"""

import logging
import os
import select
import signal
import threading
from types import FrameType
from typing import Any

from celery import signals
from celery.platforms import EX_FAILURE, EX_OK
from celery.worker import state

from src.core.about import bind
from src.core.errors import NotReady
from src.nova import Nova
from src.workers.process import nova
from src.workers.watchdog import Watchdog

logger = logging.getLogger(__name__)

_end_is_near, _tell_the_end = os.pipe()


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _begin(sender: Any, **_: Any) -> None:
    """In the main process, when its pool and its consumer are there."""
    try:
        parts = nova()
    except NotReady as error:  # as before a migration: a worker that cannot run anything must not take bells
        logger.error("This worker ends: %s", error)  # noqa: TRY400 -- a sentence, for an operator
        raise SystemExit(EX_FAILURE) from None
    _watch_over(parts, sender)
    parts.sweeper.start()
    for each in (signal.SIGTERM, signal.SIGQUIT):
        _end_at(each)
    if parts.settings.remap_sigterm != "SIGQUIT":
        logger.warning(
            "Set REMAP_SIGTERM=SIGQUIT: without it SIGTERM to all of a worker's processes cuts its runs off."
        )


def _watch_over(parts: Nova, consumer: Any) -> None:
    """The sweep looks whether this worker hears bells, and tells how busy it is."""
    watchdog = Watchdog(
        parts.database,
        seconds=parts.settings.worker_deaf_seconds,
        queues=[queue.name for queue in consumer.task_consumer.queues],
        count_heard=lambda: state.all_total_count[0],
        is_idle=lambda: not state.active_requests,
        definition=parts.workflows.definition,
    )
    parts.metrics.figures.gauges["worker_pool_used"] = lambda: len(state.active_requests)
    parts.metrics.figures.gauges["worker_pool_size"] = lambda: consumer.controller.concurrency
    parts.processes.bell_heard = watchdog.bell_heard
    parts.sweeper.add("watchdog", watchdog.look)


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _begin_in_the_pool(**_: Any) -> None:
    """In each process of a pool, after the fork. Built at once: the first run does not wait for it."""
    parts = nova()
    parts.sandbox.warm_up()
    threading.Thread(target=_wait_for_the_end, name="end", daemon=True).start()


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _begin_task(task_id: str, task: Any, **_: Any) -> None:
    """What is logged until the next one is about this one."""
    bind(task_id=task_id, task_name=task.name)


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    nova().close()


@signals.worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end_in_the_pool(**_: Any) -> None:
    nova().close()


def _wait_for_the_end() -> None:
    select.select([_end_is_near], [], [])  # the byte stays there, for the others
    nova().drain.begin()


def _end_at(number: signal.Signals) -> None:
    """Let the runs leave before the worker ends. Celery's own ways either wait for a run to its end, or sleep through a
    whole grace before they look again. Its warm shutdown ends as soon as nothing runs, and the drain sees to that.
    """
    celery_does = signal.getsignal(number)

    def end(got: int, frame: FrameType | None) -> None:
        os.write(_tell_the_end, b".")
        if not nova().drain.is_begun():
            nova().drain.begin(exit_code=128 + got)
            state.should_stop = state.should_stop or EX_OK  # whoever is deaf has a code of its own
        elif callable(celery_does):  # told again: whoever did this wants it to end now
            celery_does(got, frame)

    signal.signal(number, end)
