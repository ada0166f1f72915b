"""Celery as a bell: how it is set up, and how it is rung. Rows are the queue; a message says only where to look."""

import logging
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from src.runtime.queue import DEFAULT_QUEUE, Queued

logger = logging.getLogger(__name__)

TASK = "execute_workflow_task"
PRIORITIES = [0, 1, 2]
"""As `Priority` has them: with Redis the lowest number goes first."""
BELL_EXPIRES_SECONDS = 3600
"""Old bells evaporate after an outage; the sweep has rung again by then."""
ANSWER_SECONDS = 1.0
SILENCE_SECONDS = 5.0
"""How long a broker that did not answer is left alone: a request that rings must not wait for it again and again."""


@dataclass(frozen=True, slots=True)
class Broker:
    """What an operator says about the broker and its workers."""

    url: str
    result_backend: str | None = None
    result_expires_seconds: int = 3600
    verify_tls: bool = True
    soft_limit_seconds: float = 540
    hard_limit_seconds: float = 600
    shutdown_seconds: float = 8
    max_tasks_per_child: int = 500
    queues: list[str] = field(default_factory=list)
    """What a worker serves that is started without `-Q`, beside the default queue."""


def make_celery(broker: Broker) -> Celery:
    """The Celery application, with every setting and its reason. Opens no connection."""
    app = Celery("nova", broker=broker.url, backend=broker.result_backend, set_as_current=False)
    app.conf.update(_bells(broker) | _workers(broker) | _results(broker) | _encryption(broker))
    return app


def _bells(broker: Broker) -> dict[str, Any]:
    """Early acknowledgement: a message may get lost, and none is ever delivered to a second worker while the first
    still runs. Recovery is the lease's work, and rings again.
    """
    return {
        "task_acks_late": False,
        "task_default_queue": DEFAULT_QUEUE,
        "task_queues": [KombuQueue(name, routing_key=name) for name in (DEFAULT_QUEUE, *broker.queues)],
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
        "broker_transport_options": _TRANSPORT,
        "broker_pool_limit": 10,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # the default gives up after 100 tries
    }


def _workers(broker: Broker) -> dict[str, Any]:
    """One message at a time for each process: another would wait behind a long run."""
    return {
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_soft_shutdown_timeout": broker.shutdown_seconds,
        "worker_max_tasks_per_child": broker.max_tasks_per_child,
        "worker_max_memory_per_child": 300_000,
        "worker_proc_alive_timeout": 30,
        "worker_hijack_root_logger": False,
        "task_soft_time_limit": broker.soft_limit_seconds,
        "task_time_limit": broker.hard_limit_seconds,
    }


def _results(broker: Broker) -> dict[str, Any]:
    """Results are rows. Who wants `AsyncResult` to tell a state gets one that expires; nothing here reads it."""
    return {
        "task_ignore_result": broker.result_backend is None,
        "task_track_started": broker.result_backend is not None,
        "result_expires": broker.result_expires_seconds,
        "worker_send_task_events": False,
        "task_send_sent_event": False,
    }


def _encryption(broker: Broker) -> dict[str, Any]:
    if not broker.url.startswith("rediss://"):
        return {}
    tls = {"ssl_cert_reqs": ssl.CERT_REQUIRED if broker.verify_tls else ssl.CERT_NONE}
    return {"broker_use_ssl": tls, "redis_backend_use_ssl": tls}


_TRANSPORT: dict[str, Any] = {
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "visibility_timeout": 3600,
    "global_keyprefix": "nova:",
    "priority_steps": PRIORITIES,
}
"""Without the time-outs, a Redis that accepts and does not answer holds up a request for over a minute."""


_UNHEARD = (OperationalError, RedisError, OSError, AttributeError)
"""The last is kombu's, for a connection that is cut while several threads publish: its channel has lost it by then."""


def count_answers(app: Celery) -> int:
    """How many workers answer within a second. Raises OSError where the broker does not."""
    try:
        return len(app.control.ping(timeout=ANSWER_SECONDS))
    except OperationalError as error:
        raise ConnectionError(str(error)) from None


class CeleryBell:
    """Rings by a message whose id is the execution's task id."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._silent_until = 0.0

    def ring(self, queued: Queued) -> bool:
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._app.send_task(
                TASK,
                args=(queued.execution_id,),
                task_id=queued.task_id,
                queue=queued.queue or DEFAULT_QUEUE,
                priority=queued.priority,
                expires=BELL_EXPIRES_SECONDS,
            )
        except _UNHEARD as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            logger.warning("the broker does not answer: %s", type(error).__name__)
            return False
        return True
