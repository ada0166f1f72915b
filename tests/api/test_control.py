"""Runs taken in hand: held, let go, ended; workflows that are held back; how many go at once."""

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from src.database import Database
from src.models import Execution
from src.models.columns import moment
from tests.api.door import Json, action, execute, function, line, run, save, serving
from tests.api.functions import GATE
from tests.runtime.building import eventually


def begun(client: TestClient, document: Json, context: Json | None = None) -> int:
    """Start a run behind its request; answers its id."""
    answer = client.post(
        f"/workflows/{save(client, document)}/execute?async_mode=true", json={"initial_context": context or {}}
    )
    assert answer.status_code == 202, answer.text
    return int(answer.json()["id"])


def status(client: TestClient, execution_id: int) -> str:
    return str(client.get(f"/executions/{execution_id}").json()["status"])


def ended(client: TestClient, execution_id: int) -> Json:
    found: Json = client.get(f"/executions/{execution_id}?wait=20").json()
    return found


GATED = line(function("wait_at_gate", "gate"), function("greet", "after"), name="gated")
PATIENCE_SECONDS = 30.0


def at_the_gate(client: TestClient) -> int:
    """A run whose first node is under way, and ends when the gate is opened."""
    execution_id = begun(client, GATED)
    assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)
    return execution_id


def nodes(client: TestClient, execution_id: int) -> list[str]:
    entries = client.get(f"/executions/{execution_id}/chain").json()["entries"]
    return [entry["node_id"] for entry in entries]


@pytest.mark.usefixtures("gate")
def test_a_running_execution_is_paused_at_the_next_boundary_and_goes_on_when_told(client: TestClient) -> None:
    execution_id = at_the_gate(client)

    answer = client.post(f"/executions/{execution_id}/pause")
    GATE.opened.set()

    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    eventually(lambda: status(client, execution_id) == "paused", what="the pause")
    assert nodes(client, execution_id) == ["start", "gate"]

    assert client.post(f"/executions/{execution_id}/resume").status_code == 200
    assert ended(client, execution_id)["status"] == "completed"
    assert nodes(client, execution_id) == ["start", "gate", "after", "end"]


@pytest.mark.usefixtures("gate")
def test_a_pause_that_is_taken_back_in_time_is_none(client: TestClient) -> None:
    execution_id = at_the_gate(client)
    client.post(f"/executions/{execution_id}/pause")

    client.post(f"/executions/{execution_id}/resume")
    GATE.opened.set()

    assert ended(client, execution_id)["status"] == "completed"


@pytest.mark.usefixtures("gate")
def test_a_stopped_execution_is_final_at_once_whatever_its_runner_says_later(client: TestClient) -> None:
    execution_id = at_the_gate(client)

    answer = client.post(f"/executions/{execution_id}/stop")
    GATE.opened.set()

    assert (answer.status_code, answer.json()["status"]) == (200, "stopped")
    assert GATE.left.acquire(timeout=PATIENCE_SECONDS)
    assert run(client, line(name="later")).json()["status"] == "completed"
    assert (status(client, execution_id), nodes(client, execution_id)) == ("stopped", [])
    assert client.get(f"/tasks/{answer.json()['task_id']}").json()["status"] == "REVOKED"


def test_a_stop_kills_the_code_in_flight(client: TestClient) -> None:
    forever = action("import time\nwhile True: time.sleep(0.01)")
    execution_id = begun(client, line(forever, name="forever"))
    eventually(lambda: status(client, execution_id) == "running", what="the start")

    client.post(f"/executions/{execution_id}/stop")

    # The only place in the sandbox that the code took is free again: another run gets one.
    assert run(client, line(action("context['x'] = 1"), name="another")).json()["result"] == {"x": 1}


@pytest.mark.parametrize("what", ["pause", "resume", "stop"])
def test_what_has_ended_cannot_be_taken_in_hand(client: TestClient, what: str) -> None:
    execution_id = run(client, line()).json()["id"]

    answer = client.post(f"/executions/{execution_id}/{what}")

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:nova:problem:not_allowed"
    assert status(client, execution_id) == "completed"


@pytest.mark.parametrize("what", ["pause", "resume", "stop"])
def test_an_unknown_execution_is_404(client: TestClient, what: str) -> None:
    assert client.post(f"/executions/99999/{what}").status_code == 404


def test_a_waiting_execution_can_be_held_and_waits_on_afterwards(client: TestClient) -> None:
    wait = {"id": "pause", "type": "wait", "seconds": 3600}
    execution_id = begun(client, line(wait, name="waits"))
    eventually(lambda: status(client, execution_id) == "waiting", what="the wait")

    client.post(f"/executions/{execution_id}/pause")
    assert status(client, execution_id) == "paused"

    client.post(f"/executions/{execution_id}/resume")
    eventually(lambda: status(client, execution_id) == "waiting", what="the wait")
    entries = client.get(f"/executions/{execution_id}/chain").json()["entries"]
    assert [entry["status"] for entry in entries if entry["node_id"] == "pause"] == ["waiting"]


