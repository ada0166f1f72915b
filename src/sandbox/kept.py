"""What came through a pipe that an author's code can write to: bounded, and read with care."""

import json
import os
from collections.abc import Iterator
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
        self.has_more = False
        """There was at least as much to read as is read at a time."""

    def take(self, descriptor: int) -> bool:
        """False at the end of the pipe. There may be nothing in it, whatever was told: code can open its own pipes once
        more, and read them before us.
        """
        try:
            data = os.read(descriptor, PIECE)
        except BlockingIOError:
            self.has_more = False
            return True
        self.has_more = len(data) == PIECE
        self.add(data)
        return bool(data)

    def take_rest(self, descriptor: int, most: int) -> None:
        """What is in the pipe now, until that is more than `most` bytes: somebody may go on writing."""
        before, end = -1, self.total + most
        while before < self.total <= end:
            before = self.total
            self.take(descriptor)

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self.kept += data[: max(0, self._limit - len(self.kept))]


class Printed(Kept):
    """Output: besides its beginning, its last line, which may be the answer of older code."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._end = bytearray()
        """The last line that says something, as far as it has come."""
        self._blank = bytearray()
        """What came after it: nothing but white space."""

    @property
    def text(self) -> str:
        text = self.kept.decode(errors="replace")
        return (
            text if self.total <= len(self.kept) else f"{text}\n[cut: {self.total - len(self.kept):,} more characters]"
        )

    @property
    def last_line(self) -> str:
        return self._end.decode(errors="replace").rstrip().rpartition("\n")[2]

    def add(self, data: bytes) -> None:
        """In a time that depends on `data` alone: it may come byte by byte, and what came before be millions."""
        super().add(data)
        said = data.rstrip()
        if said:
            line = (bytes(self._blank) + said).rpartition(b"\n")
            if line[1]:
                self._end.clear()
            self._end += line[2]
            self._blank.clear()
        self._blank += data[len(said) :]


class Inbox(Kept):
    """Messages: eight bytes of length each, and a JSON object. Who writes them may write anything."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._most = HEAD + limit
        self._waiting = bytearray()
        self.is_senseless = False
        """Something came that is no message. What comes after it cannot be told apart."""

    @property
    def is_full(self) -> bool:
        """A message is larger than any may be."""
        return len(self._waiting) > self._most

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def messages(self) -> Iterator[dict[str, Any]]:
        """Those that are complete, and were not taken yet."""
        while not self.is_senseless and len(self._waiting) >= HEAD:
            end = HEAD + int.from_bytes(self._waiting[:HEAD], "big")
            if len(self._waiting) < end or end > self._most:
                return
            content = bytes(self._waiting[HEAD:end])
            del self._waiting[:end]
            message = _parsed(content)
            if message is None:
                self.is_senseless = True
            else:
                yield message

    def add(self, data: bytes) -> None:
        if not self.is_full:
            self._waiting += data


def _parsed(content: bytes) -> dict[str, Any] | None:
    """None for whatever is no such thing: it may be forged, and nested without end."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def framed(message: dict[str, Any]) -> memoryview:
    text = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return memoryview(len(text).to_bytes(HEAD, "big") + text)
