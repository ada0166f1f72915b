"""The contract of whatever runs an author's code: one request in, one result out. No implementation is here."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

from src.core.outcome import Context, Json, Usage


class Level(StrEnum):
    """How strong the walls around the code are, strongest first."""

    MICROVM = "microvm"
    """A machine of its own, with a kernel of its own."""
    FULL = "full"
    """Landlock decides which files can be read, seccomp which system calls can be made."""
    SECCOMP = "seccomp"
    """Without Landlock: no file can be opened at all, so only modules that were loaded ahead can be imported."""
    WEAK = "weak"
    """A process of its own with limits, and no walls: the code can read what this user can read."""
    OFF = "off"
    """Code is refused."""

    def reaches(self, least: "Level") -> bool:
        order = list(Level)
        return order.index(self) <= order.index(least)


@dataclass(frozen=True, slots=True)
class Limits:
    wall_seconds: float = 60.0
    cpu_seconds: int | None = None
    """Of all threads together; where it says nothing, a second more than `wall_seconds`."""
    memory_mb: int = 256
    """Addresses that the code may take. An implementation that cannot bound them says so by its level."""
    logs_bytes: int = 64 * 1024
    """What is kept of the output."""
    output_bytes: int = 16 * 1024 * 1024
    """Output beyond this ends the code."""
    result_bytes: int = 4 * 1024 * 1024


LONGEST_WAIT_SECONDS = 1e9
"""Whatever code asks for: an integer may be too large for a number of seconds."""


MOST_SAID = 64 * 1024
"""Characters of an error. A row keeps fewer, but first they are searched for secrets."""


class HttpBridge(Protocol):
    """Makes the HTTP calls of code, which has no network of its own. What is allowed is the bridge's to say."""

    def __call__(self, call: Context, seconds: float, cancelled: threading.Event, /) -> Context:
        """Never raises.

        Args:
            call: `{"method", "url", "headers"?, "query"?, "text"? or "base64"?, "timeout"?}`, as from a stranger: any
                of it may be missing, or of another type.
            seconds: what is left of the attempt's time.

        Returns:
            `{"status", "headers", "text" or "base64"}`, or `{"error": {"message", "class", "retry_after_seconds"?}}`.
        """


@dataclass(frozen=True, slots=True)
class CodeRequest:
    code: str
    kind: Literal["action", "decision"]
    """A `decision` whose code is one expression answers with its value."""
    context: Context
    limits: Limits = field(default_factory=Limits)
    network: bool = False
    """The code may connect to the TCP ports that the operator allows."""
    execution_id: int | None = None
    """The execution whose code it is: an implementation may let attempts of one share what those of two never do.
    None: shares with none."""
    client_id: int | None = None
    """The customer that it runs for; those who wait for a place take turns."""
    http: HttpBridge | None = None
    """What `http.request(...)` in the code goes through. None: no call is allowed."""
    on_progress: Callable[[float, str], None] | None = None
    """Told what the code says of itself with `progress(fraction, text)`: from 0 to 1, and in words."""
    credentials: Context = field(default_factory=dict, repr=False)
    """Of the run: what older code asks `src.models.credentials` for. They stand in `context` too."""

    @property
    def message(self) -> dict[str, Json]:
        """What the process is told that runs the code."""
        told: dict[str, Json] = {"code": self.code, "kind": self.kind, "context": self.context}
        return told | ({"credentials": self.credentials} if self.credentials else {})


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    type: str
    message: str
    line: int | None = None
    """In the author's code, from 1."""
    traceback: str = ""
    """The frames of the author's code alone."""
    retry_after_seconds: float | None = None
    """Of a `Transient`: when it may be worth while to try again."""
    output: Context = field(default_factory=dict)
    """Of a `NeedsReview`: what the code would have changed."""


Ended = Literal[
    "ok", "error", "timeout", "memory", "output_limit", "result_limit", "crashed", "lost", "cancelled", "refused"
]
"""`crashed`: the process ended without an answer, by the code's doing. `lost`: by nobody's; it may be tried again."""


@dataclass(frozen=True, slots=True)
class CodeResult:
    status: Ended
    changes: Context = field(default_factory=dict)
    """The keys of the context that have another value than before."""
    written: frozenset[str] = frozenset()
    """The keys that the code assigned, also where the value stayed the same."""
    value: Json = None
    """The value of a decision's expression."""
    has_value: bool = False
    logs: str = ""
    last_line: str = ""
    """Of the output, whole even where the logs are cut."""
    error: ErrorInfo | None = None
    duration_seconds: float = 0.0
    usage: Usage | None = None


class CodeExecutor(Protocol):
    @property
    def level(self) -> Level: ...

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:
        """Run the code to its end, its limits, or until `cancelled` is set. Never raises for what the code does."""

    def forget(self, execution_id: int) -> None:
        """No more code of that execution comes for now: let go of what was kept for it."""

    def close(self) -> None: ...


class RefusingExecutor:
    """Stands in where code must not run, and says why."""

    level = Level.OFF

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def run(self, request: CodeRequest, cancelled: threading.Event) -> CodeResult:  # noqa: ARG002
        return CodeResult("refused", error=ErrorInfo("CodeRefused", self._reason))

    def forget(self, execution_id: int) -> None:
        pass

    def close(self) -> None:
        pass


def result_of(
    answer: Mapping[str, Json], logs: str, last_line: str, duration_seconds: float, usage: Usage | None = None
) -> CodeResult:
    """What the process that ran the code answered, taken apart by fixed keys and types: it may be forged."""
    changes, written, error = answer.get("changes"), answer.get("written"), answer.get("error")
    if isinstance(error, dict):
        told = _error_of(error)
        ended: Ended = "memory" if told.type == "MemoryError" else "error"
        return CodeResult(ended, logs=logs, error=told, duration_seconds=duration_seconds, usage=usage)
    return CodeResult(
        "ok",
        changes if isinstance(changes, dict) else {},
        frozenset(key for key in written if isinstance(key, str)) if isinstance(written, list) else frozenset(),
        answer.get("value"),
        "value" in answer,
        logs,
        last_line,
        duration_seconds=duration_seconds,
        usage=usage,
    )


def _error_of(told: Mapping[str, Json]) -> ErrorInfo:
    line, after, output = told.get("line"), told.get("retry_after_seconds"), told.get("output")
    return ErrorInfo(
        str(told.get("type", "Error"))[:MOST_SAID],
        str(told.get("message", ""))[:MOST_SAID],
        line if isinstance(line, int) else None,
        str(told.get("traceback", ""))[:MOST_SAID],
        float(min(after, LONGEST_WAIT_SECONDS)) if isinstance(after, int | float) and after >= 0 else None,
        output if isinstance(output, dict) else {},
    )
