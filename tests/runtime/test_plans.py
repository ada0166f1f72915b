"""What is asked at every claim and in every sweep reads what has not ended, and never a history that grows.

SQLite is not told how much there is of anything (no ANALYZE): its plans are the same for ten rows and for a million.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from src.core.schedule import CatchUp, Overlap
from src.nova import Nova
from src.runtime.cron import Cron
from src.runtime.queue import DEFAULT_QUEUE
from src.runtime.schedules import ScheduleDraft
from src.runtime.store import NewExecution
from src.runtime.workflows import Draft
from src.workers.watchdog import Watchdog
from tests.runtime.building import change, graph, running

READ = re.compile(r"(?:SEARCH|SCAN) executions\w* ?(.*)")
OF_ALL = re.compile(
    r"|USING (COVERING )?INDEX ix_executions_(workflow_id|client_id|schedule_id|not_completed|created_at) .*"
)
"""No index, or one of everything that a workflow, a client, a schedule has ever run."""


@pytest.fixture
def nova(sqlite_url: str) -> Iterator[Nova]:
    with running(sqlite_url) as nova:
        yield nova


def read_by(nova: Nova, act: Callable[[], object]) -> set[str]:
    """What SQLite goes by where the statements of an act read executions."""
    asked: list[tuple[str, Any]] = []

    def hear(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "WITH")):
            asked.append((f"EXPLAIN QUERY PLAN {statement}", values))

    event.listen(nova.database.engine, "before_cursor_execute", hear)
    act()
    event.remove(nova.database.engine, "before_cursor_execute", hear)
    with nova.database.read() as connection:
        steps = [row[3] for each in asked for row in connection.exec_driver_sql(*each)]
    return {found[1] for step in steps if (found := READ.fullmatch(step))}


@pytest.fixture
def bounded(nova: Nova) -> NewExecution:
    nova.clients.create("acme", "acme", max_concurrent=2)
    workflow_id = nova.workflows.keep(Draft("bounded", graph("start -> end") | {"max_concurrent": 2}))
    return nova.executions.order(workflow_id, {}, "acme")


def test_a_claim_reads_what_has_not_ended(nova: Nova, bounded: NewExecution) -> None:
    execution_id = nova.dispatcher.enqueue(bounded)

    by = read_by(nova, lambda: nova.dispatcher.resume_here(execution_id))

    assert nova.executions.find(execution_id).row.status == "completed"
    assert not any(OF_ALL.fullmatch(each) for each in by), by


def test_a_sweep_reads_what_has_not_ended(nova: Nova, bounded: NewExecution) -> None:
    schedule = ScheduleDraft(bounded.workflow_id, Cron("0 * * * *"), overlap=Overlap.QUEUE, catch_up=CatchUp.ONE)
    nova.schedules.create(schedule)
    change(nova.database, "UPDATE schedules SET next_fire_at = '2026-01-01 00:00:00.000000'")

    by = read_by(nova, nova.sweeper.sweep)

    assert len(nova.executions.ids()) == 1, "it was due"
    assert not any(OF_ALL.fullmatch(each) for each in by), by


def test_a_child_that_ends_lets_the_next_one_start_by_what_has_not_ended(nova: Nova) -> None:
    each = {"type": "map", "items": "[1, 2]", "graph": graph("start -> end"), "concurrency": 1, "on_error": "collect"}
    workflow_id = nova.workflows.keep(Draft("map", graph("start -> each, each -> end", each=each)))
    parent_id, _ = nova.dispatcher.run_inline(nova.executions.order(workflow_id, {}))
    first, second = sorted(set(nova.executions.ids()) - {parent_id})

    by = read_by(nova, lambda: nova.control.stop(first))

    assert nova.executions.find(second).row.status == "queued"
    assert "USING INDEX ix_executions_parent_id_unfinished (parent_id=? AND parent_node_id=?)" in by
    assert not any(OF_ALL.fullmatch(one) for one in by), by


def test_a_bound_that_is_changed_and_a_workflow_that_goes_on_read_what_has_not_ended(
    nova: Nova, bounded: NewExecution
) -> None:
    def act() -> None:
        nova.clients.change("acme", max_concurrent=3)
        nova.control.resume_workflow(bounded.workflow_id)

    by = read_by(nova, act)

    assert by
    assert not any(OF_ALL.fullmatch(each) for each in by), by


def test_the_watchdog_reads_what_has_not_ended(nova: Nova) -> None:
    watchdog = Watchdog(
        nova.database,
        seconds=-1.0,
        queues=[DEFAULT_QUEUE],
        count_heard=lambda: 0,
        is_idle=lambda: True,
        definition=nova.workflows.definition,
    )

    by = read_by(nova, watchdog.is_deaf)

    assert by
    assert not any(OF_ALL.fullmatch(each) for each in by), by
