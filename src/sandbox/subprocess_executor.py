"""Runs code in a plain process of its own: limits of time and output, an empty environment, no walls (level `weak`)."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from src.core.values import plain_text
from src.sandbox.executor import CodeRequest, CodeResult, Ended, ErrorInfo, Level, Limits, result_of

HEAD = 8
"""Bytes that tell the length of an answer."""
RUNNER = str(Path(__file__).with_name("runner.py"))
TICK_SECONDS = 0.1
"""How often a wait looks whether the run was cancelled."""


class SubprocessExecutor:
    level = Level.WEAK

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nova-node-") as folder:
            conversation = _Conversation(request, folder)
            ended = conversation.hold(cancelled)
        return conversation.result(ended, time.monotonic() - started)

    def close(self) -> None:
        pass


class _Conversation:
    """One process: the request goes in; the output and the answer come out, each bounded."""

    def __init__(self, request: CodeRequest, folder: str) -> None:
        self._limits = request.limits
        self._to_send = memoryview(
            json.dumps({"code": request.code, "kind": request.kind, "context": request.context}).encode()
        )
        self._output, self._answer = _Kept(request.limits.output_bytes), _Answer(request.limits.result_bytes)
        answer_read, answer_write = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", RUNNER, str(answer_write)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=folder,
            env={},
            pass_fds=(answer_write,),
            start_new_session=True,
        )
        os.close(answer_write)
        self._answer_pipe = os.fdopen(answer_read, "rb", buffering=0)

    def hold(self, cancelled: threading.Event) -> Ended:
        """Pass data on until the process has answered or has to be ended; then end it, and all that it started."""
        process = self._process
        assert process.stdin
        assert process.stdout
        deadline = time.monotonic() + self._limits.wall_seconds
        with selectors.DefaultSelector() as selector, process.stdin, process.stdout, self._answer_pipe:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ, self._output)
            selector.register(self._answer_pipe, selectors.EVENT_READ, self._answer)
            ended = self._pass_on(selector, deadline, cancelled)
            _end(process)
            self._output.take_rest(process.stdout)
        return ended

    def _pass_on(self, selector: selectors.BaseSelector, deadline: float, cancelled: threading.Event) -> Ended:
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return "timeout"
            if cancelled.is_set():
                return "cancelled"
            for key, _ in selector.select(min(left, TICK_SECONDS)):
                goes_on = self._send() if key.data is None else key.data.take(key.fd)
                if not goes_on:
                    selector.unregister(key.fileobj)
            ended = self._ended()
            if ended:
                return ended
        return "crashed"

    def _ended(self) -> Ended | None:
        if self._output.total > self._limits.output_bytes:
            return "output_limit"
        if self._answer.total > self._limits.result_bytes:
            return "result_limit"
        return "ok" if self._answer.is_complete else None

    def _send(self) -> bool:
        pipe = self._process.stdin
        assert pipe
        try:
            self._to_send = self._to_send[os.write(pipe.fileno(), self._to_send) :]
        except BrokenPipeError:
            self._to_send = self._to_send[:0]
        if not self._to_send:
            pipe.close()  # the end of the request
        return bool(self._to_send)

    def result(self, ended: Ended, duration: float) -> CodeResult:
        output = self._output.kept.decode(errors="replace")
        logs = plain_text(output, max_length=self._limits.logs_bytes)
        if ended == "ok":
            answer = self._answer.parsed
            if answer is not None:
                return result_of(answer, logs, output.rstrip().rpartition("\n")[2], duration)
            ended = "crashed"
        error = ErrorInfo(*_why(ended, self._limits, self._process.returncode))
        return CodeResult(ended, logs=logs, error=error, duration_seconds=duration)


class _Kept:
    """What came through one pipe: the first bytes, and a count of all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.kept = bytearray()
        self.total = 0
        self.is_closed = False

    def take(self, descriptor: int) -> bool:
        data = os.read(descriptor, 65_536)
        self.total += len(data)
        self.kept += data[: max(0, self._limit - len(self.kept))]
        self.is_closed = not data
        return bool(data)

    def take_rest(self, pipe: IO[bytes]) -> None:
        """What was printed just before the end, without waiting for more."""
        os.set_blocking(pipe.fileno(), False)
        try:
            while len(self.kept) < self._limit and self.take(pipe.fileno()):
                pass
        except BlockingIOError:
            pass


class _Answer(_Kept):
    """Eight bytes of length, and JSON. Complete when it is all there: a child of the code may keep the pipe open."""

    @property
    def is_complete(self) -> bool:
        return self.is_closed or self.total >= HEAD + int.from_bytes(self.kept[:HEAD], "big") >= HEAD + 1

    @property
    def parsed(self) -> dict[str, object] | None:
        try:
            parsed = json.loads(self.kept[HEAD:])
        except (ValueError, RecursionError):  # it may be forged
            return None
        return parsed if isinstance(parsed, dict) else None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone already; macOS answers so for a zombie
        process.kill()
    process.wait()


def _why(ended: Ended, limits: Limits, returncode: int) -> tuple[str, str]:
    match ended:
        case "timeout":
            return "Timeout", f"the code ran longer than its {limits.wall_seconds:g} s and was ended"
        case "output_limit":
            return "OutputLimit", f"the code printed more than {limits.output_bytes:,} bytes and was ended"
        case "result_limit":
            return "ResultLimit", f"the changes to the context are larger than {limits.result_bytes:,} bytes"
        case "cancelled":
            return "Cancelled", "the run was taken away while the code ran"
        case _:
            return "Crashed", f"the process of the code ended with status {returncode} and without an answer"
