"""A worker that has gone deaf ends itself; one that is only idle, or busy, does not."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from src.core.status import Mode
from src.runtime.broker import Broker, make_celery
from src.runtime.queue import DEFAULT_QUEUE
from src.runtime.store import NewExecution
from src.runtime.workflows import Draft
from src.workers.watchdog import EXIT_CODE, Watchdog
from tests.end_to_end.fleet import END_SECONDS, fleet
from tests.runtime.building import PLAIN, Parts, add_client, change, claimed, completed, eventually, parts

DEAF_SECONDS = 120.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def made(database_url: str) -> Iterator[Parts]:
    with parts(database_url) as parts_of_one:
        yield parts_of_one


class Ear:
    """What a worker knows of itself."""

    heard = 0
    is_idle = True


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watchdog(made: Parts, ear: Ear, clock: Clock) -> Watchdog:
    return Watchdog(
        made.database,
        seconds=DEAF_SECONDS,
        queues=[DEFAULT_QUEUE],
        count_heard=lambda: ear.heard,
        is_idle=lambda: ear.is_idle,
        definition=made.workflows.definition,
        clock=clock,
    )


def leave_waiting(made: Parts, new: NewExecution | None = None, *, queue: str | None = None, rung: bool = True) -> None:
    """An execution that has been in the queue for an hour."""
    new = new or order(made, "plain", {})
    execution_id = made.store.enqueue(new, mode=Mode.CELERY)
    now = "datetime('now', '-1 hour')" if made.database.is_sqlite else "now() - interval '1 hour'"
    values = f"queued_at = {now}, rung_at = {'queued_at' if rung else 'NULL'}, queue = :queue"
    change(made.database, f"UPDATE executions SET {values} WHERE id = :id", id=execution_id, queue=queue)


def order(made: Parts, workflow: str, policy: dict[str, int], client_id: int | None = None) -> NewExecution:
    workflow_id = made.workflows.keep(Draft(workflow, PLAIN | policy))
    return NewExecution(workflow_id, 1, {}, client_id=client_id)


def test_who_hears_nothing_while_work_waits_is_deaf(made: Parts, watchdog: Watchdog, clock: Clock) -> None:
    leave_waiting(made)

    before = watchdog.is_deaf()
    clock.seconds += DEAF_SECONDS + 1

    assert (before, watchdog.is_deaf()) == (False, True)


def test_who_hears_nothing_because_there_is_nothing_is_not(watchdog: Watchdog, clock: Clock) -> None:
    clock.seconds += DEAF_SECONDS + 1

    assert not watchdog.is_deaf()


def test_who_has_heard_something_lately_is_not(made: Parts, watchdog: Watchdog, clock: Clock, ear: Ear) -> None:
    leave_waiting(made)

    clock.seconds += DEAF_SECONDS + 1
    ear.heard += 1

    assert not watchdog.is_deaf()


def test_who_is_busy_is_not(made: Parts, watchdog: Watchdog, clock: Clock, ear: Ear) -> None:
    leave_waiting(made)

    ear.is_idle = False
    clock.seconds += DEAF_SECONDS + 1

    assert not watchdog.is_deaf()


@pytest.mark.parametrize(
    ("workflows", "policy", "client_bound", "is_deaf"),
    [
        (["one", "one"], {"max_concurrent": 1}, None, False),
        (["one", "other"], {}, 1, False),
        (["one", "one"], {}, None, True),
        (["one", "other"], {"max_concurrent": 1}, None, True),
    ],
    ids=["of a bounded workflow", "for a bounded client", "of the same without bounds", "of another for the same"],
)
def test_work_that_waits_for_another_run_makes_it_deaf_only_where_no_bound_holds_it_back(
    made: Parts,
    watchdog: Watchdog,
    clock: Clock,
    workflows: list[str],
    policy: dict[str, int],
    client_bound: int | None,
    is_deaf: bool,
) -> None:
    client_id = add_client(made.database, "acme")
    change(made.database, "UPDATE clients SET max_concurrent = :bound", bound=client_bound)
    goes_on = claimed(made.store.claim(made.store.create(order(made, workflows[0], policy, client_id))))
    leave_waiting(made, order(made, workflows[1], policy, client_id))

    clock.seconds += DEAF_SECONDS + 1
    while_it_goes_on = watchdog.is_deaf()
    made.store.settle(goes_on, completed(), [])

    assert (while_it_goes_on, watchdog.is_deaf()) == (is_deaf, True)


@pytest.mark.parametrize("left", [{"queue": "analyst"}, {"rung": False}], ids=["of other queues", "nobody told of"])
def test_work_that_a_worker_could_not_hear_of_does_not_make_it_deaf(
    made: Parts, watchdog: Watchdog, clock: Clock, left: dict[str, object]
) -> None:
    leave_waiting(made, **left)  # type: ignore[arg-type]

    clock.seconds += DEAF_SECONDS + 1

    assert not watchdog.is_deaf()


def deafen(redis_url: str) -> None:
    """Tell the worker to take nothing more, until it has heard: before its first poll such a word reaches nobody."""
    app = make_celery(Broker(redis_url))
    with closing(app):
        eventually(
            lambda: app.control.cancel_consumer(DEFAULT_QUEUE, reply=True, timeout=1, limit=1),
            seconds=END_SECONDS,
            what="the worker's answer",
        )


def test_a_worker_that_takes_nothing_any_more_ends_and_its_platform_starts_it_anew(
    postgres_url: str, redis_url: str, tmp_path: Path
) -> None:
    with fleet(postgres_url, redis_url, tmp_path) as members, parts(postgres_url) as made:
        worker = members.worker(WORKER_DEAF_SECONDS="2")
        members.wait_until_ready()
        deafen(redis_url)
        leave_waiting(made)
        code = worker.process.wait(END_SECONDS)

    assert code in (EXIT_CODE, 128 + signal.SIGQUIT), "at once, or at the end of the grace"
    assert "deaf: work waits" in worker.printed
