"""Runs code in children of a warm fork server, each behind walls of its own (levels `full` and `seccomp`).

Here: which server, which child, what to do when one dies. The walls are in `inside/`, the talk in `conversation.py`.
"""

import os
import threading
import time
from collections.abc import Callable

from src.sandbox.attempt import Attempt, cpu_limit
from src.sandbox.child import Wants
from src.sandbox.children import Children
from src.sandbox.executor import CodeRequest, CodeResult, ErrorInfo, Level
from src.sandbox.server_process import Installation, ServerProcess, Strength, Unavailable
from src.sandbox.slots import Slots

NO_NETWORK = (
    'the network cannot be granted here: {}. The node asks for it with "network": true (or the older "executor": "e2b")'
)


class ForkServerExecutor:
    """One fork server for each process of Nova: a fork of this one starts its own."""

    def __init__(self, installation: Installation, *, slots: int, kept: int = 0) -> None:
        """`slots`: attempts at once. `kept`: children that wait for the next attempt of their execution, at most."""
        self._installation = installation
        self._slots = Slots(slots)
        self._kept = kept
        self._children: Children | None = None
        self._strength: Strength | None = None
        self._lock = threading.Lock()
        self.spawned: Callable[[float], None] = lambda _: None
        """Told how many seconds the start of each child took."""

    @property
    def level(self) -> Level:
        """Raises Unavailable."""
        return self.strength.level

    @property
    def strength(self) -> Strength:
        """What was found to hold. Raises Unavailable where no walls can be raised."""
        return self._living().server.strength

    @property
    def server_pid(self) -> int:
        return self._living().server.pid

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        began = time.monotonic()
        if not self._slots.take(request.client_id, cancelled):
            return CodeResult("cancelled", error=ErrorInfo("Cancelled", "the run was taken away before the code began"))
        try:
            return self._run(request, cancelled, queued=time.monotonic() - began)
        finally:
            self._slots.give_back()

    def forget(self, execution_id: int) -> None:
        children = self._children
        if children is not None and children.server.owner == os.getpid():
            children.forget(execution_id)

    def close(self) -> None:
        with self._lock:
            if self._children is not None:
                self._children.close()
            self._children = None

    def _run(self, request: CodeRequest, cancelled: threading.Event, *, queued: float) -> CodeResult:
        try:
            children = self._living()
        except Unavailable as missing:
            return _lost(str(missing))
        refusal = self._refusal(request, children.server.strength)
        if refusal:
            return CodeResult("refused", error=ErrorInfo("NetworkRefused", refusal))
        started = time.monotonic()
        wants = Wants(request.limits.memory_mb, cpu_limit(request.limits) + 1, request.network)
        try:
            child = children.take(request.execution_id, wants)
        except (BrokenPipeError, ConnectionResetError):
            self._replace(children)
            return _lost("the fork server of the sandbox has ended")
        try:
            attempt = Attempt(request, child, children.server.strength)
        except BaseException:  # the request cannot be written down
            children.retire(child)
            raise
        try:
            attempt.hold(cancelled)
        finally:
            self._part(children, attempt, request, cancelled)
        return attempt.result(time.monotonic() - started, queued)

    def _part(self, children: Children, attempt: Attempt, request: CodeRequest, cancelled: threading.Event) -> None:
        child = attempt.child
        if child.spawn_seconds is not None:
            self.spawned(child.spawn_seconds)
            child.spawn_seconds = None
        if attempt.is_lost:
            self._replace(children)
        if attempt.may_go_on:
            children.give_back(attempt.child, request.execution_id, cancelled)
        else:
            children.retire(attempt.child)
        children.prepare(attempt.child.wants)

    def _refusal(self, request: CodeRequest, strength: Strength) -> str | None:
        if not request.network:
            return None
        if not self._installation.ports:
            return NO_NETWORK.format("SANDBOX_NETWORK_PORTS is empty")
        if not strength.network:
            return NO_NETWORK.format("this kernel has no Landlock that knows ports (Linux 6.7), so nothing bounds it")
        return None

    def _living(self) -> Children:
        """The fork server of this process and its children, started now if there is none that lives."""
        children = self._children
        if children is not None and children.server.owner == os.getpid():
            return children
        with self._lock:
            if self._children is None or self._children.server.owner != os.getpid():
                self._children = Children(self._start(), at_work=self._slots.count, kept=self._kept)
            return self._children

    def _start(self) -> ServerProcess:
        server = ServerProcess(self._installation)
        before = self._strength = self._strength or server.strength
        if not server.strength.level.reaches(before.level):
            server.close()
            raise Unavailable(
                f"walls that held before do not hold any more: {before.level}, now {server.strength.level}"
            )
        return server

    def _replace(self, lost: Children) -> None:
        """The next attempt starts another."""
        with self._lock:
            if self._children is lost:
                self._children = None
        lost.close()


def _lost(reason: str) -> CodeResult:
    return CodeResult("lost", error=ErrorInfo("SandboxLost", reason))
