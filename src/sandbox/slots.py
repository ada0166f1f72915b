"""The places in which snippets run at once. A wait for one is no time of the snippet."""

import queue
import threading

TICK_SECONDS = 0.1


class Slots:
    """First come, first served, whoever the client is."""

    def __init__(self, count: int) -> None:
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(count):
            self._free.put(slot)

    def take(self, cancelled: threading.Event) -> int | None:
        """A place of one's own, by its number; None where the run was cancelled first."""
        while not cancelled.is_set():
            try:
                return self._free.get(timeout=TICK_SECONDS)
            except queue.Empty:
                continue
        return None

    def give_back(self, slot: int) -> None:
        self._free.put(slot)
