"""Triggers over HTTP and as a command, and what they need to know: who did not wait for the answer."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from src.__main__ import cli
from tests.api.door import action, line, save, serving, transform
from tests.api.test_server import post, running
from tests.runtime.building import eventually, rows
from tests.triggers.history import HANDED_OFF, history_in

NAMES = ["execution_time", "clients", "timeouts", "schedules", "failures"]


def command(database_url: str, *arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(cli, arguments, env={"DATABASE_URL": database_url, **environment})


def test_the_answer_has_all_that_a_page_shows(client: TestClient, database_url: str) -> None:
    with history_in(database_url) as history:
        slow = history.run(40.0, events=(HANDED_OFF,))

    found = client.get("/triggers").json()

    assert [each["name"] for each in found["triggers"]] == NAMES
    first = found["triggers"][0]
    assert (first["fires"], first["value"], first["threshold"], first["executions"]) == (True, 40.0, 25.0, [slow])
    assert first["query"].strip().startswith("SELECT")
    assert "async_mode=true" in first["advice"]
    assert (found["recommendation"], found["workers_are_on"]) == ("switch_on", False)
    assert found["verdict"] == "Switch a worker on: execution_time, timeouts."
    assert found["would_have_changed"]["sentence"].startswith("1 of 1 runs")


def test_a_workflow_has_advice(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))

    assert client.get(f"/workflows/{workflow_id}/advice").json()["run"] == "inline"
    assert client.get(f"/workflows/{workflow_id + 1}/advice").status_code == 404


def test_the_command_tells_by_its_exit_whether_any_fires(database_url: str) -> None:
    calm = command(database_url, "triggers")
    with history_in(database_url) as history:
        history.run(40.0)
    firing = command(database_url, "triggers", "--json")

    assert (calm.exit_code, firing.exit_code) == (0, 1)
    assert all(name in calm.stdout for name in NAMES)
    assert "No worker is needed" in calm.stdout
    assert json.loads(firing.stdout)["triggers"][0]["fires"] is True


@pytest.mark.parametrize(
    "environment",
    [{"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}, {"PLATFORM": "the moon"}],
    ids=["no database", "no such platform"],
)
def test_the_command_exits_with_2_where_it_cannot_check(sqlite_url: str, environment: dict[str, str]) -> None:
    ended = CliRunner().invoke(cli, ["triggers"], env={"DATABASE_URL": sqlite_url, **environment})

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip()


def test_the_command_prints_its_queries_for_the_platform(sqlite_url: str) -> None:
    printed = command(sqlite_url, "triggers", "--sql", PLATFORM="cloudflare").stdout

    assert "e.execution_time > 100.0" in printed
    assert printed.count("-- the runs behind it") == 5


def test_checks_that_were_kept_are_listed_and_make_a_forecast(client: TestClient, database_url: str) -> None:
    with history_in(database_url) as history:
        history.run(1.0)

    assert command(database_url, "triggers", "--record").exit_code == 0

    kept = client.get("/triggers/checks").json()
    assert kept["total"] == 1
    assert [each["name"] for each in kept["checks"][0]["results"]["triggers"]] == NAMES
    assert client.get("/triggers").json()["forecasts"] == []


def test_the_command_advises_by_name_and_by_id(sqlite_url: str) -> None:
    with history_in(sqlite_url) as history:
        history.runs(20, 40.0, workflow="slow")

    by_name, by_id = command(sqlite_url, "advise", "slow"), command(sqlite_url, "advise", "1")

    assert (
        by_name.stdout
        == by_id.stdout
        == "slow: worker\n  95 of 100 runs take up to 40.0 s, more than the 25 s there are.\n"
    )
    assert command(sqlite_url, "advise", "nobody").exit_code == 1


def test_the_commands_keep_and_run_schedules(sqlite_url: str) -> None:
    with history_in(sqlite_url) as history:
        history.workflow("report")

    added = command(sqlite_url, "schedules", "add", "1", "30 7 * * MON", "--timezone", "Europe/Berlin")
    refused = command(sqlite_url, "schedules", "add", "1", "61 * * * *")

    assert added.stdout.startswith("Schedule 1: At 07:30 on Monday, Europe/Berlin. Next at ")
    assert (refused.exit_code, "/cron" in refused.stderr) == (1, True)
    assert "30 7 * * MON" in command(sqlite_url, "schedules").stdout
    assert len(command(sqlite_url, "schedules", "preview", "0 0 * * *").stdout.splitlines()) == 5
    command(sqlite_url, "schedules", "disable", "1")
    assert "off" in command(sqlite_url, "schedules").stdout
    assert command(sqlite_url, "schedules", "enable", "1").exit_code == 0
    assert command(sqlite_url, "schedules", "remove", "1").exit_code == 0
    assert command(sqlite_url, "schedules", "remove", "1").exit_code == 1


def test_a_run_that_a_command_asks_a_schedule_for_is_taken_by_a_process_that_serves(sqlite_url: str) -> None:
    with serving(sqlite_url, sweep_seconds=0.1) as client:
        save(client, line(transform(x=1)))
        command(sqlite_url, "schedules", "add", "1", "0 0 1 1 *", "--context", '{"n": 1}')

        asked = command(sqlite_url, "schedules", "run", "1")

        assert asked.stdout.startswith("Execution 1 is queued")
        assert client.get("/executions/1?wait=20").json()["result"] == {"n": 1, "x": 1}


def test_a_caller_that_hangs_up_while_its_run_goes_on_is_counted(sqlite_url: str, tmp_path: Path) -> None:
    slow = line(action("import time\ntime.sleep(2)"), name="slow")
    with running(sqlite_url) as server, history_in(sqlite_url) as history:
        workflow_id = server.request("POST", "/workflows", slow)[1]["id"]

        server.hang_up(post(f"/workflows/{workflow_id}/execute", "Content-Length: 2") + b"{}")

        eventually(lambda: rows(history.database, "SELECT 1 FROM execution_events WHERE kind = 'hung_up'"), seconds=60)
        ended = "SELECT 1 FROM executions WHERE status = 'completed'"
        eventually(lambda: rows(history.database, ended), seconds=60, what="the end of the run")
        assert history.check()["timeouts"]["figures"][0]["hung_up"] == 1
