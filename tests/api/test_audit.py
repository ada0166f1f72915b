"""`GET /audit`: who did what. The notes are there with the acts, and nobody can take them back."""

from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient

from src.core.about import about
from src.database import Database
from tests.api.door import Json, execute, line, save, transform


def noted(client: TestClient, **wanted: Any) -> list[Json]:
    answer = client.get("/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    events: list[Json] = answer.json()["events"]
    return events


def test_every_change_is_noted_with_its_request_and_what_was_there_before(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    mark = {"If-Match": "*", "X-Request-ID": "second"}
    client.put(f"/workflows/{workflow_id}", json=line(transform(x=2)), headers=mark)
    client.patch(f"/workflows/{workflow_id}", json={"paused": True})
    client.patch(f"/workflows/{workflow_id}", json={"paused": False})
    client.delete(f"/workflows/{workflow_id}", headers=mark)

    events = noted(client, subject=f"workflow/{workflow_id}")

    actions = ["archive", "resume", "pause", "save", "create"]
    assert [event["action"] for event in events] == [f"workflow.{action}" for action in actions]
    created, saved = events[-1], events[-2]
    assert saved["request_id"] == "second"
    assert created["after_sha256"] == saved["before_sha256"] != saved["after_sha256"]
    assert {event["actor"] for event in events} == {"anonymous"}


def test_a_run_names_who_asked_for_it_and_by_which_request(client: TestClient) -> None:
    execution = execute(client, save(client, line(transform())), None, **{"X-Request-ID": "mine"}).json()

    [run] = noted(client, action="execution.run")

    assert (run["subject"], run["request_id"]) == (f"execution/{execution['id']}", "mine")
    assert run["at"] == execution["created_at"]
    assert [each["action"] for each in noted(client, subject=run["subject"])] == ["execution.run"]


def test_a_number_that_no_execution_has_is_not_cut_to_one_that_has_it(client: TestClient) -> None:
    execution = execute(client, save(client, line(transform()))).json()

    assert noted(client, subject=f"execution/{execution['id']:018}7") == []


def test_what_operators_do_to_runs_is_noted(client: TestClient) -> None:
    node = {"id": "ask", "type": "review", "title": "?"}
    execution = execute(client, save(client, line(node))).json()
    here = f"/executions/{execution['id']}"
    for act in ("pause", "resume", "stop"):
        assert client.post(f"{here}/{act}").status_code == 200
    assert client.post(f"{here}/stop").status_code == 409

    actions = [event["action"] for event in noted(client, subject=here.strip("/").replace("executions", "execution"))]

    assert actions == ["execution.stop", "execution.resume", "execution.pause", "execution.run"]


def test_saving_what_is_refused_is_no_change_and_no_note(client: TestClient) -> None:
    save(client, line(transform()))
    before = noted(client)

    assert client.post("/workflows", json=line(transform())).status_code == 400
    assert noted(client) == before


def test_a_change_of_a_schedule_that_changes_nothing_is_no_note(client: TestClient) -> None:
    order = {"workflow_id": save(client, line(transform())), "cron": "0 7 * * *", "name": "mornings"}
    here = f"/schedules/{client.post('/schedules', json=order).json()['id']}"

    for name in ("mornings", "evenings", "evenings"):
        assert client.patch(here, json={"name": name}).status_code == 200

    actions = [event["action"] for event in noted(client, subject=here.strip("/").replace("schedules", "schedule"))]
    assert actions == ["schedule.change", "schedule.create"]


def test_pages_follow_each_other(client: TestClient) -> None:
    for place in range(5):
        save(client, line(transform(), name=f"number {place}"))
    everything = noted(client)

    first = client.get("/audit", params={"limit": 2}).json()
    second = client.get("/audit", params={"limit": 10, "before": first["next_before"]}).json()

    assert first["events"] + second["events"] == everything
    assert second["next_before"] is None


@pytest.mark.parametrize("before", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", ""])
def test_a_moment_that_is_none_is_refused(client: TestClient, before: str) -> None:
    assert client.get("/audit", params={"before": before}).status_code == 422


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events"])
def test_notes_cannot_be_changed_or_taken_out(client: TestClient, database_url: str, statement: str) -> None:
    save(client, line(transform()))

    with (
        closing(Database(database_url)) as database,
        database.engine.connect() as connection,
        pytest.raises(DBAPIError, match="append-only"),
    ):
        connection.execute(text(statement))

    assert len(noted(client)) == 1


def test_an_act_has_the_actor_that_is_in_hand(client: TestClient) -> None:
    audit = client.app.state.nova.audit  # type: ignore[attr-defined]

    with about(actor="key:ops", request_id="r"):
        audit.note("key.create", "key/1")

    [event] = noted(client, actor="key:ops")
    assert (event["action"], event["request_id"]) == ("key.create", "r")
