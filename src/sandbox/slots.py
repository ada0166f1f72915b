"""The places in which snippets run at once. A wait for one is no time of the snippet."""

import os
import threading
from collections import deque
from pathlib import Path

MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
MEMORY_OF_ONE = 256 * 1024 * 1024
MOST = 8
TICK_SECONDS = 0.1


class Slots:
    """First come, first served, whoever the client is."""

    def __init__(self, count: int) -> None:
        self._free = deque(range(count))
        self._waiting: deque[_Place] = deque()
        self._lock = threading.Lock()

    def take(self, cancelled: threading.Event) -> int | None:
        """A place of one's own, by its number; None where the run was cancelled first."""
        place = _Place()
        with self._lock:
            if self._free:
                return self._free.popleft()
            self._waiting.append(place)
        while not place.is_given.wait(TICK_SECONDS):
            if cancelled.is_set():
                return self._leave(place)
        return place.slot

    def give_back(self, slot: int) -> None:
        """To the one who has waited longest."""
        with self._lock:
            if not self._waiting:
                self._free.append(slot)
                return
            place = self._waiting.popleft()
            place.slot = slot
            place.is_given.set()

    def _leave(self, place: "_Place") -> int | None:
        """Stop waiting; the place may have been given this very moment."""
        with self._lock:
            if place.slot is None:
                self._waiting.remove(place)
            return place.slot


class _Place:
    """Where somebody waits."""

    def __init__(self) -> None:
        self.slot: int | None = None
        self.is_given = threading.Event()


def usual_count() -> int:
    """Twice the cores, at most 8, and what the memory holds."""
    return max(1, min(MOST, 2 * (os.cpu_count() or 1), memory_bytes() // MEMORY_OF_ONE))


def memory_bytes() -> int:
    """Of the machine, or as much as a cgroup grants: a container sees the memory of its host."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in map(Path, MEMORY_LIMITS):
        text = limit.read_text().strip() if limit.is_file() else ""
        found += [int(text)] if text.isdecimal() else []
    return min(found)
