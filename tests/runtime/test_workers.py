"""How the workers are, as `/health/celery` tells it: nobody there, nothing moving, or all well."""

from collections.abc import Callable, Iterator

import pytest

from src.runtime.bells import Silence
from src.runtime.processes import Processes
from src.runtime.queue import Queue
from src.runtime.workers import Workers
from tests.runtime.building import HANDED_OFF, Parts, change, parts


@pytest.fixture
def made(database_url: str) -> Iterator[Parts]:
    with parts(database_url) as parts_of_one:
        yield parts_of_one


def workers(made: Parts, count_answers: Callable[[], int] = lambda: 1) -> Workers:
    return Workers(made.database, Queue(made.database, Silence()), worker_process(made), count_answers)


def worker_process(made: Parts) -> Processes:
    return Processes(made.database, own_id="worker", role="worker")


def leave_waiting(made: Parts) -> int:
    """An execution that has been in the queue for an hour."""
    claim = made.claimed()
    made.store.release(claim, HANDED_OFF)
    made.store.forget(claim)
    made_ago(made, "executions", "queued_at")
    return claim.execution_id


def made_ago(made: Parts, table: str, column: str) -> None:
    ago = "datetime('now', '-1 hour')" if made.database.is_sqlite else "now() - interval '1 hour'"
    change(made.database, f"UPDATE {table} SET {column} = {ago}")


def broker_is_away() -> int:
    raise ConnectionError("refused")


def test_workers_that_answer_and_nothing_that_waits_is_well(made: Parts) -> None:
    health = workers(made).health()

    assert (health.complaint, health.workers, health.queues) == (None, 1, {})


def test_no_answer_is_a_complaint(made: Parts) -> None:
    assert workers(made, lambda: 0).health().complaint == "no worker answers"


def test_a_broker_that_does_not_answer_is_a_complaint(made: Parts) -> None:
    assert workers(made, broker_is_away).health().complaint == "the broker does not answer: refused"


def test_a_worker_that_answers_and_takes_nothing_is_a_complaint(made: Parts) -> None:
    leave_waiting(made)

    complaint = workers(made).health().complaint

    assert complaint is not None
    assert "no worker takes it" in complaint


def test_work_that_has_waited_behind_other_work_is_none(made: Parts) -> None:
    leave_waiting(made)
    running = made.claimed()
    change(made.database, "UPDATE executions SET mode = 'celery' WHERE id = :id", id=running.execution_id)

    assert workers(made).health().complaint is None


def test_a_bell_that_was_heard_lately_is_a_sign_of_life(made: Parts) -> None:
    leave_waiting(made)
    process = worker_process(made)
    process.bell_heard = lambda: True
    process.beat()

    moving = workers(made).health()
    made_ago(made, "processes", "last_bell_at")
    silent = workers(made).health()

    assert moving.complaint is None
    assert silent.complaint is not None
