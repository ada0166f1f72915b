"""What is old goes, in small batches; what has not ended, or is referred to, stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.nova import Nova
from src.runtime.housekeeping import BATCH, EVERY_SECONDS, Housekeeping
from src.runtime.workflows import Draft
from tests.runtime.building import change, graph, rows, run_to_end, running

LONG_AGO = "2020-01-01 00:00:00.000000+00:00"
DEFINITION = graph("start -> a, a -> end", a={"type": "transform", "set": {"x": "{{ context.big }}"}})


@pytest.fixture
def nova(database_url: str) -> Iterator[Nova]:
    with running(database_url) as nova:
        yield nova


def housekeeping(nova: Nova, **days: Any) -> Housekeeping:
    return Housekeeping(nova.database, **{"runs_days": 90, "events_days": 30, **days})


def run_one(nova: Nova, big: str = "") -> int:
    workflow_id = nova.workflows.keep(Draft("one", DEFINITION))
    return int(run_to_end(nova, nova.executions.order(workflow_id, {"big": big})).row.id)


def age(nova: Nova, *execution_ids: int) -> None:
    for each in execution_ids:
        past = LONG_AGO[:26] if nova.database.is_sqlite else LONG_AGO
        change(nova.database, "UPDATE executions SET completed_at = :past WHERE id = :id", past=past, id=each)


def kept(nova: Nova) -> list[int]:
    return [row.id for row in rows(nova.database, "SELECT id FROM executions ORDER BY id")]


def count(nova: Nova, table: str) -> int:
    return int(rows(nova.database, f"SELECT count(*) AS n FROM {table}")[0].n)


def test_old_finished_runs_go_with_all_that_is_theirs(nova: Nova) -> None:
    old, new = run_one(nova), run_one(nova)
    age(nova, old)

    housekeeping(nova).tidy()

    assert kept(nova) == [new]
    assert count(nova, "chain_of_work") == 3


def test_what_has_not_ended_and_what_is_referred_to_stays(nova: Nova) -> None:
    unfinished, origin, rerun, parent, child = (run_one(nova) for _ in range(5))
    change(nova.database, "UPDATE executions SET status = 'waiting', completed_at = NULL WHERE id = :id", id=unfinished)
    change(nova.database, "UPDATE executions SET origin_id = :origin WHERE id = :id", origin=origin, id=rerun)
    change(nova.database, "UPDATE executions SET parent_id = :parent WHERE id = :id", parent=parent, id=child)
    age(nova, origin, child)

    housekeeping(nova).tidy()
    assert kept(nova) == [unfinished, origin, rerun, parent, child]
    age(nova, rerun, parent)
    housekeeping(nova).delete_runs()
    housekeeping(nova).delete_runs()

    assert kept(nova) == [unfinished]


def test_a_batch_is_small_and_a_sweep_does_many_of_them(nova: Nova) -> None:
    workflow_id = nova.workflows.keep(Draft("one", DEFINITION))
    many = [nova.dispatcher.enqueue(nova.executions.order(workflow_id, {"big": ""})) for _ in range(BATCH + 5)]
    change(nova.database, "UPDATE executions SET status = 'stopped'")
    age(nova, *many)

    assert housekeeping(nova).delete_runs() == BATCH
    housekeeping(nova).tidy()

    assert kept(nova) == []


def test_old_events_go_but_those_that_verify_counts(nova: Nova) -> None:
    execution_id = run_one(nova)
    insert = "INSERT INTO execution_events (execution_id, kind, at) VALUES (:id, :kind, :past)"
    past = LONG_AGO[:26] if nova.database.is_sqlite else LONG_AGO
    for kind in ("reviewed", "handed_off"):
        change(nova.database, insert, id=execution_id, kind=kind, past=past)

    housekeeping(nova).tidy()

    assert [row.kind for row in rows(nova.database, "SELECT kind FROM execution_events")] == ["handed_off"]


def test_a_big_value_goes_with_the_last_run_that_names_it(nova: Nova) -> None:
    first, second, other = run_one(nova, "x" * 300_000), run_one(nova, "x" * 300_000), run_one(nova, "y" * 300_000)
    assert count(nova, "blobs") == 2

    age(nova, first, other)
    housekeeping(nova).tidy()
    assert count(nova, "blobs") == 1
    age(nova, second)
    keeper = housekeeping(nova)
    keeper.delete_runs()

    assert (keeper.delete_blobs(), count(nova, "blobs")) == (1, 0)


def test_one_process_of_all_is_at_it_and_once_an_hour(nova: Nova) -> None:
    now = [1_000_000.0]
    one, other = (Housekeeping(nova.database, runs_days=90, events_days=30, clock=lambda: now[0]) for _ in range(2))
    old = run_one(nova)
    one.tidy()
    age(nova, old)

    other.tidy()
    one.tidy()
    assert kept(nova) == [old]
    now[0] += EVERY_SECONDS + 1
    other.tidy()

    assert kept(nova) == []


def test_zero_days_keep_everything(nova: Nova) -> None:
    age(nova, run_one(nova))

    housekeeping(nova, runs_days=0, events_days=0).tidy()

    assert len(kept(nova)) == 1


def test_a_sqlite_file_shrinks(sqlite_url: str) -> None:
    with running(sqlite_url) as nova:
        age(nova, *(run_one(nova, f"{place}" * 300_000) for place in range(8)))
        path = Path(nova.database.url.database or "")
        with nova.database.read() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        before = path.stat().st_size

        housekeeping(nova).tidy()
        with nova.database.read() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        assert path.stat().st_size < before / 2
