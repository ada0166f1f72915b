"""Runs get threads of their own, so many and no more; what finds no place is refused at once."""

import threading
from concurrent.futures import Future
from threading import Event

import pytest

from src.core.errors import Busy, NotReady
from src.runtime.bells import LocalBell
from src.runtime.queue import Queued
from src.runtime.run_pool import RunPool


class Held:
    """Work that is under way until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = Event()

    def __call__(self) -> str:
        self.begun.release()
        assert self.go.wait(timeout=20)
        return threading.current_thread().name


def test_work_runs_in_a_thread_of_the_pool_and_answers() -> None:
    pool = RunPool(threads=1, backlog=0)

    name = pool.submit(lambda: threading.current_thread().name).result(timeout=20)
    pool.close()

    assert name.startswith("run")


def test_so_many_run_at_once_and_so_many_wait_and_the_next_is_refused() -> None:
    pool, held = RunPool(threads=2, backlog=3), Held()

    futures = [pool.submit(held) for _ in range(5)]
    for _ in range(2):
        assert held.begun.acquire(timeout=20)

    with pytest.raises(Busy, match="2 executions run here and 3 wait"):
        pool.submit(held)
    assert not held.begun.acquire(blocking=False)
    held.go.set()
    assert len({future.result(timeout=20) for future in futures}) <= 2
    pool.close()


def test_there_is_room_again_when_something_has_ended_or_failed() -> None:
    pool = RunPool(threads=1, backlog=0)

    for _ in range(5):
        failing: Future[float] = pool.submit(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            failing.result(timeout=20)
        wait_for_room(pool)

    pool.close()


def wait_for_room(pool: RunPool) -> None:
    """A place is free a moment after the answer is there."""
    from tests.runtime.building import eventually

    def has_room() -> bool:
        try:
            pool.submit(lambda: None).result(timeout=20)
        except Busy:
            return False
        return True

    eventually(has_room)
    eventually(has_room)


def test_closing_lets_what_runs_end_and_takes_no_more() -> None:
    pool, held = RunPool(threads=1, backlog=1), Held()
    running, waiting = pool.submit(held), pool.submit(held)
    assert held.begun.acquire(timeout=20)
    closing = threading.Thread(target=pool.close)

    closing.start()
    while not waiting.cancelled():
        assert closing.is_alive()
    held.go.set()
    closing.join(timeout=20)

    assert running.result(timeout=20).startswith("run")
    with pytest.raises(Busy, match="shutting down"):
        pool.submit(held)


@pytest.mark.parametrize(
    ("error", "level"), [(OverflowError("date value out of range"), "ERROR"), (NotReady("away"), "WARNING")]
)
def test_what_breaks_a_run_off_that_nobody_waits_for_stands_in_the_log(
    error: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = RunPool(threads=1, backlog=1)

    def run(_: int) -> None:
        raise error

    bell = LocalBell(pool, is_open=lambda: True)
    bell.answer_with(run)
    assert bell.ring(Queued(7, "task", None, 1, 1))
    pool.submit(lambda: None).result(timeout=20)
    pool.close()

    [told] = caplog.records
    assert (told.levelname, told.msg.partition(":")[0], vars(told)["execution_id"]) == (
        level,
        "a run has broken off",
        7,
    )
