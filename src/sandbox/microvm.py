"""Runs code in a microVM for each execution, rented elsewhere (level `microvm`): the strongest wall, for a tenth of a
second and a bill. What rents them is behind a small Protocol; `e2b.py` has the one that there is.
"""

import itertools
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from src.core.outcome import Json, Usage
from src.sandbox.executor import CodeRequest, CodeResult, Ended, ErrorInfo, Level, result_of
from src.sandbox.kept import HEAD, Inbox, Printed, framed
from src.sandbox.verdict import why

RUNNER = Path(__file__).with_name("runner.py")
SPARE_SECONDS = 10.0
"""That a microVM lives longer than its code may run, should nobody be left to end it."""
TICK_SECONDS = 0.1
COMMAND = """
{{
    timeout -s KILL {seconds:g} python3 -I -X utf8 runner.py 3 4 3<{name}.request 4>&5 5>&- 2>&1 |
        head -c {output} >{name}.output
    exit ${{PIPESTATUS[0]}}
}} 5>&1 | head -c {answer} >{name}.answer
exit ${{PIPESTATUS[0]}}
"""
"""For bash. What comes out is cut there, one byte over the limit: we may not be able to hold it."""
KILLED = (124, 137)
"""What `timeout` answers for a program that it had to end."""


class VmLost(Exception):
    """There is no microVM, or none any more; says why. Never with the key in it."""


class MicroVm(Protocol):
    """A machine for one execution. Every call may raise VmLost."""

    def live_for(self, seconds: float) -> None:
        """From now on; then it ends by itself."""

    def put(self, name: str, content: bytes) -> None: ...

    def run(self, command: str, seconds: float) -> int:
        """The exit status of a command of the shell. Ends when the machine is killed."""

    def fetch(self, name: str) -> bytes: ...

    def kill(self) -> None:
        """May be called from another thread, and again."""


class MicroVms(Protocol):
    def start(self, *, internet: bool, seconds: float) -> MicroVm:
        """Raises VmLost."""


@dataclass
class _Rented:
    vm: MicroVm
    internet: bool
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)


class MicroVmExecutor:
    level = Level.MICROVM

    def __init__(self, vms: MicroVms) -> None:
        self._vms = vms
        self._rented: dict[int, list[_Rented]] = {}
        """Execution -> its machines: one, and another where a node may reach the internet. Nodes that begin side by
        side may rent one each.
        """
        self._lock = threading.Lock()

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        began = time.monotonic()
        try:
            rented = self._machine(request)
        except VmLost as lost:
            return CodeResult("lost", error=ErrorInfo("SandboxLost", str(lost)))
        started = time.monotonic()
        attempt = _Attempt(request, rented)
        try:
            attempt.hold(cancelled)
        finally:
            if attempt.is_over_with_it or request.execution_id is None or cancelled.is_set():
                self._end(request.execution_id, rented)
        usage = Usage(self.level, queued_seconds=started - began)
        return attempt.result(time.monotonic() - started, usage)

    def forget(self, execution_id: int) -> None:
        with self._lock:
            rented = self._rented.pop(execution_id, [])
        for each in rented:
            each.vm.kill()

    def close(self) -> None:
        for execution_id in list(self._rented):
            self.forget(execution_id)

    def _machine(self, request: CodeRequest) -> _Rented:
        """That of the execution, rented now if there is none yet. Raises VmLost."""
        seconds = request.limits.wall_seconds + SPARE_SECONDS
        with self._lock:
            there = self._rented.get(request.execution_id, []) if request.execution_id is not None else []
            found = next((each for each in there if each.internet is request.network), None)
        if found is not None:
            self._prolong(found, request.execution_id, seconds)
            return found
        vm = self._vms.start(internet=request.network, seconds=seconds)
        try:
            vm.put("runner.py", RUNNER.read_bytes())
        except VmLost:
            vm.kill()
            raise
        rented = _Rented(vm, request.network)
        if request.execution_id is not None:
            with self._lock:
                self._rented.setdefault(request.execution_id, []).append(rented)
        return rented

    def _prolong(self, found: _Rented, execution_id: int | None, seconds: float) -> None:
        try:
            found.vm.live_for(seconds)
        except VmLost:
            self._end(execution_id, found)
            raise

    def _end(self, execution_id: int | None, rented: _Rented) -> None:
        with self._lock:
            if execution_id is not None and rented in self._rented.get(execution_id, []):
                self._rented[execution_id].remove(rented)
        rented.vm.kill()


class _Attempt:
    """One snippet: its request becomes a file there, its answer and what it printed come back as files."""

    def __init__(self, request: CodeRequest, rented: _Rented) -> None:
        self._request, self._limits, self._vm = request, request.limits, rented.vm
        self._name = f"attempt-{next(rented.numbers)}"
        self._output = Printed(request.limits.logs_bytes)
        self._inbox = Inbox(request.limits.result_bytes)
        self._status: int | None = None
        self._lost: str | None = None
        self._stopped_as: Ended | None = None

    @property
    def is_over_with_it(self) -> bool:
        """The machine is not to be used again."""
        return bool(self._stopped_as or self._lost)

    def hold(self, cancelled: threading.Event) -> None:
        """In a thread of its own, so that somebody is there to end the machine."""
        work = threading.Thread(target=self._work, name="microvm", daemon=True)
        patience_ends = time.monotonic() + self._limits.wall_seconds + SPARE_SECONDS
        work.start()
        while work.is_alive():
            work.join(TICK_SECONDS)
            is_late = time.monotonic() > patience_ends
            if work.is_alive() and (cancelled.is_set() or is_late):
                self._stopped_as = "timeout" if is_late else "cancelled"
                self._vm.kill()
                return

    def result(self, duration: float, usage: Usage) -> CodeResult:
        logs, ended = self._output.text, self._ended()
        answer = self._answer() if ended == "ok" else None
        if answer is not None:
            return result_of(answer, logs, self._output.last_line, duration, usage)
        ended = "crashed" if ended == "ok" else ended
        error = ErrorInfo("SandboxLost", self._lost) if self._lost else why(ended, self._limits, self._status)
        return CodeResult(ended, logs=logs, error=error, duration_seconds=duration, usage=usage)

    def _work(self) -> None:
        try:
            self._vm.put(f"{self._name}.request", bytes(framed({"run": self._request.message})))
            self._status = self._vm.run(self._command(), self._limits.wall_seconds + SPARE_SECONDS)
            self._output.add(self._vm.fetch(f"{self._name}.output"))
            self._inbox.add(self._vm.fetch(f"{self._name}.answer"))
        except VmLost as lost:
            self._lost = self._lost or str(lost)

    def _command(self) -> str:
        return COMMAND.format(
            name=self._name,
            seconds=self._limits.wall_seconds,
            output=self._limits.output_bytes + 1,
            answer=self._limits.result_bytes + HEAD + 1,
        )

    def _ended(self) -> Ended:
        if self._stopped_as or self._lost:
            return self._stopped_as or "lost"
        if self._output.total > self._limits.output_bytes:
            return "output_limit"
        if self._inbox.is_full:
            return "result_limit"
        return "timeout" if self._status in KILLED else "ok"

    def _answer(self) -> dict[str, Json] | None:
        """The result, which anybody in there may have written."""
        results = [message["result"] for message in self._inbox.messages() if isinstance(message.get("result"), dict)]
        return results[0] if len(results) == 1 else None