def test_a_wait_is_woken_when_its_time_has_come(client: TestClient) -> None:
    soon = {"id": "pause", "type": "wait", "until": "{{ context.when }}"}
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1.5))

    execution_id = begun(client, line(soon, name="soon"), {"when": moment})

    assert ended(client, execution_id)["status"] == "completed"


@pytest.mark.parametrize(
    ("until", "wakes_at"),
    [
        ("2099-12-01T08:00:00+05:30", "2099-12-01T02:30:00.000000Z"),
        ("2099-12-01T08:00:00-05:00", "2099-12-01T13:00:00.000000Z"),
        ("2099-12-01T08:00:00", "2099-12-01T08:00:00.000000Z"),
    ],
)
def test_a_moment_is_meant_in_the_zone_that_it_names(client: TestClient, until: str, wakes_at: str) -> None:
    execution_id = begun(client, line({"id": "pause", "type": "wait", "until": until}, name="waits"))

    eventually(lambda: status(client, execution_id) == "waiting", what="the wait")

    assert client.get(f"/executions/{execution_id}").json()["wake_at"] == wakes_at


@pytest.mark.parametrize("until", ["9999-12-31T23:00:00-05:00", "0001-01-01T00:00:00+05:00"])
def test_a_moment_beyond_all_calendars_fails_the_node(client: TestClient, until: str) -> None:
    found = run(client, line({"id": "pause", "type": "wait", "until": until}, name="waits")).json()

    assert (found["status"], found["error"]["type"]) == ("failed", "OverflowError")


def test_a_paused_workflow_takes_new_runs_only_into_the_queue(client: TestClient) -> None:
    workflow_id = save(client, line(name="held"))
    paused = client.patch(f"/workflows/{workflow_id}", json={"paused": True})
    assert paused.json()["paused_at"] is not None

    refused = execute(client, workflow_id)
    held = client.post(f"/workflows/{workflow_id}/execute?async_mode=true").json()

    assert (refused.status_code, refused.json()["type"]) == (409, "urn:nova:problem:workflow_paused")
    assert (held["status"], held["waiting_for"]) == ("paused", "workflow")

    assert client.patch(f"/workflows/{workflow_id}", json={"paused": False}).json()["paused_at"] is None
    assert ended(client, held["id"])["status"] == "completed"
    assert execute(client, workflow_id).status_code == 200


def test_a_run_that_is_held_by_itself_stays_so_when_its_workflow_goes_on(client: TestClient) -> None:
    workflow_id = save(client, line(name="held"))
    client.patch(f"/workflows/{workflow_id}", json={"paused": True})
    held, other = (client.post(f"/workflows/{workflow_id}/execute?async_mode=true").json()["id"] for _ in range(2))

    assert client.post(f"/executions/{held}/pause").json()["status"] == "paused"
    client.patch(f"/workflows/{workflow_id}", json={"paused": False})

    assert ended(client, other)["status"] == "completed"
    assert status(client, held) == "paused"
    client.post(f"/executions/{held}/resume")
    assert ended(client, held)["status"] == "completed"


def test_no_more_runs_of_a_workflow_than_it_allows_go_at_once_and_the_others_in_order(
    client: TestClient, tmp_path: Path
) -> None:
    document = line(function("note_who_runs", "work"), name="limited")
    document["graph_definition"]["max_concurrent"] = 2
    workflow_id = save(client, document)
    folder = tmp_path / "marks"
    folder.mkdir()
    order: dict[str, Any] = {"initial_context": {"folder": str(folder)}}

    ids = [client.post(f"/workflows/{workflow_id}/execute?async_mode=true", json=order).json()["id"] for _ in range(8)]

    assert_two_at_once_and_in_order(client, ids, folder)


def test_no_more_runs_for_a_client_than_it_may_have_go_at_once_whatever_they_run(
    client: TestClient, tmp_path: Path
) -> None:
    client.post("/clients", json={"slug": "acme", "max_concurrent": 2})
    workflows = [save(client, line(function("note_who_runs", "work"), name=name)) for name in ("one", "other")]
    folder = tmp_path / "marks"
    folder.mkdir()
    order: dict[str, Any] = {"client_slug": "acme", "initial_context": {"folder": str(folder)}}

    asked = [f"/workflows/{workflows[place % 2]}/execute?async_mode=true" for place in range(8)]
    ids = [client.post(path, json=order).json()["id"] for path in asked]

    assert_two_at_once_and_in_order(client, ids, folder)


