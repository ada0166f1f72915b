"""MicroVMs at E2B, through its own package, which is no dependency of Nova: who wants it installs it."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Any

from pydantic import SecretStr

from src.sandbox.microvm import MicroVm, MicroVmExecutor, VmLost
from src.sandbox.server_process import Unavailable

ERRORS = ("SandboxException", "AuthenticationException", "ServiceBusyException", "HTTPError")
"""The bases of what the package raises. The last is that of httpx, in which it tells that nobody answers."""
KILL_SECONDS = 10.0
"""For an answer to it: the package's own minute would hold up the end of a run."""
Errors = tuple[type[Exception], ...]


def rented(api_key: SecretStr) -> Callable[[], MicroVmExecutor]:
    """Makes the executor. Raises Unavailable where that cannot be."""

    def make() -> MicroVmExecutor:
        if not api_key.get_secret_value():
            raise Unavailable("E2B_API_KEY is not set")
        try:
            package = importlib.import_module("e2b")
        except ImportError as error:
            raise Unavailable(f"the package e2b cannot be imported, `pip install e2b`: {error}") from None
        return MicroVmExecutor(E2B(package, api_key, errors_of(package, *_what_it_calls_with())))

    return make


def _what_it_calls_with() -> list[Any]:
    with suppress(ImportError):  # a later release may do without
        return [importlib.import_module("httpx")]
    return []


def errors_of(*packages: Any) -> Errors:
    return (OSError, *(getattr(package, name) for package in packages for name in ERRORS if hasattr(package, name)))


class E2B:
    """Rents machines of the default template."""

    def __init__(self, package: Any, api_key: SecretStr, errors: Errors) -> None:
        self._package = package
        self._api_key = api_key
        self._errors = errors

    def start(self, *, internet: bool, seconds: float) -> MicroVm:
        with _told_as_lost(self._errors):
            sandbox = self._package.Sandbox.create(
                timeout=ceil(seconds), allow_internet_access=internet, api_key=self._api_key.get_secret_value()
            )
        return _Machine(sandbox, self._package.CommandExitException, self._errors)


class _Machine:
    def __init__(self, sandbox: Any, exited: Any, errors: Errors) -> None:
        self._sandbox = sandbox
        self._exited = exited
        self._errors = errors

    def live_for(self, seconds: float) -> None:
        with _told_as_lost(self._errors):
            self._sandbox.set_timeout(ceil(seconds))

    def put(self, name: str, content: bytes) -> None:
        with _told_as_lost(self._errors):
            self._sandbox.files.write(name, content)

    def run(self, command: str, seconds: float) -> int:
        with _told_as_lost(self._errors):
            try:
                return int(self._sandbox.commands.run(command, timeout=seconds).exit_code)
            except self._exited as ended:
                return int(ended.exit_code)

    def fetch(self, name: str) -> bytes:
        with _told_as_lost(self._errors):
            return bytes(self._sandbox.files.read(name, format="bytes"))

    def kill(self) -> None:
        with suppress(VmLost), _told_as_lost(self._errors):  # then it ends when its time is over
            self._sandbox.kill(request_timeout=KILL_SECONDS)


@contextmanager
def _told_as_lost(errors: Errors) -> Iterator[None]:
    """By the name of the error alone: what the package says in it is not ours to vouch for."""
    try:
        yield
    except errors as error:
        raise VmLost(f"E2B: {type(error).__name__}") from None
