"""Celery, as Nova sets it up; what a broker that is away, or does not answer, costs who rings."""

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from src.bootstrap import broker_of
from src.runtime.broker import Broker, CeleryBell, make_celery
from src.runtime.queue import Queued
from src.settings import Settings
from tests.runtime.proxy import proxied
from tests.servers import free_port

BELL = Queued(1, "7e0f3f0a-0000-4000-8000-000000000001", None, 1, 1)
LONGEST_SECONDS = 30.0
"""On a busy machine. Without the short time-outs it would be minutes."""


@pytest.mark.parametrize(
    ("given", "required"),
    [
        ({}, ssl.CERT_REQUIRED),
        ({"dyno": "web.1"}, ssl.CERT_NONE),
        ({"dyno": "web.1", "broker_verify_tls": True}, ssl.CERT_REQUIRED),
        ({"broker_verify_tls": False}, ssl.CERT_NONE),
    ],
)
def test_a_broker_behind_tls_is_verified_but_where_platforms_sign_for_themselves(
    given: dict[str, Any], required: ssl.VerifyMode
) -> None:
    settings = Settings(redis_url="rediss://:secret@host:6380/0", **given)

    app = make_celery(broker_of(settings, "rediss://:secret@host:6380/0"))

    assert app.conf.broker_use_ssl == {"ssl_cert_reqs": required}
    assert app.conf.redis_backend_use_ssl == {"ssl_cert_reqs": required}


def test_a_message_is_acknowledged_early_and_nothing_of_a_run_is_celerys() -> None:
    conf = make_celery(Broker("redis://host/0")).conf

    assert (conf.task_acks_late, conf.task_ignore_result, conf.result_backend) == (False, True, None)
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert (conf.worker_disable_prefetch, conf.worker_cancel_long_running_tasks_on_connection_loss) == (True, False)


def test_the_limits_of_workers_are_settings() -> None:
    settings = Settings(worker_soft_limit_seconds=500, worker_hard_limit_seconds=501, worker_max_tasks_per_child=7)

    conf = make_celery(broker_of(settings, "redis://host/0")).conf

    assert (conf.task_soft_time_limit, conf.task_time_limit, conf.worker_max_tasks_per_child) == (500, 501, 7)


def ring_twice(port: int) -> tuple[bool, float, float]:
    """Whether the first was heard, and how long each took."""
    app = make_celery(Broker(f"redis://127.0.0.1:{port}/0"))
    bell, begun = CeleryBell(app), time.monotonic()
    is_heard = bell.ring(BELL)
    between = time.monotonic()
    bell.ring(BELL)
    app.close()
    return is_heard, between - begun, time.monotonic() - between


def test_a_broker_that_is_away_is_told_apart_soon_and_left_alone_for_a_while() -> None:
    is_heard, first, second = ring_twice(free_port())

    assert not is_heard
    assert first < LONGEST_SECONDS
    assert second < 1.0


def test_a_broker_that_accepts_and_does_not_answer_does_not_hold_up_a_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        is_heard, first, second = ring_twice(mute.getsockname()[1])

    assert not is_heard
    assert first < LONGEST_SECONDS
    assert second < 1.0


def test_a_bell_is_heard_where_there_is_a_broker(redis_url: str) -> None:
    app = make_celery(Broker(redis_url))

    assert CeleryBell(app).ring(BELL)
    app.close()


def test_a_bell_never_raises_however_often_its_connection_is_cut(redis_url: str) -> None:
    with proxied(redis_url) as (proxy, url), ThreadPoolExecutor(4) as threads:
        app = make_celery(Broker(url))
        ringing = [threads.submit(lambda: [CeleryBell(app).ring(BELL) for _ in range(150)]) for _ in range(4)]
        while not all(each.done() for each in ringing):
            proxy.cut()
            wait(ringing, timeout=0.05)

        heard = [is_heard for each in ringing for is_heard in each.result()]
        app.close()

    assert len(heard) == 600
    assert any(heard)
