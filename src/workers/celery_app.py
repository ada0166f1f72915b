"""The worker door: `celery -A src.workers.celery_app worker`. How Celery is set up stands in `runtime/broker.py`."""

import logging
import sys
from pathlib import Path
from typing import Any

from celery import signals
from celery.schedules import crontab

from src.bootstrap import broker_of
from src.logs import write_logs
from src.runtime.broker import make_celery
from src.settings import LOCAL_REDIS, read_settings

sys.path.append(str(Path.cwd()))  # NOVA_FUNCTIONS lie there; `celery` takes it out again once it has found this file

_settings = read_settings()
celery_app = make_celery(broker_of(_settings, _settings.broker_url or LOCAL_REDIS))
celery_app.conf.include = ["src.workers.tasks", "src.workers.lifecycle"]

# `celery -A src.workers.celery_app beat`, for who wants one. Every process sweeps by itself: none is needed, two do no
# harm, and a sweep that nobody took before the next one is due may go.
SWEEP = "sweep_task"
TRIGGER_CHECK = "trigger_check_task"
_every = _settings.sweep_seconds
celery_app.conf.beat_schedule = {
    "sweep": {"task": SWEEP, "schedule": _every, "options": {"expires": _every}},
    "triggers": {"task": TRIGGER_CHECK, "schedule": crontab(minute="0", hour="6", day_of_week="1")},
}
celery_app.conf.beat_scheduler = "celery.beat:Scheduler"  # the usual one keeps pickles in a file beside the process
celery_app.set_current()


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _write_logs(loglevel: int | None = None, **_: Any) -> None:
    """In the place of Celery's own set-up, which steps back where this signal is heard."""
    write_logs(_settings.log_format, service=_service(sys.argv), level=loglevel or logging.INFO)


def _service(arguments: list[str]) -> str:
    return next((name for name in ("beat", "flower") if name in arguments), "worker")
