"""One commit for all that arrives together: whoever comes first writes for those who came meanwhile."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Write = TypeVar("Write")
Answer = TypeVar("Answer")
MAX_GROUP = 64


class _Entry(Generic[Write, Answer]):
    __slots__ = ("answer", "error", "is_done", "woken", "write")

    def __init__(self, write: Write) -> None:
        self.write = write
        self.answer: Answer | None = None
        self.error: BaseException | None = None
        self.is_done = False
        self.woken = threading.Lock()
        self.woken.acquire()


class GroupCommit(Generic[Write, Answer]):
    """Calls `flush` with groups of writes, from the threads that submit them, at most `leaders` groups at a time.

    A lone writer pays nothing for it: it flushes its own write in its own thread. `flush` answers once for each write,
    in order; an answer that is an exception is raised to whoever submitted that write.
    """

    def __init__(self, flush: Callable[[Sequence[Write]], Sequence[Answer | Exception]], *, leaders: int = 1) -> None:
        self._flush = flush
        self._lock = threading.Lock()
        self._waiting: deque[_Entry[Write, Answer]] = deque()
        self._free_leaders = leaders

    def submit(self, write: Write) -> Answer:
        """Returns when the write is durable."""
        entry: _Entry[Write, Answer] = _Entry(write)
        with self._lock:
            leads = self._free_leaders > 0
            if leads:
                self._free_leaders -= 1
            else:
                self._waiting.append(entry)
        if not leads:
            entry.woken.acquire()  # by a leader: either the write is done, or it is this thread's turn to lead
        if not entry.is_done:
            self._lead(entry)
        if entry.error:
            raise entry.error
        return entry.answer  # type: ignore[return-value] # is_done: one of the two is set

    def _lead(self, first: _Entry[Write, Answer]) -> None:
        with self._lock:
            others = [self._waiting.popleft() for _ in range(min(MAX_GROUP - 1, len(self._waiting)))]
        group = [first, *others]
        try:
            self._answer(group, self._flush([entry.write for entry in group]))
        except BaseException as error:  # noqa: BLE001 -- it is raised again, by everyone who waits
            self._answer(group, [error] * len(group))
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            successor = self._waiting.popleft() if self._waiting else None
            if successor is None:
                self._free_leaders += 1
        if successor is not None:
            successor.woken.release()

    def _answer(self, group: list[_Entry[Write, Answer]], answers: Sequence[Answer | BaseException]) -> None:
        for entry, answer in zip(group, answers, strict=True):
            if isinstance(answer, BaseException):
                entry.error = answer
            else:
                entry.answer = answer
            entry.is_done = True
            entry.woken.release()
