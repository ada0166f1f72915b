"""Schedules over HTTP: kept, changed, looked at, run now, and fired by the sweep of a real process."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from src.database import Database
from tests.api.conftest import Door
from tests.api.door import Json, line, rows, save, serving, transform
from tests.runtime.building import add_client, change, eventually

HELLO = line(transform(greeting="Hello, {{ context.name }}!"), name="hello", initial_context={"name": "Ada"})


def schedule(client: TestClient, **fields: Any) -> Json:
    body = {"workflow_id": save(client, HELLO), "cron": "30 7 * * MON-FRI", "timezone": "Europe/Berlin", **fields}
    answer = client.post("/schedules", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/schedules/{answer.json()['id']}"
    shown: Json = answer.json()
    return shown


def test_a_schedule_shows_what_it_is_and_when_it_is_due(client: TestClient) -> None:
    shown = schedule(client, name="mornings", initial_context={"name": "Bob"})

    assert shown.items() >= {
        "workflow": "hello", "name": "mornings", "cron": "30 7 * * MON-FRI", "timezone": "Europe/Berlin",
        "overlap": "skip", "catch_up": "skip", "enabled": True,
    }.items()  # fmt: skip
    assert shown["description"] == "At 07:30 on Monday through Friday"
    assert len(shown["next_times"]) == 5
    assert shown["next_times"][0] == shown["next_fire_at"]
    assert client.get(f"/schedules/{shown['id']}").json() == shown
    assert client.get("/schedules").json() == {"schedules": [shown], "total": 1}
    assert client.get(f"/schedules?workflow_id={shown['workflow_id'] + 1}").json()["total"] == 0


def test_a_schedule_is_changed_field_by_field(client: TestClient) -> None:
    shown = schedule(client, name="mornings")
    here = f"/schedules/{shown['id']}"

    changed = client.patch(here, json={"cron": "0 12 * * *", "name": None, "overlap": "queue"}).json()

    assert (changed["cron"], changed["name"], changed["overlap"]) == ("0 12 * * *", None, "queue")
    assert changed["timezone"] == "Europe/Berlin"
    assert changed["next_fire_at"] != shown["next_fire_at"]
    off = client.patch(here, json={"enabled": False}).json()
    assert (off["next_fire_at"], off["next_times"]) == (None, [])


def test_a_schedule_that_is_deleted_is_gone(client: TestClient) -> None:
    here = f"/schedules/{schedule(client)['id']}"

    assert client.delete(here).status_code == 204
    assert [client.get(here).status_code, client.delete(here).status_code] == [404, 404]
    assert client.post(f"{here}/run").status_code == 404


def test_a_schedule_can_be_run_now(client: TestClient) -> None:
    shown = schedule(client, initial_context={"name": "Bob"})

    answer = client.post(f"/schedules/{shown['id']}/run")

    assert answer.status_code == 202
    ended = client.get(f"{answer.headers['location']}?wait=20").json()
    assert (ended["status"], ended["result"]["greeting"]) == ("completed", "Hello, Bob!")
    assert (ended["schedule_id"], ended["fire_at"]) == (shown["id"], None)
    after = client.get(f"/schedules/{shown['id']}").json()
    assert (after["last_execution_id"], after["last_status"]) == (ended["id"], "completed")
    assert after["next_fire_at"] == shown["next_fire_at"]
    assert client.get(f"/executions?schedule_id={shown['id']}").json()["total"] == 1


def test_the_sweep_of_a_process_fires_what_is_due(database_url: str) -> None:
    with serving(database_url, sweep_seconds=0.1) as client:
        shown = schedule(client, cron="* * * * *", overlap="allow")
        database = Database(database_url)
        _make_due(database)

        eventually(lambda: client.get("/executions?status=completed").json()["total"], what="the run")
        database.close()

        [run] = client.get("/executions").json()["executions"][-1:]
        assert (run["schedule_id"], run["mode"]) == (shown["id"], "background")
        assert run["fire_at"] < run["created_at"]


def _make_due(database: Database) -> None:
    """Since the beginning of this minute."""
    minute = "strftime('%Y-%m-%d %H:%M:00.000000', 'now')" if database.is_sqlite else "date_trunc('minute', now())"
    change(database, f"UPDATE schedules SET next_fire_at = {minute}, catch_up = 'one'")


def test_a_preview_shows_the_next_times_and_keeps_nothing(client: TestClient) -> None:
    answer = client.post("/schedules/preview", json={"cron": "0 0 1 1 *", "timezone": "Asia/Tokyo", "count": 2}).json()

    assert [each[5:16] for each in answer["times"]] == ["12-31T15:00", "12-31T15:00"]
    assert client.get("/schedules").json()["total"] == 0


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"cron": "61 * * * *"}, ["/cron"]),
        ({"cron": "* * * * * *"}, ["/cron"]),
        ({"timezone": "Mars"}, ["/timezone"]),
        ({"cron": "x", "timezone": "America"}, ["/cron", "/timezone"]),
        ({"cron": "x" * 1000}, ["/cron"]),
        ({"overlap": "maybe"}, ["/overlap"]),
        ({"catch_up": "all"}, ["/catch_up"]),
        ({"name": "\x00"}, ["/name"]),
        ({"surprise": 1}, ["/surprise"]),
        ({"workflow_id": 0}, ["/workflow_id"]),
        ({"workflow_id": None}, ["/workflow_id"]),
    ],
    ids=str,
)
def test_what_is_no_schedule_is_refused_with_its_place(door: Door, fields: Json, pointers: list[str]) -> None:
    workflow_id = save(door.client, HELLO | {"name": f"hello {fields}"[:100]})
    before = rows(door.database_url)

    answer = door.client.post("/schedules", json={"workflow_id": workflow_id, "cron": "0 * * * *", **fields})

    assert answer.status_code == 422, answer.text
    assert sorted(each["pointer"] for each in answer.json()["errors"]) == pointers
    assert rows(door.database_url) == before


def test_a_change_is_refused_with_its_place_too(client: TestClient) -> None:
    here = f"/schedules/{schedule(client)['id']}"
    before = client.get(here).json()

    answer = client.patch(here, json={"cron": "x"})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/cron")
    assert client.get(here).json() == before


def test_a_schedule_for_what_is_not_there_is_refused(client: TestClient) -> None:
    workflow_id = save(client, HELLO)

    for fields in ({"workflow_id": workflow_id + 1}, {"workflow_id": workflow_id, "client_slug": "nobody"}):
        assert client.post("/schedules", json={"cron": "0 * * * *", **fields}).status_code == 404


def test_a_schedule_for_a_client_names_it(client: TestClient, database_url: str) -> None:
    database = Database(database_url)
    client_id = add_client(database, "acme")
    database.close()

    shown = schedule(client, client_slug="acme")

    assert (shown["client_id"], shown["client_slug"]) == (client_id, "acme")
    assert client.patch(f"/schedules/{shown['id']}", json={"client_slug": None}).json()["client_id"] is None


def test_a_schedule_keeps_no_secret_of_its_client(client: TestClient) -> None:
    client.post("/clients", json={"slug": "acme"})
    client.put("/clients/acme/credentials/mail", json={"email_password": "correct horse"})

    made = schedule(client, client_slug="acme", initial_context={"note": "it is correct horse"})
    changed = client.patch(f"/schedules/{made['id']}", json={"initial_context": {"other": "correct horse"}}).json()

    told = [made, changed, client.get(f"/schedules/{made['id']}").json(), client.get("/audit").json()]
    assert list(made["initial_context"]) == ["note"]
    assert "correct horse" not in str(told)
