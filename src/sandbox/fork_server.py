"""Runs code in children of a warm fork server, each behind walls of its own (levels `full` and `seccomp`).

Here: which server, which slot, what to do when one dies. The walls are in `inside/`, the pipes in `attempt.py`.
"""

import contextlib
import math
import os
import threading
import time

from src.core.outcome import Usage
from src.sandbox.attempt import Attempt
from src.sandbox.executor import CodeRequest, CodeResult, ErrorInfo, Level, Limits
from src.sandbox.server_process import Installation, ServerProcess, Strength, Unavailable
from src.sandbox.slots import Slots

NO_NETWORK = (
    'the network cannot be granted here: {}. The node asks for it with "network": true (or the older "executor": "e2b")'
)


class ForkServerExecutor:
    """One fork server for each process of Nova: a fork of this one starts its own."""

    def __init__(self, installation: Installation, *, slots: int) -> None:
        self._installation = installation
        self._slots = Slots(slots)
        self._server: ServerProcess | None = None
        self._strength: Strength | None = None
        self._lock = threading.Lock()

    @property
    def level(self) -> Level:
        """Raises Unavailable."""
        return self.strength.level

    @property
    def strength(self) -> Strength:
        """What was found to hold. Raises Unavailable where no walls can be raised."""
        return self._living().strength

    @property
    def server_pid(self) -> int:
        return self._living().pid

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        began = time.monotonic()
        slot = self._slots.take(cancelled)
        if slot is None:
            return CodeResult("cancelled", error=ErrorInfo("Cancelled", "the run was taken away before the code began"))
        try:
            return self._run_in(slot, request, cancelled, queued=time.monotonic() - began)
        finally:
            self._slots.give_back(slot)

    def forget(self, execution_id: int) -> None:
        pass

    def close(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.close()
            self._server = None

    def _run_in(self, slot: int, request: CodeRequest, cancelled: threading.Event, *, queued: float) -> CodeResult:
        try:
            server = self._living()
        except Unavailable as missing:
            return CodeResult("lost", error=ErrorInfo("SandboxLost", str(missing)))
        refusal = self._refusal(request, server.strength)
        if refusal:
            return CodeResult("refused", error=ErrorInfo("NetworkRefused", refusal))
        started, limits = time.monotonic(), request.limits
        cpu_seconds = cpu_limit(limits)
        order = {"slot": slot, "memory_mb": limits.memory_mb, "cpu_seconds": cpu_seconds, "network": request.network}
        attempt = Attempt(request, cpu_seconds)
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # gone before it began: lost, as if a moment later
            attempt.hold(server, order, cancelled)
        if attempt.is_lost:
            self._replace(server)
        told = attempt.told
        usage = Usage(server.strength.level, told.cpu_seconds, told.max_rss_kb, queued)
        return attempt.result(time.monotonic() - started, usage)

    def _refusal(self, request: CodeRequest, strength: Strength) -> str | None:
        if not request.network:
            return None
        if not self._installation.ports:
            return NO_NETWORK.format("SANDBOX_NETWORK_PORTS is empty")
        if not strength.network:
            return NO_NETWORK.format("this kernel has no Landlock that knows ports (Linux 6.7), so nothing bounds it")
        return None

    def _living(self) -> ServerProcess:
        """The fork server of this process, started now if there is none that lives."""
        server = self._server
        if server is not None and server.owner == os.getpid():
            return server
        with self._lock:
            if self._server is None or self._server.owner != os.getpid():
                self._server = self._start()
            return self._server

    def _start(self) -> ServerProcess:
        server = ServerProcess(self._installation)
        before = self._strength = self._strength or server.strength
        if not server.strength.level.reaches(before.level):
            server.close()
            raise Unavailable(
                f"walls that held before do not hold any more: {before.level}, now {server.strength.level}"
            )
        return server

    def _replace(self, lost: ServerProcess) -> None:
        """The next attempt starts another."""
        with self._lock:
            if self._server is lost:
                self._server = None
        lost.close()


def cpu_limit(limits: Limits) -> int:
    """Seconds of all threads together; a second over the wall's, so that a busy loop ends as what it is: a time-out."""
    return limits.cpu_seconds or math.ceil(limits.wall_seconds) + 1
