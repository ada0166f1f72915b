"""Runs code in a plain process of its own: limits of time and output, an empty environment, no walls (level `weak`)."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from math import inf
from pathlib import Path

from src.core.outcome import Usage
from src.sandbox.conversation import Conversation
from src.sandbox.executor import CodeRequest, CodeResult, Level, result_of
from src.sandbox.verdict import why

RUNNER = str(Path(__file__).with_name("runner.py"))


class SubprocessExecutor:
    level = Level.WEAK

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="nova-node-") as folder, _Process(folder) as process:
            talk = Conversation(request, process, inf)
            talk.hold(cancelled)
            status = process.end()
        duration, usage = time.monotonic() - started, Usage(self.level)
        if talk.result is not None and not talk.stopped_as:
            return result_of(talk.result, talk.output.text, talk.output.last_line, duration, usage)
        ended = talk.stopped_as or "crashed"
        error = why(ended, request.limits, status)
        return CodeResult(ended, logs=talk.output.text, error=error, duration_seconds=duration, usage=usage)

    def forget(self, execution_id: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Process:
    """For one request. Its end is the end of its pipes."""

    news = None

    def __init__(self, folder: str) -> None:
        request_there, self.request = os.pipe()
        self.answer, answer_there = os.pipe()
        self.output, output_there = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", RUNNER, str(request_there), str(answer_there)],
                stdin=subprocess.DEVNULL,
                stdout=output_there,
                stderr=output_there,
                cwd=folder,
                env={},
                pass_fds=(request_there, answer_there),
                start_new_session=True,
            )
        finally:
            for theirs in (request_there, answer_there, output_there):
                os.close(theirs)
        for ours in (self.request, self.answer, self.output):
            os.set_blocking(ours, False)

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for ours in (self.request, self.answer, self.output):
            os.close(ours)

    def take_news(self) -> bool:
        return False

    def widen(self) -> None:
        pass

    def cpu_seconds(self) -> float:
        return 0.0

    def threads(self) -> int:
        return 0

    def kill(self) -> None:
        """It, and all that it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # gone already; macOS answers so for a zombie
            self._process.kill()

    def end(self) -> int:
        """Its status; negative for the signal that ended it."""
        if self._process.returncode is None:
            self.kill()
        return self._process.wait()
