"""The children of one fork server that live: which of them may take another request, and of whom.

A child that has run code takes requests of the same execution alone; it is never given to another, whoever asks.
"""

import threading
from collections import OrderedDict, deque

from src.sandbox.child import Child, Wants
from src.sandbox.server_process import ServerProcess


class Children:
    def __init__(self, server: ServerProcess, *, at_work: int, kept: int) -> None:
        """At most `at_work` are taken at a time; at most `kept` wait beside them."""
        self.server = server
        self._most_kept = kept
        self._places = deque(range(at_work + kept + 1))
        self._kept: OrderedDict[Child, int] = OrderedDict()
        """Those that wait, longest first -> the execution whose code they have run."""
        self._lock = threading.Lock()

    def take(self, execution_id: int | None, wants: Wants) -> Child:
        """One that was kept for the execution, or a new one. Raises OSError where none can be ordered."""
        while (child := self._pop(execution_id, wants)) is not None:
            if child.is_ready:
                return child
            self.retire(child)
        return self._new(wants)

    def give_back(self, child: Child, execution_id: int | None, unwanted: threading.Event) -> None:
        """After an attempt that ended well. Nothing is kept for a run that is over, which `unwanted` says."""
        with self._lock:
            if execution_id is None or unwanted.is_set() or self._most_kept == 0:
                retired = [child]
            else:
                self._kept[child] = execution_id
                retired = [self._kept.popitem(last=False)[0]] if len(self._kept) > self._most_kept else []
        for each in retired:
            self.retire(each)

    def retire(self, child: Child) -> None:
        """It ends; the fork server lets nobody to its place before it is gone."""
        child.close()
        with self._lock:
            self._places.append(child.place)

    def forget(self, execution_id: int) -> None:
        with self._lock:
            retired = [child for child, owner in self._kept.items() if owner == execution_id]
            for child in retired:
                del self._kept[child]
        for child in retired:
            self.retire(child)

    def close(self) -> None:
        with self._lock:
            retired = list(self._kept)
            self._kept.clear()
        for child in retired:
            self.retire(child)
        self.server.close()

    def _pop(self, execution_id: int | None, wants: Wants) -> Child | None:
        with self._lock:
            for child, owner in self._kept.items():
                if owner == execution_id and child.wants == wants:
                    del self._kept[child]
                    return child
        return None

    def _new(self, wants: Wants) -> Child:
        with self._lock:
            place = self._places.popleft()
        try:
            return Child(self.server, place, wants)
        except OSError:
            with self._lock:
                self._places.append(place)
            raise
