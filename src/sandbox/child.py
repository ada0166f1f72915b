"""A child of the fork server, as seen from Nova: its pipes, what it has taken, how it ended."""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import time
from dataclasses import asdict, dataclass

from src.sandbox.server_process import ServerProcess

WIDE_PIPE = 1024 * 1024
"""Bytes that a pipe holds; more of them save turns between two processes."""
MAX_STATUS = 4096
START_SECONDS = 10.0
"""More than the fork server ever takes to say what it has done."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What a child has to be made for; it cannot be changed afterwards."""

    memory_mb: int
    cpu_seconds: int
    network: bool = False


@dataclass
class Told:
    """What the fork server says of a child that has ended."""

    ended: int
    """Its exit status, or the signal that ended it as a negative number."""
    cpu_seconds: float
    max_rss_kb: int


class Child:
    """Waits for a request behind its walls, or works at one. Belongs to one thread at a time."""

    def __init__(self, server: ServerProcess, place: int, wants: Wants) -> None:
        """Raises OSError where none could be ordered."""
        self.place = place
        self.wants = wants
        self.told: Told | None = None
        self.spawn_seconds: float | None = None
        """From the order to the news of its start; for who counts, once."""
        self._ordered_at = time.monotonic()
        self._pid: int | None = None
        self._pidfd: int | None = None
        self._status: int | None = None
        """What the kernel tells of it; held open, because it is looked at after every attempt."""
        self._is_killed = False
        self._opened: set[int] = set()
        try:
            self._order(server)
        except BaseException:
            self.close()
            raise

    def _order(self, server: ServerProcess) -> None:
        request_there, self.request = self._pipe()
        self.answer, answer_there = self._pipe()
        self.output, output_there = self._pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.news, status_there = ours.detach(), theirs.detach()
        self._opened |= {self.news, status_there}
        for each in (self.request, self.answer, self.output):
            os.set_blocking(each, False)
        given = [request_there, answer_there, output_there, status_there]
        server.order({"place": self.place, **asdict(self.wants)}, given)
        for each in given:
            self._close(each)

    @property
    def is_ready(self) -> bool:
        """It has not ended, and says nothing unasked."""
        if not self.has_started and _is_readable(self.news):
            self.take_news()
        return not _is_readable(self.answer, self.output, self.news)

    def take_news(self) -> bool:
        """From the fork server: that it has started, that it has ended. False after the last of them."""
        with socket.socket(fileno=os.dup(self.news)) as news:
            message, opened, _, _ = socket.recv_fds(news, MAX_STATUS, 1)
        self._opened |= set(opened)
        told = json.loads(message or b"{}")
        if "started" in told and opened:  # none comes where this process can open no more
            self._pid, self._pidfd = told["started"], opened[0]
            self.spawn_seconds = time.monotonic() - self._ordered_at
            if self._is_killed:
                self._send_kill()
            return True
        if "ended" in told:
            self.told = Told(**told)
        return False

    @property
    def has_started(self) -> bool:
        return self._pid is not None

    def wait_for_start(self) -> None:
        """The news of it may come a moment after its answer."""
        if not self.has_started and self.told is None and _is_readable(self.news, within_seconds=START_SECONDS):
            self.take_news()

    def widen(self) -> None:
        """For a large request."""
        with contextlib.suppress(OSError):  # not granted to everybody
            fcntl.fcntl(self.request, fcntl.F_SETPIPE_SZ, WIDE_PIPE)

    def kill(self) -> None:
        """By its pidfd, which no other process can have taken over; at once, or as soon as it has started."""
        if not self._is_killed:
            self._is_killed = True
            self._send_kill()

    def close(self) -> None:
        """It ends, if it has not. The fork server waits for it."""
        self.kill()
        for descriptor in self._opened:
            os.close(descriptor)
        self._opened.clear()

    def cpu_seconds(self) -> float:
        """That it has taken so far, by the clock that the kernel keeps for each process."""
        if self.told is not None:
            return self.told.cpu_seconds
        if self._pid is None:
            return 0.0
        with contextlib.suppress(OSError):
            return time.clock_gettime(~self._pid << 3 | 2)  # CPUCLOCK_SCHED of another process
        return 0.0

    def peak_kb(self) -> int:
        """The most memory that it has had at any time; 0 where that cannot be told."""
        return self._status_of(b"VmHWM:") if self.told is None else self.told.max_rss_kb

    def threads(self) -> int:
        """0 where that cannot be told."""
        return self._status_of(b"Threads:")

    def _status_of(self, name: bytes) -> int:
        try:
            if self._status is None:
                self._status = os.open(f"/proc/{self._pid}/status", os.O_RDONLY | os.O_CLOEXEC)
                self._opened.add(self._status)
            # at the beginning of a line: the first one has a name that the code may choose
            return int(os.pread(self._status, MAX_STATUS, 0).partition(b"\n" + name)[2].split(maxsplit=1)[0])
        except (OSError, IndexError, ValueError):
            return 0

    def _send_kill(self) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._opened |= set(ends)
        return ends

    def _close(self, descriptor: int) -> None:
        self._opened.discard(descriptor)
        os.close(descriptor)


def _is_readable(*descriptors: int, within_seconds: float = 0.0) -> bool:
    """Any of them, or that its other end is closed."""
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(1000 * within_seconds))