def rung_in_vain(database_url: str, execution_id: int) -> None:
    """As if it had waited for its turn since yesterday: the next bell by itself would be tomorrow's."""
    with closing(Database(database_url)) as database, database.write() as connection:
        often = update(Execution).where(Execution.id == execution_id).values(rings=100, rung_at=moment(0.0))
        connection.execute(often)


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("what", ["stop", "pause"])
def test_the_next_in_line_starts_when_an_operator_has_made_room(
    client: TestClient, database_url: str, what: str
) -> None:
    document = line(function("wait_at_gate", "gate"), function("greet", "after"), name="gated")
    document["graph_definition"]["max_concurrent"] = 1
    workflow_id = save(client, document)
    first, second = (client.post(f"/workflows/{workflow_id}/execute?async_mode=true").json()["id"] for _ in range(2))
    assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)
    rung_in_vain(database_url, second)

    client.post(f"/executions/{first}/{what}")
    GATE.opened.set()

    assert ended(client, second)["status"] == "completed"


@pytest.mark.usefixtures("gate")
def test_who_was_held_up_by_the_bound_of_a_client_starts_when_it_is_lifted(database_url: str) -> None:
    with serving(database_url, sweep_seconds=0.2) as client:
        client.post("/clients", json={"slug": "acme", "max_concurrent": 1})
        gated, quick = save(client, GATED), save(client, line(name="quick"))
        order = {"client_slug": "acme"}
        client.post(f"/workflows/{gated}/execute?async_mode=true", json=order)
        assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)
        held_up = client.post(f"/workflows/{quick}/execute?async_mode=true", json=order).json()["id"]
        rung_in_vain(database_url, held_up)

        client.patch("/clients/acme", json={"max_concurrent": None})

        assert ended(client, held_up)["status"] == "completed"
        GATE.opened.set()


def test_the_bound_of_a_client_can_be_lifted(client: TestClient) -> None:
    assert client.post("/clients", json={"slug": "acme", "max_concurrent": 1}).json()["max_concurrent"] == 1

    assert client.patch("/clients/acme", json={"is_active": True}).json()["max_concurrent"] == 1
    assert client.patch("/clients/acme", json={"max_concurrent": None}).json()["max_concurrent"] is None
    assert client.patch("/clients/acme", json={"max_concurrent": 0}).status_code == 422


def assert_two_at_once_and_in_order(client: TestClient, ids: list[int], folder: Path) -> None:
    assert {ended(client, execution_id)["status"] for execution_id in ids} == {"completed"}
    most = max(int(name.partition("-")[0]) for name in os.listdir(folder) if "-" in name)
    assert most <= 2
    started = [client.get(f"/executions/{execution_id}").json()["started_at"] for execution_id in ids]
    # Where both of two places are free, the second in line may be quicker than the first: nobody else passes anybody.
    assert all(sum(earlier > at for earlier in started[:place]) <= 1 for place, at in enumerate(started))


def test_a_decision_is_explained_by_what_it_read_and_where_that_came_from(client: TestClient) -> None:
    document = {
        "name": "explained",
        "nodes": [
            {"id": "start", "type": "start"},
            {"id": "sum", "type": "transform", "set": {"total": "{{ context.net * 2 }}"}},
            {"id": "ask", "type": "decision", "code": "context['total'] > 10 and context.get('vip')"},
            {"id": "yes", "type": "end"},
            {"id": "no", "type": "end"},
        ],
        "edges": [
            {"from": "start", "to": "sum"},
            {"from": "sum", "to": "ask"},
            {"from": "ask", "to": "yes", "condition": "true"},
            {"from": "ask", "to": "no", "condition": "false"},
        ],
    }
    execution_id = run(client, document, {"net": 7, "vip": True}).json()["id"]

    [told] = client.get(f"/executions/{execution_id}/explain").json()["decisions"]

    assert (told["node_id"], told["branch"]) == ("ask", "true")
    assert told["read"] == [
        {"key": "total", "value": 14, "from": "sum"},
        {"key": "vip", "value": True, "from": "initial_context"},
    ]
    assert told["text"] == "ask chose true: total was 14, from sum; vip was True, from initial_context."


def test_the_life_of_a_run_beyond_its_nodes_can_be_read(client: TestClient) -> None:
    review = {"id": "look", "type": "review"}
    execution_id = run(client, line(review)).json()["id"]
    client.post(f"/executions/{execution_id}/pause")
    client.post(f"/executions/{execution_id}/stop")

    listed = client.get(f"/executions/{execution_id}/events").json()

    assert [event["kind"] for event in listed["events"]] == ["paused", "stopped"]
    assert client.get("/executions/99/events").status_code == 404
