"""The places in which snippets run at once. A wait for one is no time of the snippet."""

import os
import threading
from collections import OrderedDict, deque
from pathlib import Path

MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
MEMORY_OF_ONE = 256 * 1024 * 1024
MEMORY_OF_KEPT = 64 * 1024 * 1024
MOST, MOST_KEPT = 8, 64
TICK_SECONDS = 0.1


class Slots:
    """Clients that wait take turns; of one client's snippets, the one that has waited longest is next."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._waiting: OrderedDict[int | None, deque[threading.Event]] = OrderedDict()
        """The clients who wait, in the order of their turns; None is a client, too."""
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def take(self, client_id: int | None, cancelled: threading.Event) -> bool:
        """Wait for a place; False where the run was cancelled first."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = threading.Event()
            self._waiting.setdefault(client_id, deque()).append(turn)
        while not turn.wait(TICK_SECONDS):
            if cancelled.is_set():
                return self._leave(client_id, turn)
        return True

    def give_back(self) -> None:
        """To the client whose turn it is, who then waits for all others to have had theirs."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            client_id, turns = self._waiting.popitem(last=False)
            turns.popleft().set()
            if turns:
                self._waiting[client_id] = turns

    def _leave(self, client_id: int | None, turn: threading.Event) -> bool:
        """Stop waiting; the place may have been given this very moment."""
        with self._lock:
            if turn.is_set():
                return True
            self._waiting[client_id].remove(turn)
            if not self._waiting[client_id]:
                del self._waiting[client_id]
            return False


def usual_count() -> int:
    """Twice the cores, at most 8, and what the memory holds."""
    return max(1, min(MOST, 2 * (os.cpu_count() or 1), memory_bytes() // MEMORY_OF_ONE))


def usual_kept() -> int:
    """As many executions as run at once in a process, and what the memory holds: a child has a few MiB of its own."""
    return min(MOST_KEPT, memory_bytes() // MEMORY_OF_KEPT)


def memory_bytes() -> int:
    """Of the machine, or as much as a cgroup grants: a container sees the memory of its host."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in map(Path, MEMORY_LIMITS):
        text = limit.read_text().strip() if limit.is_file() else ""
        found += [int(text)] if text.isdecimal() else []
    return min(found)
