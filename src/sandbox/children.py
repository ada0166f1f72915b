"""The children of one fork server that live: which of them may take another request, and of whom.

A child that has run code takes requests of the same execution alone; it is never given to another, whoever asks.
"""

import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable

from src.sandbox.child import Child, Wants
from src.sandbox.server_process import ServerProcess


class Children:
    def __init__(self, server: ServerProcess, *, at_work: int, kept: int) -> None:
        """At most `at_work` are taken at a time; at most `kept` wait for their executions beside them."""
        self.server = server
        self._most_kept = kept
        self._places = deque(range(at_work + kept + 1))
        self._kept: OrderedDict[Child, int] = OrderedDict()
        """Those that wait, longest first -> the execution whose code they have run."""
        self._spare: Child | None = None
        """Has run nothing yet, and waits for whoever wants what the last one wanted."""
        self._lock = threading.Lock()

    def take(self, execution_id: int | None, wants: Wants) -> Child:
        """One that was kept for the execution, or one that is new. Raises OSError where none can be ordered."""
        while (child := self._pop(execution_id, wants)) is not None:
            if child.is_ready:
                return child
            self.retire(child)
        return self._new(wants)

    def give_back(self, child: Child, execution_id: int | None, unwanted: threading.Event) -> None:
        """After an attempt that ended well. Nothing is kept for a run that is over, which `unwanted` says."""
        with self._lock:
            if execution_id is None or unwanted.is_set() or not self._most_kept:
                retired = [child]
            else:
                self._kept[child] = execution_id
                retired = [self._kept.popitem(last=False)[0]] if len(self._kept) > self._most_kept else []
            self._free(retired)
        _end(retired)

    def retire(self, *retired: Child) -> None:
        """They end; the fork server lets nobody to their places before they are gone."""
        with self._lock:
            self._free(retired)
        _end(retired)

    def prepare(self, wants: Wants) -> None:
        """See that a spare one waits. It is made while the caller does something else."""
        with self._lock:
            if self._spare is not None or not self._places:
                return
            with contextlib.suppress(OSError):  # whoever wants one next is told
                self._spare = self._ordered(wants)

    def forget(self, execution_id: int) -> None:
        with self._lock:
            retired = [child for child, owner in self._kept.items() if owner == execution_id]
            for child in retired:
                del self._kept[child]
            self._free(retired)
        _end(retired)

    def close(self) -> None:
        with self._lock:
            retired = [*self._kept, *([self._spare] if self._spare else ())]
            self._kept.clear()
            self._spare = None
        _end(retired)
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
            spare, self._spare = self._spare, None
            if spare is None:
                return self._ordered(wants)
        if spare.wants == wants and spare.is_ready:
            return spare
        self.retire(spare)
        with self._lock:
            return self._ordered(wants)

    def _ordered(self, wants: Wants) -> Child:
        place = self._places.popleft()
        try:
            return Child(self.server, place, wants)
        except OSError:
            self._places.append(place)
            raise

    def _free(self, retired: Iterable[Child]) -> None:
        self._places.extend(child.place for child in retired)


def _end(children: Iterable[Child]) -> None:
    for child in children:
        child.close()
