"""The bell of a process itself: what it is rung for runs in its background threads."""

from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from src.runtime.bells import LocalBell
from src.runtime.queue import Queued
from src.runtime.run_pool import RunPool

PATIENCE_SECONDS = 20.0


@pytest.fixture
def pool() -> Iterator[RunPool]:
    made = RunPool(threads=1, backlog=1)
    yield made
    made.close()


def queued(execution_id: int) -> Queued:
    return Queued(execution_id, "task", None, 1, rings=1)


def test_what_is_rung_for_is_run(pool: RunPool) -> None:
    bell, taken = LocalBell(pool, is_open=lambda: True), SimpleQueue[int]()
    bell.answer_with(taken.put)

    assert bell.ring(queued(7))

    assert taken.get(timeout=PATIENCE_SECONDS) == 7


def test_a_bell_that_nobody_answers_is_not_heard(pool: RunPool) -> None:
    assert not LocalBell(pool, is_open=lambda: True).ring(queued(7))


def test_a_process_that_is_about_to_end_hears_no_bell(pool: RunPool) -> None:
    bell = LocalBell(pool, is_open=lambda: False)
    bell.answer_with(print)

    assert not bell.ring(queued(7))


def test_a_bell_is_not_heard_where_there_is_no_room(pool: RunPool) -> None:
    bell, waiting = LocalBell(pool, is_open=lambda: True), SimpleQueue[None]()
    bell.answer_with(lambda _: waiting.get(timeout=PATIENCE_SECONDS))

    heard = [bell.ring(queued(each)) for each in (1, 2, 3)]
    for _ in range(2):
        waiting.put(None)

    assert heard == [True, True, False]
