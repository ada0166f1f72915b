"""What came through a pipe that an author's code can write to: bounded, and read with care."""

import json
import os
from typing import Any

PIECE = 65_536
HEAD = 8
"""Bytes before a message that tell its length: more than one may go either way during a run."""


class Kept:
    """The first bytes, and a count of all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.kept = bytearray()
        self.total = 0
        self.is_closed = False

    def take(self, descriptor: int) -> bool:
        data = os.read(descriptor, PIECE)
        self._keep(data)
        self.is_closed = not data
        return bool(data)

    def take_rest(self, descriptor: int) -> None:
        """What is in the pipe now, without waiting for more."""
        os.set_blocking(descriptor, False)
        try:
            while self.take(descriptor):
                pass
        except BlockingIOError:
            pass

    def _keep(self, data: bytes) -> None:
        self.total += len(data)
        self.kept += data[: max(0, self._limit - len(self.kept))]


class Printed(Kept):
    """Output: besides its beginning, its last line, which may be the answer of older code."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._end = bytearray()
        """From the last line that says something on."""

    @property
    def text(self) -> str:
        text = self.kept.decode(errors="replace")
        return (
            text if self.total <= len(self.kept) else f"{text}\n[cut: {self.total - len(self.kept):,} more characters]"
        )

    @property
    def last_line(self) -> str:
        return self._end.decode(errors="replace").rstrip().rpartition("\n")[2]

    def _keep(self, data: bytes) -> None:
        super()._keep(data)
        self._end += data
        if b"\n" in data:
            del self._end[: self._end.rstrip().rfind(b"\n") + 1]


class Answer(Kept):
    """Eight bytes of length, and a JSON object. Complete when it is all there: who holds the pipe may keep it open."""

    def __init__(self, limit: int) -> None:
        super().__init__(HEAD + limit)

    @property
    def is_complete(self) -> bool:
        return self.is_closed or self.total >= HEAD + int.from_bytes(self.kept[:HEAD], "big") >= HEAD + 1

    @property
    def parsed(self) -> dict[str, Any] | None:
        """None for whatever is no such thing: it may be forged, and nested without end."""
        try:
            found = json.loads(self.kept[HEAD:])
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def framed(message: dict[str, Any]) -> memoryview:
    text = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return memoryview(len(text).to_bytes(HEAD, "big") + text)
