"""How executions are found. Whether what is found is right is asked over the API, in tests/api/test_executions.py."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Select

from src.core.status import Status
from src.database import Database
from src.models import Execution
from src.runtime.search import Filter, count, newest
from src.runtime.workflows import Draft
from tests.runtime.building import change, graph, run_to_end, running

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_where_times_are_asked_for_they_order_the_page(database_url: str) -> None:
    with running(database_url) as nova:
        workflow_id = nova.workflows.keep(Draft("short", graph("start -> end")))
        first, second, imported = (
            int(run_to_end(nova, nova.executions.order(workflow_id, {})).row.id) for _ in range(3)
        )
        change(nova.database, "UPDATE executions SET created_at = '2020-01-01 00:00:00' WHERE id = :id", id=imported)

        def page(before: int | None = None) -> list[int]:
            wanted = Filter(created_from=datetime(2019, 1, 1, tzinfo=UTC), before=before)
            return [row.id for row in nova.executions.page(wanted, limit=10)[0]]

        assert page() == [second, first, imported]
        assert page(before=first) == [imported]
        assert page(before=imported) == []


def test_a_page_by_time_goes_on_where_the_last_execution_of_the_one_before_has_gone(database_url: str) -> None:
    with running(database_url) as nova:
        workflow_id = nova.workflows.keep(Draft("short", graph("start -> end")))
        first, second, third, fourth = (
            int(run_to_end(nova, nova.executions.order(workflow_id, {})).row.id) for _ in range(4)
        )
        change(nova.database, "DELETE FROM executions WHERE id = :id", id=third)

        def page(before: int) -> list[int]:
            wanted = Filter(created_from=datetime(2019, 1, 1, tzinfo=UTC), before=before)
            return [row.id for row in nova.executions.page(wanted, limit=10)[0]]

        assert page(before=fourth) == [second, first]
        assert page(before=third) == [second, first]
        assert page(before=first) == []


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(client_id=1), Filter(owner_id=1), Filter(schedule_id=1), Filter(parent_id=1), Filter(origin_id=1),
        Filter(workflow_id=1), Filter(status=Status.FAILED), Filter(status=Status.QUEUED), Filter(error_type="Error"),
        Filter(created_from=AT), Filter(created_before=AT), Filter(created_from=AT, created_before=AT, before=7),
        Filter(client_id=1, top_level=True), Filter(workflow_id=1, status=Status.FAILED, before=7),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_asked_for_is_looked_up_and_not_gone_through(sqlite_url: str, wanted: Filter) -> None:
    with closing(Database(sqlite_url)) as database:
        for query in (newest(wanted, Execution.id, limit=50, skip=0), count(wanted)):
            assert scans(plan := plan_of(database, query)) == [], plan


@pytest.mark.parametrize(
    "wanted", [Filter(), Filter(status=Status.COMPLETED), Filter(status=Status.COMPLETED, top_level=True)], ids=str
)
def test_what_nearly_all_are_is_gone_through_from_the_newest(sqlite_url: str, wanted: Filter) -> None:
    with closing(Database(sqlite_url)) as database:
        page = plan_of(database, newest(wanted, Execution.id, limit=50, skip=0))

        assert page == scans(page) != []  # in the order of the list, so it ends where the page is full
        assert scans(plan_of(database, count(wanted)))


@pytest.mark.parametrize("column", ["client_id", "workflow_id", "schedule_id", "parent_id", "origin_id"])
def test_a_time_beside_what_has_an_index_of_its_own_reads_and_sorts_all_that_this_one_finds(
    sqlite_url: str, column: str
) -> None:
    with closing(Database(sqlite_url)) as database:
        wanted = Filter(**{column: 1}, created_from=AT)  # type: ignore[arg-type]

        look_up, sort = plan_of(database, newest(wanted, Execution.id, limit=50, skip=0))

        assert look_up.endswith(f"({column}=?)")
        assert sort == "USE TEMP B-TREE FOR ORDER BY"


def plan_of(database: Database, query: Select[Any]) -> list[str]:
    text = query.compile(dialect=database.engine.dialect, compile_kwargs={"literal_binds": True}).string
    with database.read() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]


def scans(plan: list[str]) -> list[str]:
    return [step for step in plan if step.startswith("SCAN executions")]
