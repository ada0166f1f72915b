"""How workflows do, from their rows: counts, failure rates, percentiles, and when a run is likely to end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from starlette.testclient import TestClient

from src.models import ChainOfWork, Execution
from src.runtime.stats import RECENT
from tests.api.door import execute, line, save, transform
from tests.runtime.building import add_taken_over

DAY = 86_400


def seed(client: TestClient, workflow_id: int, *, seconds: float, ago: float = 60.0, status: str = "completed") -> None:
    """A run that ended so long ago, with an attempt that took as long."""
    database = client.app.state.nova.database  # type: ignore[attr-defined]
    at = datetime.now(UTC) - timedelta(seconds=ago)
    row: dict[str, Any] = {"workflow_id": workflow_id, "workflow_version": 1, "status": status, "mode": "inline"}
    row |= {
        "task_id": f"{workflow_id}-{seconds}-{ago}",
        "initial_context": {},
        "lease_token": 1,
        "execution_time": seconds,
    }
    moments = {"created_at": at, "started_at": at, "completed_at": at}
    with database.write() as connection:
        added = connection.execute(insert(Execution).values(**row, **moments).returning(Execution.id)).scalar_one()
        attempt = {
            "execution_id": added,
            "lease_token": 1,
            "node_id": "compute",
            "node_type": "transform",
            "attempt": 1,
        }
        ended = {"status": {"completed": "success"}.get(status, status), "started_at": at, "timestamp": at}
        connection.execute(insert(ChainOfWork).values(**attempt, **ended, execution_time=seconds))


def test_counts_rates_and_percentiles_are_those_of_the_period(client: TestClient) -> None:
    workflow_id = save(client, line(transform()))
    for second in range(1, 101):
        seed(client, workflow_id, seconds=float(second), status="failed" if second > 90 else "completed")
    seed(client, workflow_id, seconds=1000.0, ago=3 * DAY)
    seed(client, workflow_id, seconds=2000.0, ago=20 * DAY)
    seed(client, workflow_id, seconds=3000.0, ago=40 * DAY)

    told = client.get(f"/workflows/{workflow_id}/stats").json()

    day = told["periods"]["24h"]
    assert day == {
        "executions": 100, "failed": 10, "failure_rate": pytest.approx(0.1),
        "p50_seconds": 50.0, "p95_seconds": 95.0, "p99_seconds": 99.0,
    }  # fmt: skip
    assert [told["periods"][period]["executions"] for period in ("24h", "7d", "30d")] == [100, 101, 102]
    [node] = [each for each in told["nodes"] if each["period"] == "24h"]
    assert (node["node_id"], node["node_type"], node["attempts"], node["p95_seconds"]) == (
        "compute",
        "transform",
        100,
        95,
    )


def test_a_workflow_without_runs_has_no_figures_and_an_unknown_one_is_not_found(client: TestClient) -> None:
    workflow_id = save(client, line(transform()))

    assert client.get(f"/workflows/{workflow_id}/stats").json() == {
        "workflow_id": workflow_id,
        "periods": {},
        "nodes": [],
    }
    assert client.get("/workflows/999/stats").status_code == 404


def test_a_run_that_goes_on_tells_how_long_it_will_likely_take(client: TestClient) -> None:
    workflow_id = save(client, line({"id": "rest", "type": "wait", "seconds": 5}))
    for place in range(5):
        seed(client, workflow_id, seconds=30.0, ago=60.0 + place)

    accepted = client.post(f"/workflows/{workflow_id}/execute?async_mode=true")

    assert 20 < accepted.json()["eta_seconds"] <= 30
    assert 20 < int(accepted.headers["Retry-After"]) <= 30


def test_a_retry_of_many_does_not_make_the_history_forgotten(client: TestClient) -> None:
    workflow_id = save(client, line({"id": "rest", "type": "wait", "seconds": 5}))
    for place in range(5):
        seed(client, workflow_id, seconds=30.0, ago=60.0 + place)
    add_taken_over(client.app.state.nova.database, workflow_id, RECENT)  # type: ignore[attr-defined]

    accepted = client.post(f"/workflows/{workflow_id}/execute?async_mode=true")

    assert 20 < accepted.json()["eta_seconds"] <= 30


def test_without_a_history_nothing_is_said(client: TestClient) -> None:
    workflow_id = save(client, line(transform()))

    ended = execute(client, workflow_id).json()
    accepted = client.post(f"/workflows/{workflow_id}/execute?async_mode=true")

    assert (ended["eta_seconds"], accepted.json()["eta_seconds"]) == (None, None)
    assert accepted.headers["Retry-After"] == "2"


def test_the_views_can_be_asked_in_plain_sql(client: TestClient) -> None:
    workflow_id = save(client, line(transform()))
    execute(client, workflow_id)
    database = client.app.state.nova.database  # type: ignore[attr-defined]

    with database.read() as connection:
        rows = connection.exec_driver_sql("SELECT period, executions FROM workflow_stats ORDER BY period").all()

    assert [tuple(row) for row in rows] == [("24h", 1), ("30d", 1), ("7d", 1)]
