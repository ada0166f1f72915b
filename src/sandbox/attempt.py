"""One attempt, as seen from Nova: the pipes to a child of the fork server, what comes through them, how it ended."""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from src.core.outcome import Usage
from src.sandbox.executor import CodeRequest, CodeResult, Ended, result_of
from src.sandbox.kept import HEAD, Answer, Printed, framed
from src.sandbox.server_process import ServerProcess
from src.sandbox.verdict import why

USUAL_PIPE, WIDE_PIPE = 64 * 1024, 1024 * 1024
"""Bytes that a pipe holds; more of them save turns between two processes."""
TICK_SECONDS = 0.1
"""How often a wait looks whether the run was cancelled."""
GRACE_SECONDS = 10.0
"""Between the kill and the news that the child has ended; after that the fork server itself must be ill."""
OUT_OF_MEMORY = 72
"""See `inside/child.py`."""
MAX_STATUS = 4096


@dataclass
class Told:
    """What the fork server says of its child."""

    ended: int | None = None
    """Its exit status, or the signal that ended it as a negative number."""
    cpu_seconds: float = 0.0
    max_rss_kb: int = 0


class Attempt:
    def __init__(self, request: CodeRequest, cpu_seconds: int) -> None:
        self._limits, self._cpu_seconds = request.limits, cpu_seconds
        self.told = Told()
        self._output = Printed(request.limits.logs_bytes)
        self._answer = Answer(request.limits.result_bytes)
        self._to_send = framed({"run": {"code": request.code, "kind": request.kind, "context": request.context}})
        self._killed_as: Ended | None = None
        self._patience_ends = time.monotonic() + request.limits.wall_seconds
        self._child: int | None = None
        self._opened: set[int] = set()
        self._poll = select.poll()
        self._listeners: dict[int, Callable[[int], bool]] = {}
        """Descriptor -> what to do when it is ready; answers whether to go on listening."""

    @property
    def is_lost(self) -> bool:
        return self.told.ended is None

    def hold(self, server: ServerProcess, order: dict[str, Any], cancelled: threading.Event) -> None:
        """Have it run, and pass data on until the child has ended. Raises OSError where no child could be ordered."""
        try:
            self._begin(server, order)
            self._pass_on(cancelled)
        finally:
            for descriptor in self._opened:
                os.close(descriptor)

    def result(self, duration: float, usage: Usage) -> CodeResult:
        logs, ended = self._output.text, self._ended()
        answer = self._read_answer() if ended == "ok" else None
        if answer is not None:
            return result_of(answer, logs, self._output.last_line, duration, usage)
        ended = "crashed" if ended == "ok" else ended
        error = why(ended, self._limits, self.told.ended)
        return CodeResult(ended, logs=logs, error=error, duration_seconds=duration, usage=usage)

    def _begin(self, server: ServerProcess, order: dict[str, Any]) -> None:
        request_there, request = self._pipe()
        self._answer_pipe, answer_there = self._pipe()
        self._output_pipe, output_there = self._pipe()
        self._status, status_there = (
            each.detach() for each in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        )
        self._opened |= {self._status, status_there}
        for ours in (request, self._answer_pipe, self._output_pipe):
            os.set_blocking(ours, False)
        if len(self._to_send) > USUAL_PIPE:
            _widen(request)
        self._send(request)  # most requests fit into the pipe
        server.order(order, [request_there, answer_there, output_there, status_there])
        for theirs in (request_there, answer_there, output_there, status_there):
            self._close(theirs)
        self._listen(self._answer_pipe, self._answer.take)
        self._listen(self._output_pipe, self._output.take)
        self._listen(self._status, self._take_news)
        if self._to_send:
            self._listen(request, self._send, select.POLLOUT)

    def _pass_on(self, cancelled: threading.Event) -> None:
        while self._status in self._listeners:
            left = self._patience_ends - time.monotonic()
            if left <= 0 and self._killed_as:
                return
            if left <= 0 or cancelled.is_set():
                self._kill("timeout" if left <= 0 else "cancelled")
            for descriptor, _ in self._poll.poll(1000 * max(0.0, min(left, TICK_SECONDS))):
                if not self._listeners[descriptor](descriptor):
                    self._poll.unregister(descriptor)
                    del self._listeners[descriptor]
            self._check_amounts()
        self._answer.take_rest(self._answer_pipe)
        self._output.take_rest(self._output_pipe)
        self._check_amounts()

    def _take_news(self, status: int) -> bool:
        """From the fork server: that the child has started, that it has ended. False after the last of them."""
        with socket.socket(fileno=os.dup(status)) as news:
            message, opened, _, _ = socket.recv_fds(news, MAX_STATUS, 1)
        self._opened |= set(opened)
        told = json.loads(message or b"{}")
        if "started" in told:
            self._child = opened[0]
            if self._killed_as:
                self._send_kill()
            return True
        if "ended" in told:
            self.told = Told(**told)
        return False

    def _send(self, request: int) -> bool:
        try:
            while self._to_send:
                self._to_send = self._to_send[os.write(request, self._to_send) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            self._to_send = self._to_send[:0]
        return False

    def _check_amounts(self) -> None:
        if self._output.total > self._limits.output_bytes:
            self._kill("output_limit")
        elif self._answer.total > self._limits.result_bytes + HEAD:
            self._kill("result_limit")

    def _kill(self, ended: Ended) -> None:
        """By its pidfd, which no other process can have taken over."""
        if self._killed_as:
            return
        self._killed_as = ended
        self._patience_ends = time.monotonic() + GRACE_SECONDS
        self._send_kill()

    def _send_kill(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself meanwhile
                signal.pidfd_send_signal(self._child, signal.SIGKILL)

    def _ended(self) -> Ended:
        status = self.told.ended
        if self._killed_as:
            return self._killed_as
        if status is None:
            return "lost"
        if status == OUT_OF_MEMORY:
            return "memory"
        if status == -signal.SIGXCPU:
            return "timeout"
        if status == -signal.SIGKILL:  # not by us: the kernel's, for want of time or memory, or the code itself
            return self._ended_by_kernel()
        return "ok"

    def _ended_by_kernel(self) -> Ended:
        if self.told.cpu_seconds > 0.9 * self._cpu_seconds:
            return "timeout"
        return "memory" if self.told.max_rss_kb > 512 * self._limits.memory_mb else "crashed"

    def _read_answer(self) -> dict[str, Any] | None:
        """The result, which anybody in the child may have written."""
        kept = self._answer.kept
        if len(kept) != HEAD + int.from_bytes(kept[:HEAD], "big"):
            return None
        result = (self._answer.parsed or {}).get("result")
        return result if isinstance(result, dict) else None

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._opened |= set(ends)
        return ends

    def _close(self, descriptor: int) -> None:
        self._opened.discard(descriptor)
        os.close(descriptor)

    def _listen(self, descriptor: int, listener: Callable[[int], bool], events: int = select.POLLIN) -> None:
        self._poll.register(descriptor, events)
        self._listeners[descriptor] = listener


def _widen(pipe: int) -> None:
    with contextlib.suppress(OSError):  # not granted to everybody
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, WIDE_PIPE)
