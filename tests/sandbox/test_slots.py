"""Who runs next where more want to than may."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from src.sandbox.slots import Slots
from tests.runtime.building import eventually

NEVER = threading.Event()


class Queue:
    """Snippets that want one place, each in a thread of its own, and the order in which they had it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.slots = Slots(1)
        self.order: list[int | None] = []
        self._threads = threads
        assert self.slots.take(None, NEVER)

    def join(self, client_id: int | None, count: int = 1) -> None:
        for _ in range(count):
            before = self.slots.waiting
            self._threads.submit(self._run, client_id)
            eventually(partial(self._is_longer_than, before))

    def _is_longer_than(self, before: int) -> bool:
        return self.slots.waiting > before

    def _run(self, client_id: int | None) -> None:
        assert self.slots.take(client_id, NEVER)
        self.order.append(client_id)
        self.slots.give_back()


def test_a_client_with_a_hundred_waiting_does_not_starve_another() -> None:
    with ThreadPoolExecutor(120) as threads:
        queue = Queue(threads)
        queue.join(1, 100)
        queue.join(2, 3)

        queue.slots.give_back()

        eventually(lambda: len(queue.order) == 103)
    assert queue.order[:7] == [1, 2, 1, 2, 1, 2, 1]


def test_clients_take_turns_in_the_order_in_which_they_came() -> None:
    with ThreadPoolExecutor(20) as threads:
        queue = Queue(threads)
        for client_id in (3, None, 3, 1, None, 3):
            queue.join(client_id)

        queue.slots.give_back()

        eventually(lambda: len(queue.order) == 6)
    assert queue.order == [3, None, 1, 3, None, 3]


def test_who_is_cancelled_while_waiting_leaves_the_line_to_others() -> None:
    with ThreadPoolExecutor(4) as threads:
        queue, cancelled = Queue(threads), threading.Event()
        left = threads.submit(queue.slots.take, 1, cancelled)
        eventually(lambda: queue.slots.waiting == 1)
        queue.join(2)

        cancelled.set()

        assert left.result(20) is False
        queue.slots.give_back()
        eventually(lambda: queue.order == [2])


def test_a_place_that_nobody_waits_for_is_there_for_the_next() -> None:
    slots = Slots(2)

    taken = [slots.take(1, NEVER), slots.take(1, NEVER)]
    slots.give_back()

    assert [*taken, slots.take(2, NEVER)] == [True, True, True]
