"""Which executor runs authors' code on this machine: the strongest there is, and none that is weaker than asked for."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from src.sandbox.executor import CodeExecutor, CodeRequest, CodeResult, Level, RefusingExecutor
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.self_test import what_is_wrong
from src.sandbox.server_process import Installation, Unavailable
from src.sandbox.subprocess_executor import SubprocessExecutor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    executor: CodeExecutor
    about: str
    """A sentence: what holds, or why nothing does."""


class Sandbox:
    """A CodeExecutor that finds out at its first use what this machine can enforce, and holds on to that."""

    def __init__(
        self,
        installation: Installation,
        *,
        slots: int,
        least: Level,
        kept: int = 0,
        spawned: Callable[[float], None] = lambda _: None,
        elsewhere: Callable[[], CodeExecutor] | None = None,
    ) -> None:
        """
        Args:
            spawned: told how many seconds the start of each child took.
            elsewhere: makes what runs all code instead of this machine. Raises Unavailable: then no code runs.
        """
        self._elsewhere = elsewhere
        self._installation = installation
        self._slots = slots
        self._kept = kept
        self.least = least
        """Code runs at this level or above, or not at all."""
        self._found: Found | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        self._spawned = spawned

    @property
    def level(self) -> Level:
        return self.open().executor.level

    def open(self) -> Found:
        """Start what is needed, attack it, and decide. Takes a third of a second once; where it was done, nothing."""
        found = self._found
        if found is None:
            with self._lock:
                found = self._found = self._found or self._find()
        return found

    def warm_up(self) -> None:
        """Open in the background, so that the first code does not wait for it."""
        threading.Thread(target=self._warm_up, name="sandbox", daemon=True).start()

    def require(self, least: Level) -> None:
        """From now on no code runs behind walls that are weaker than this."""
        if self.least.reaches(least):
            return
        with self._lock:
            self.least = least
            if self._found is not None:
                self._found = self._checked(self._found)

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        found = self._found
        if found is not None:
            return found.executor.run(request, cancelled)
        began = time.monotonic()
        executor = self.open().executor
        waited = time.monotonic() - began
        result = executor.run(request, cancelled)
        if result.usage is None:
            return result
        queued_seconds = result.usage.queued_seconds + waited  # no time of the code either
        return replace(result, usage=replace(result.usage, queued_seconds=queued_seconds))

    def forget(self, execution_id: int) -> None:
        if self._found is not None:
            self._found.executor.forget(execution_id)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._found is not None:
                self._found.executor.close()

    def _warm_up(self) -> None:
        with self._lock:
            if not self._is_closed:  # a thread may begin so late that nobody is left to close what it opens
                self._found = self._found or self._find()

    def _find(self) -> Found:
        found = self._checked(self._strongest())
        log = logger.info if found.executor.level.reaches(Level.SECCOMP) else logger.warning
        log("sandbox level %s for the code of workflow authors: %s", found.executor.level, found.about)
        return found

    def _strongest(self) -> Found:
        return self._here() if self._elsewhere is None else self._there(self._elsewhere)

    def _there(self, elsewhere: Callable[[], CodeExecutor]) -> Found:
        try:
            return Found(elsewhere(), "the code of each execution runs in a microVM of its own")
        except Unavailable as missing:
            reason = f"code runs in microVMs alone (CODE_EXECUTOR), and there are none: {missing}"
            return Found(RefusingExecutor(reason), reason)

    def _here(self) -> Found:
        executor = ForkServerExecutor(self._installation, slots=self._slots, kept=self._kept)
        executor.spawned = self._spawned
        try:
            strength = executor.strength
        except Unavailable as missing:
            return Found(
                SubprocessExecutor(), f"no walls around the code, it can read what this user can read: {missing}"
            )
        wrong = what_is_wrong(executor, os.getpid())
        if wrong:
            executor.close()
            reason = f"the self-test of the sandbox failed, so no code runs: {'; '.join(wrong)}"
            return Found(RefusingExecutor(reason), reason)
        if strength.level is Level.FULL:
            return Found(executor, f"Landlock {strength.landlock} and seccomp hold")
        return Found(executor, "seccomp holds; there is no Landlock, so code opens no file and has no network")

    def _checked(self, found: Found) -> Found:
        level = found.executor.level
        if level is Level.OFF or level.reaches(self.least):
            return found
        found.executor.close()
        reason = f"code runs at sandbox level {self.least} or above here (SANDBOX_MIN_LEVEL), and there is {level}: "
        return Found(RefusingExecutor(reason + found.about), reason + found.about)
