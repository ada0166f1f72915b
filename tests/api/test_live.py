"""A run as others see it: here and in other processes, with Redis and without, broken off and taken up again."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from src.api.routes.live import FAREWELL_SECONDS, stream_execution
from tests import servers
from tests.api.door import FUNCTIONS, LOOPBACK, decision, execute, function, line, save, transform
from tests.api.sse import Event, Stream, events_of
from tests.api.test_metrics import nova_of
from tests.api.test_server import ROOT, Server, running

WS = f"{LOOPBACK.replace('http', 'ws')}/ws"
STEPS = line(function("greet", "one"), function("report_and_wait", "two"), transform("three", x=1))


def start(server: Server, document: dict[str, Any], **context: Any) -> int:
    """Save a workflow and run it behind the request; answers the execution."""
    _, workflow = server.request("POST", "/workflows", document)
    order = {"initial_context": context}
    status, execution = server.request("POST", f"/workflows/{workflow['id']}/execute?async_mode=true", order)
    assert status == 202, execution
    return int(execution["id"])


def stream(server: Server, execution_id: int, last_event_id: str | None = None) -> Stream:
    return Stream(server.port, f"/executions/{execution_id}/stream", last_event_id)


RUNNING = ("execution", "", "running")
WHOLE = [
    *(("node", node_id, "success") for node_id in ("start", "one", "two", "three", "end")),
    ("execution", "", "completed"),
    ("done", "", "completed"),
]


def without_states_before_the_end(stream: Stream) -> list[tuple[str, str, str]]:
    """States are told as they stand: of two that follow closely on one another the first may be left out."""
    return [each for each in stream.kept() if each[0] != "execution" or each[2] == "completed"]


def test_a_stream_tells_everything_once_and_ends(database_url: str, tmp_path: Path) -> None:
    with running(database_url) as server:
        execution_id = start(server, STEPS, go=str(tmp_path / "go"))
        watched = stream(server, execution_id)
        told = watched.wait_for("progress", node_id="two", message="page 12 of 30")
        _, progress = server.request("GET", f"/executions/{execution_id}/progress")
        (tmp_path / "go").touch()
        watched.finish()
        afterwards = stream(server, execution_id).finish()

    assert (told.data["progress"], told.id) == (0.4, None)
    assert [(node["node_id"], node["message"]) for node in progress["under_way"]] == [("two", "page 12 of 30")]
    assert (progress["nodes_done"], progress["nodes_total"]) == (2, 5)
    assert without_states_before_the_end(watched) == WHOLE
    assert RUNNING in watched.kept()
    assert afterwards.kept() == WHOLE


def test_who_comes_back_gets_what_is_missing_and_nothing_twice(client: TestClient) -> None:
    execution_id = execute(client, save(client, line(function("greet", "one"), transform("two", x=1)))).json()["id"]
    whole = streamed(client, execution_id)

    for place, event in enumerate(whole):
        rest = streamed(client, execution_id, str(event.id))

        assert rest == (whole[place + 1 :] or whole[-1:])


def streamed(client: TestClient, execution_id: int, last_event_id: str = "") -> list[Event]:
    answer = client.get(f"/executions/{execution_id}/stream", headers={"Last-Event-ID": last_event_id})
    return list(events_of(answer.text.split("\n")))


def test_an_id_that_is_none_of_ours_never_hides_the_end(client: TestClient) -> None:
    execution = execute(client, save(client, line(transform(x=1)))).json()

    for nonsense in ("", "abc", "-1-x", "9" * 30, "1", "0-", "\u00e9-1", "\u0663-x"):
        answer = client.get(f"/executions/{execution['id']}/stream", headers={b"Last-Event-ID": nonsense.encode()})

        assert answer.status_code == 200
        assert "event: done" in answer.text


def test_a_failed_node_and_a_taken_branch_are_told(client: TestClient) -> None:
    document = line(decision("'left'"), function("fail"))
    document["graph_definition"]["edges"][1]["condition"] = "left"
    execution = execute(client, save(client, document)).json()

    text = client.get(f"/executions/{execution['id']}/stream").text

    assert '"decision_result":"left"' in text
    assert "the supplier does not answer" in text
    assert '"status":"failed"' in text


def test_who_comes_back_just_before_the_end_stays_a_moment_longer_too(client: TestClient) -> None:
    review = {"id": "look", "type": "review", "title": "Is this right?"}
    execution_id = execute(client, save(client, line(review))).json()["id"]

    async def body(last_event_id: str | None = None) -> AsyncIterator[Any]:
        answer = await stream_execution(execution_id, nova_of(client), last_event_id)
        return aiter(answer.body_iterator)  # type: ignore[attr-defined]

    async def seconds_after_done() -> float:
        begun = await body()
        await anext(begun)
        ids = re.findall(r"^id: (.+)$", (await anext(begun)).decode(), re.MULTILINE)
        taken_up = await body(ids[-1])
        await anext(taken_up)
        stopping = asyncio.create_task(asyncio.to_thread(client.post, f"/executions/{execution_id}/stop"))
        while b"event: done" not in await anext(taken_up):
            pass
        await stopping
        at = time.monotonic()
        assert [each async for each in taken_up] == []
        return time.monotonic() - at

    assert client.portal
    assert client.portal.call(seconds_after_done) > FAREWELL_SECONDS / 2


def test_a_stream_of_nothing_is_not_found(client: TestClient) -> None:
    answers = [client.get(f"/executions/1/{what}") for what in ("stream", "progress")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}


def test_another_process_sees_the_run_without_redis_and_goes_on_where_the_first_broke_off(
    postgres_url: str, tmp_path: Path
) -> None:
    with running(postgres_url) as runner:
        with running(postgres_url) as other:
            execution_id = start(runner, STEPS, go=str(tmp_path / "go"))
            broken_off = stream(other, execution_id)
            broken_off.wait_for("node", node_id="one")
        broken_off.finish()

        taken_up = stream(runner, execution_id, broken_off.last_event_id)
        (tmp_path / "go").touch()
        taken_up.finish()

    told = [event for event in (*broken_off.events, *taken_up.events) if event.name == "node"]
    assert [event.data["node_id"] for event in told] == ["start", "one", "two", "three", "end"]
    assert taken_up.events[-1].name == "done"


@contextmanager
def worker(database_url: str, redis_url: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "src.workers.celery_app", "worker", "--pool=solo", "--loglevel=WARNING"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "NOVA_FUNCTIONS": FUNCTIONS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_run_on_a_worker_is_seen_through_redis_and_through_sql_when_redis_dies(
    postgres_url: str, tmp_path: Path
) -> None:
    port = servers.free_port()
    redis, url = servers.start_redis(port), f"redis://127.0.0.1:{port}/0"
    try:
        with running(postgres_url, REDIS_URL=url, QUEUE_FALLBACK="wait") as server, worker(postgres_url, url):
            execution_id = start(server, STEPS, go=str(tmp_path / "go"))
            watched = stream(server, execution_id)
            watched.wait_for("progress", node_id="two")
            late = stream(server, execution_id)
            told = late.wait_for("progress", node_id="two")
            _, progress = server.request("GET", f"/executions/{execution_id}/progress")
            redis.stop()
            (tmp_path / "go").touch()

            assert without_states_before_the_end(watched.finish()) == WHOLE
            assert without_states_before_the_end(late.finish()) == WHOLE
    finally:
        redis.stop()
    assert told.data["message"] == "page 12 of 30"
    assert progress["nodes_total"] == 5


# Notices of all runs.


def told(socket: Any, *types: str) -> list[dict[str, Any]]:
    """The next notices of these types, in any order of theirs."""
    found: list[dict[str, Any]] = []
    while len(found) < len(types):
        notice = socket.receive_json()
        if notice["type"] in types:
            found.append(notice)
    assert sorted(notice["type"] for notice in found) == sorted(types)
    return found


def test_who_listens_is_told_of_every_start_and_every_end(client: TestClient) -> None:
    good, bad = (save(client, line(function(name), name=name)) for name in ("greet", "fail"))
    with client.websocket_connect(WS) as socket:
        first = execute(client, good).json()
        [started, complete] = told(socket, "task_started", "task_complete")
        execute(client, bad)
        [_, failed] = told(socket, "task_started", "task_failed")

    assert started["workflow"] == "greet"
    assert {notice["execution_id"] for notice in (started, complete)} == {first["id"]}
    assert {notice["task_id"] for notice in (started, complete)} == {first["task_id"]}
    assert "the supplier does not answer" in failed["error"]["message"]


def test_who_comes_back_to_listen_is_told_what_was_missed(client: TestClient) -> None:
    workflow_id = save(client, line(function("greet")))
    with client.websocket_connect(WS) as socket:
        execute(client, workflow_id)
        known = told(socket, "task_started", "task_complete")
    missed = execute(client, workflow_id).json()

    with client.websocket_connect(f"{WS}?last_event_id={known[-1]['event_id']}") as socket:
        notices: list[dict[str, Any]] = []
        while not notices or (notices[-1]["execution_id"], notices[-1]["type"]) != (missed["id"], "task_complete"):
            notices.append(socket.receive_json())

    assert known[-1]["event_id"] not in {notice["event_id"] for notice in notices}
    assert len({notice["event_id"] for notice in notices}) == len(notices)


def test_who_listens_is_told_of_progress_and_of_what_waits_for_a_person(client: TestClient, tmp_path: Path) -> None:
    review = {"id": "look", "type": "review", "title": "Is this right?"}
    workflow_id = save(client, line(function("report_and_wait"), review))
    with client.websocket_connect(WS) as socket:
        client.post(
            f"/workflows/{workflow_id}/execute?async_mode=true", json={"initial_context": {"go": str(tmp_path / "go")}}
        )
        [progress] = told(socket, "task_progress")
        (tmp_path / "go").touch()
        [pending] = told(socket, "hitl_pending")

    assert (progress["progress"], progress["message"], progress["event_id"]) == (0.4, "page 12 of 30", None)
    assert (pending["node_id"], pending["title"]) == ("look", "Is this right?")


def test_who_listens_may_say_anything(client: TestClient) -> None:
    workflow_id = save(client, line(function("greet")))

    with client.websocket_connect(WS) as socket:
        socket.send_text("hello")
        socket.send_bytes(b"\x01")
        execute(client, workflow_id)

        told(socket, "task_started", "task_complete")


def test_a_page_of_another_site_cannot_listen(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(WS, headers={"Origin": "http://evil.example"}):
        pass

    with client.websocket_connect(WS, headers={"Origin": LOOPBACK}):
        pass
