"""Writes that arrive together are flushed together, each gets its own answer, and nobody waits for ever."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from src.runtime.group_commit import MAX_GROUP, GroupCommit


class Flushes:
    """Stands in for the ledger: keeps the groups, and whether two flushes overlapped."""

    def __init__(self, answer: Callable[[int], int | Exception] = lambda write: write * 10) -> None:
        self.groups: list[list[int]] = []
        self.threads: list[int] = []
        self.overlapped = False
        self._answer = answer
        self._lock = threading.Lock()

    def __call__(self, writes: Sequence[int]) -> Sequence[int | Exception]:
        if not self._lock.acquire(blocking=False):
            self.overlapped = True
            self._lock.acquire()
        try:
            self.groups.append(list(writes))
            self.threads.append(threading.get_ident())
            time.sleep(0.001)  # a commit takes a while
            return [self._answer(write) for write in writes]
        finally:
            self._lock.release()


def submit_all(group: GroupCommit[int, int], writes: Sequence[int], *, threads: int) -> list[Future[int]]:
    """From many threads, which begin at the same moment."""
    start = threading.Barrier(threads)

    def submit_one(write: int) -> int:
        if write < threads:
            start.wait()
        return group.submit(write)

    with ThreadPoolExecutor(threads) as pool:
        return [pool.submit(submit_one, write) for write in writes]


def test_a_lone_write_is_flushed_by_the_thread_that_submits_it() -> None:
    flushes = Flushes()
    group = GroupCommit(flushes)

    answers = [group.submit(1), group.submit(2)]

    assert answers == [10, 20]
    assert flushes.groups == [[1], [2]]
    assert flushes.threads == [threading.get_ident()] * 2


def test_writes_that_arrive_together_share_flushes_and_each_gets_its_own_answer() -> None:
    flushes = Flushes()
    writes = range(1_000)

    futures = submit_all(GroupCommit(flushes), writes, threads=50)

    assert [future.result() for future in futures] == [write * 10 for write in writes]
    assert sorted(write for group in flushes.groups for write in group) == list(writes)
    assert len(flushes.groups) < len(writes) / 2
    assert not flushes.overlapped


def test_a_group_has_a_largest_size() -> None:
    flushes = Flushes()
    writes = range(4 * MAX_GROUP)

    submit_all(GroupCommit(flushes), writes, threads=2 * MAX_GROUP)

    assert max(map(len, flushes.groups)) <= MAX_GROUP
    assert sorted(write for group in flushes.groups for write in group) == list(writes)


def test_as_many_flushes_are_under_way_as_there_may_be_leaders_and_no_more() -> None:
    under_way, most = threading.Semaphore(2), threading.Event()
    both = threading.Barrier(2)
    seen: list[int] = []

    def flush(writes: Sequence[int]) -> Sequence[int]:
        assert under_way.acquire(blocking=False)
        if not most.is_set():
            both.wait(timeout=20)  # the first goes on only with the second beside it
            most.set()
        time.sleep(0.001)
        seen.extend(writes)
        under_way.release()
        return [write * 10 for write in writes]

    futures = submit_all(GroupCommit(flush, leaders=2), range(400), threads=20)

    assert [future.result() for future in futures] == [write * 10 for write in range(400)]
    assert sorted(seen) == list(range(400))


def test_an_answer_that_is_an_exception_is_raised_to_its_writer_alone() -> None:
    flushes = Flushes(lambda write: ValueError(str(write)) if write % 7 == 0 else write)
    writes = range(200)

    futures = submit_all(GroupCommit(flushes), writes, threads=20)

    for write, future in zip(writes, futures, strict=True):
        if write % 7 == 0:
            with pytest.raises(ValueError, match=f"^{write}$"):
                future.result()
        else:
            assert future.result() == write


def test_a_flush_that_breaks_is_raised_to_its_whole_group_and_the_next_group_goes_on() -> None:
    broken = threading.Event()
    groups: list[list[int]] = []

    def flush(writes: Sequence[int]) -> Sequence[int]:
        groups.append(list(writes))
        time.sleep(0.001)
        if len(groups) == 2:
            broken.set()
            raise RuntimeError("broken")
        return writes

    futures = submit_all(GroupCommit(flush), range(100), threads=20)

    assert broken.is_set()
    outcomes = {write: future.exception() for write, future in enumerate(futures)}
    assert [write for write, error in outcomes.items() if error] == sorted(groups[1])
    assert sorted(write for group in groups for write in group) == list(range(100))
