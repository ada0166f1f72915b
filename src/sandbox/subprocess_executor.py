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
from dataclasses import replace
from pathlib import Path

from src.core.outcome import Usage
from src.sandbox.executor import CodeRequest, CodeResult, Ended, Level, result_of
from src.sandbox.kept import Answer, Printed
from src.sandbox.verdict import why

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
        return replace(conversation.result(ended, time.monotonic() - started), usage=Usage(self.level))

    def forget(self, execution_id: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Conversation:
    """One process: the request goes in; the output and the answer come out, each bounded."""

    def __init__(self, request: CodeRequest, folder: str) -> None:
        self._limits = request.limits
        self._to_send = memoryview(
            json.dumps({"code": request.code, "kind": request.kind, "context": request.context}).encode()
        )
        self._output, self._answer = Printed(request.limits.logs_bytes), Answer(request.limits.result_bytes)
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
            self._output.take_rest(process.stdout.fileno())
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
        answer = self._answer.parsed if ended == "ok" else None
        if answer is not None:
            return result_of(answer, self._output.text, self._output.last_line, duration)
        ended = "crashed" if ended == "ok" else ended
        error = why(ended, self._limits, self._process.returncode)
        return CodeResult(ended, logs=self._output.text, error=error, duration_seconds=duration)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone already; macOS answers so for a zombie
        process.kill()
    process.wait()
