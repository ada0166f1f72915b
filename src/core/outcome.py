"""What an attempt at a node ended as: `Succeeded`, `Failed` or `Waiting`. There is no fourth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

Json = Any
"""A JSON value: users' data, the only place where types end."""
Context = dict[str, Json]


class ErrorClass(StrEnum):
    """What can be done about an error."""

    TRANSIENT = "transient"
    """It may pass: time-outs, connection faults. A retry is worth its cost."""
    PERMANENT = "permanent"
    """It will fail again: bad input, a bug in the code."""
    PARTIAL = "partial"
    """A person must look at it."""


@dataclass(frozen=True, slots=True)
class NodeError:
    type: str
    """The name of the exception, or of the condition: `ValueError`, `Timeout`."""
    message: str
    error_class: ErrorClass = ErrorClass.PERMANENT
    traceback: str = ""
    """Of the author's code alone."""
    retry_after_seconds: float | None = None
    """What whoever refused has asked for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt took: in the sandbox, or of a language model."""

    level: str | None = None
    """How strong the walls around its code were; None where none ran in the sandbox."""
    cpu_seconds: float = 0.0
    max_rss_kb: int = 0
    """The most memory at any time, in KiB; pages that are shared with other processes are counted too."""
    queued_seconds: float = 0.0
    """The wait for a free place, which is no time of the node."""
    spent: Context | None = None
    """Of a language model: `model`, `calls`, `input_tokens`, `output_tokens`, `cost_usd`."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    output: Context = field(default_factory=dict)
    """What the node changed in the context: a delta."""
    branch: str | None = None
    """The branch that a deciding node took."""
    logs: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    error: NodeError
    logs: str = ""
    usage: Usage | None = None
    output: Context = field(default_factory=dict)
    """What it would have changed, where a person may want to see that. Changes nothing."""
    branch: str | None = None
    """Likewise, what it would have chosen."""
    details: Context = field(default_factory=dict)
    """What the next attempt needs to know, where there is one."""


class WaitFor(StrEnum):
    """What a node waits for."""

    RETRY = "retry"
    """Its next attempt: this one failed, and may not the next time."""
    TIME = "time"
    CHILD = "child"
    """Executions that it has started."""
    REVIEW = "review"
    """A person."""


@dataclass(frozen=True, slots=True)
class Child:
    """An execution that a node starts."""

    context: Context
    """What it starts with."""
    workflow_id: int | None = None
    """None: its graph is the one that the node itself holds."""
    version: int | None = None
    queue: str | None = None
    """The queue of its workflow."""


@dataclass(frozen=True, slots=True)
class Waiting:
    reason: WaitFor
    until: datetime | None = None
    """When the node runs again, whatever has happened by then."""
    details: Context = field(default_factory=dict)
    """What whoever it waits for needs to know."""
    error: NodeError | None = None
    """Why it waits, where it would have failed otherwise."""
    output: Context = field(default_factory=dict)
    """What it would have changed, for a person to look at. Changes nothing."""
    logs: str = ""
    usage: Usage | None = None
    branch: str | None = None
    """Likewise, what it would have chosen."""
    children: Sequence[Child] = ()
    """The executions to start, in the order of their items. Whoever starts them starts each of them once."""


Outcome = Succeeded | Failed | Waiting


class Attempt(NamedTuple):
    """One try at one node, with all that its checkpoint keeps."""

    node_id: str
    node_type: str
    number: int
    """From 1. An attempt that a crash interrupted left no row and is not counted."""
    outcome: Outcome
    started_at: datetime
    execution_time: float
    """Seconds on a monotonic clock, for failures too; without the wait for a place in the sandbox."""

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.execution_time)
