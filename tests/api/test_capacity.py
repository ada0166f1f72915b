"""A full server says so and writes nothing; a slow run is in nobody's way."""

import pytest

from tests.api.door import Background, execute, function, line, rows, save, serving, transform
from tests.api.functions import GATE

pytestmark = pytest.mark.usefixtures("gate")


def test_a_full_server_refuses_with_503_and_writes_nothing(database_url: str) -> None:
    with serving(database_url, inline_threads=1, inline_backlog=0) as client:
        slow = save(client, line(function("wait_at_gate"), name="slow"))
        quick = save(client, line(transform(x=1), name="quick"))
        underway = Background(lambda: execute(client, slow))
        assert GATE.reached.acquire(timeout=20)
        before = rows(database_url)

        refused = execute(client, quick)

        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["type"] == "urn:nova:problem:busy"
        assert rows(database_url) == before
        GATE.opened.set()
        assert underway.answer().json()["status"] == "completed"
        assert execute(client, quick).status_code == 200


def test_a_run_that_waits_for_a_thread_is_run_when_one_is_free(database_url: str) -> None:
    with serving(database_url, inline_threads=1, inline_backlog=1) as client:
        slow = save(client, line(function("wait_at_gate"), name="slow"))
        first = Background(lambda: execute(client, slow))
        assert GATE.reached.acquire(timeout=20)
        second = Background(lambda: execute(client, slow))
        GATE.opened.set()

        answers = [first.answer(), second.answer()]

    assert [answer.json()["status"] for answer in answers] == ["completed", "completed"]


def test_a_slow_run_blocks_neither_health_nor_lists(database_url: str) -> None:
    with serving(database_url, inline_threads=2) as client:
        slow = save(client, line(function("wait_at_gate")))
        underway = [Background(lambda: execute(client, slow)) for _ in range(2)]
        assert all(GATE.reached.acquire(timeout=20) for _ in underway)

        paths = ("/health", "/health/ready", "/workflows", "/executions", f"/workflows/{slow}")
        answers = [Background(lambda path=path: client.get(path)).answer(10) for path in paths]
        saved = Background(lambda: save(client, line(transform(x=1), name="meanwhile"))).answer(10)
        GATE.opened.set()
        ended = [each.answer() for each in underway]

    assert [answer.status_code for answer in answers] == [200] * len(paths)
    assert saved
    assert [answer.json()["status"] for answer in ended] == ["completed", "completed"]


def test_a_wrong_order_gives_its_place_back(database_url: str) -> None:
    with serving(database_url, inline_threads=1, inline_backlog=0) as client:
        quick = save(client, line(transform(x=1)))

        refusals = [execute(client, 987_654).status_code for _ in range(5)]

        assert refusals == [404] * 5
        assert execute(client, quick).status_code == 200
