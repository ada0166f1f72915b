"""A host that keeps failing is left alone for a while: its circuit is open. In this process alone, and in no row."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from src.outside.errors import CircuitOpen, Fault

logger = logging.getLogger(__name__)

MAX_HOSTS = 1000
"""What authors' templates can make up must not fill the memory."""


class Circuit(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    TRYING = "trying"
    """One call is let through; what comes of it decides."""


@dataclass(slots=True)
class _Host:
    failures: int = 0
    """In a row."""
    open_until: float | None = None
    is_tried: bool = False


class Breakers:
    def __init__(
        self, *, failures: int = 5, open_seconds: float = 30.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = failures
        self._open_seconds = open_seconds
        self._now = now
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, _Host] = OrderedDict()
        """Those that have failed since they last answered."""

    @contextmanager
    def calling(self, host: str) -> Iterator["Call"]:
        """Around a call to `host`: a Fault in it is a failure of the host, and so is `Call.failed`.

        Raises:
            CircuitOpen: it has failed too often, and not long enough ago.
        """
        self._enter(host)
        call = Call()
        try:
            yield call
        except Fault:
            self._count(host, failed=True)
            raise
        except BaseException:  # it says nothing about the host
            self._let_try(host)
            raise
        self._count(host, failed=call.failed)

    def states(self) -> dict[str, Circuit]:
        """Of the hosts that have failed since they last answered."""
        with self._lock:
            return {name: self._state(host) for name, host in self._hosts.items()}

    def count_open(self) -> float:
        return float(sum(state is not Circuit.CLOSED for state in self.states().values()))

    def _state(self, host: _Host) -> Circuit:
        if host.open_until is None:
            return Circuit.CLOSED
        return Circuit.OPEN if host.open_until > self._now() and not host.is_tried else Circuit.TRYING

    def _enter(self, name: str) -> None:
        with self._lock:
            host = self._hosts.get(name)
            if host is None or host.open_until is None:
                return
            left = host.open_until - self._now()
            if left > 0 or host.is_tried:
                raise CircuitOpen(name, max(left, 1.0))
            host.is_tried = True

    def _let_try(self, name: str) -> None:
        with self._lock:
            if name in self._hosts:
                self._hosts[name].is_tried = False

    def _count(self, name: str, *, failed: bool) -> None:
        with self._lock:
            if not failed:
                self._hosts.pop(name, None)
                return
            host = self._hosts.setdefault(name, _Host())
            self._hosts.move_to_end(name)
            host.failures += 1
            host.is_tried = False
            if host.failures >= self._most:
                host.open_until = self._now() + self._open_seconds
                logger.warning("%s has failed %s times in a row: it is left alone for a while", name, host.failures)
            while len(self._hosts) > MAX_HOSTS:
                self._hosts.popitem(last=False)


@dataclass(slots=True)
class Call:
    failed: bool = False
    """It has answered, and in a way that counts against it."""
