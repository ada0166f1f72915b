"""`/metrics`: text that Prometheus reads, figures that are right whoever of several processes counted them."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from src.api.routes.metrics import TEXT
from src.runtime.figures import MAX_WORKFLOWS, OTHERS, Figures, read_figures
from tests.api.door import action, execute, function, line, save, serving, transform
from tests.runtime.building import eventually, running

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(client: TestClient) -> Samples:
    """Every sample by its name and labels, read by Prometheus' own parser."""
    answer = client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, TEXT)
    families = text_string_to_metric_families(answer.text)
    return {(each.name, frozenset(each.labels.items())): each.value for found in families for each in found.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_runs_nodes_and_failures_are_counted_once(client: TestClient) -> None:
    good = save(client, line(transform("a", x=1), function("greet"), name="good"))
    bad = save(client, line(action("1/0"), name="bad"))
    for workflow_id in (good, good, bad):
        execute(client, workflow_id)

    found = scraped(client)

    ended = "nova_executions_ended_total"
    assert value(found, ended, status="completed", mode="inline", workflow="good") == 2
    assert value(found, ended, status="failed", mode="inline", workflow="bad") == 1
    assert value(found, "nova_node_seconds_count", kind="function", workflow="good") == 2
    assert value(found, "nova_node_seconds_bucket", kind="function", workflow="good", le="+Inf") == 2
    assert value(found, "nova_failures_total", error_class="permanent", kind="action") == 1
    assert value(found, "nova_sandbox_spawn_seconds_count") >= 1
    assert value(found, "nova_leases_held") == 0


def test_how_things_stand_is_read_from_the_rows(client: TestClient) -> None:
    workflow_id = save(client, line({"id": "ask", "type": "review", "title": "?"}))
    execute(client, workflow_id)
    stopped = execute(client, workflow_id).json()
    client.post(f"/executions/{stopped['id']}/stop")
    eventually(lambda: processes_of(client) == ["web"], what="a sign of life")

    found = scraped(client)

    assert value(found, "nova_executions", status="waiting", mode="inline") == 1
    assert value(found, "nova_executions_ended_total", status="stopped", mode="inline", workflow="line") == 1
    assert value(found, "nova_processes", role="web") == 1
    assert value(found, "nova_inline_pool_size", role="web") == 64
    assert value(found, "nova_watchers", role="web") == 0
    assert value(found, "nova_circuits_open", role="web") == 0
    assert value(found, "nova_sweep_lag_seconds") == 0


def processes_of(client: TestClient) -> list[str]:
    from src.models import Process

    with nova_of(client).database.read() as connection:
        return list(connection.execute(Process.__table__.select().with_only_columns(Process.role)).scalars())


def nova_of(client: TestClient) -> Any:
    return client.app.state.nova  # type: ignore[attr-defined]


def test_what_waits_in_the_queue_shows_by_queue_and_age(client: TestClient) -> None:
    nova = nova_of(client)
    nova.sweeper.close()
    nova.drain.begin()  # so that nothing here takes it out again
    workflow_id = save(client, line(transform()))
    client.post(f"/workflows/{workflow_id}/execute?async_mode=true")

    found = scraped(client)

    assert value(found, "nova_queue_waiting", queue="nova") == 1
    assert value(found, "nova_queue_oldest_seconds", queue="nova") >= 0


def test_several_processes_count_together_and_all_show_the_same(database_url: str) -> None:
    with serving(database_url) as one, serving(database_url) as other:
        workflow_id = save(one, line(transform()))
        for client in (one, one, other):
            execute(client, workflow_id)
        nova_of(one).metrics.figures.flush()
        nova_of(other).metrics.figures.flush()

        totals = [
            value(scraped(client), "nova_executions_ended_total", status="completed", mode="inline", workflow="line")
            for client in (one, other)
        ]

    assert totals == [3, 3]


def test_figures_that_are_added_at_once_from_many_sides_lose_nothing(database_url: str) -> None:
    with running(database_url) as nova:
        several = [Figures(nova.database, flush_seconds=None) for _ in range(4)]

        def work(figures: Figures) -> None:
            for _ in range(10):
                figures.count("recovered", 1.0, reason="a")
                figures.count("recovered", 2.0, reason="b")
                figures.flush()

        threads = [threading.Thread(target=work, args=[figures]) for figures in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with nova.database.read() as connection:
            found = {labels["reason"]: total for labels, total in read_figures(connection)["recovered"]}

    assert found == {"a": 40, "b": 80}


def test_workflows_beyond_the_first_hundred_count_as_others(database_url: str) -> None:
    with running(database_url) as nova:
        for place in range(MAX_WORKFLOWS + 20):
            nova.metrics.figures.count("executions_ended", status="completed", workflow=str(place))
            if place % 10 == 0:
                nova.metrics.figures.flush()
        nova.metrics.figures.flush()
        with nova.database.read() as connection:
            found = {labels["workflow"]: total for labels, total in read_figures(connection)["executions_ended"]}

    assert len(found) == MAX_WORKFLOWS + 1
    assert found[OTHERS] == 20


def test_whoever_asks_again_at_once_is_no_work_for_the_database(client: TestClient) -> None:
    first = client.get("/metrics").text
    execute(client, save(client, line(transform())))

    assert client.get("/metrics").text == first


DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yml"])
def test_every_figure_that_dashboard_and_alerts_name_is_there(client: TestClient, name: str) -> None:
    execute(client, save(client, line(transform())))
    text = client.get("/metrics").text
    served = set(re.findall(r"^# TYPE (nova_\w+)", text, re.MULTILINE))
    served |= {f"{name}_bucket" for name in served} | {"nova_worker_pool_used", "nova_worker_pool_size"}
    named = set(re.findall(r"\bnova_\w+", (DEPLOY / name).read_text()))
    served |= {each for each in named if each.endswith(("_pool_used", "_pool_size", "connections_used"))}
    served |= {"nova_watchers", "nova_database_connections_size"}  # said with the first sign of life

    assert named <= served


def test_every_alert_names_a_place_in_the_runbook() -> None:
    headings = re.findall(r"^## (.+)$", (DEPLOY.parent / "docs" / "runbook.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    named = re.findall(r'runbook: "docs/runbook\.md#([\w-]+)"', (DEPLOY / "alerts.yml").read_text())

    assert named
    assert set(named) <= anchors
