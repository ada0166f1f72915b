"""The places in which snippets run at once. A wait for one is no time of the snippet."""

import os
import queue
import threading
from pathlib import Path

MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
MEMORY_OF_ONE = 256 * 1024 * 1024
MOST = 8
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
