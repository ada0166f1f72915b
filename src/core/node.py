"""What the engine knows of a node and of its kind. The kinds themselves are in `nodes/`."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from src.core.credentials import NO_CREDENTIALS, Credentials
from src.core.outcome import Context, Json, Outcome, Waiting
from src.core.retry import RetryPolicy


class Node(Protocol):
    """A step of a graph."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def queue(self) -> str | None:
        """The queue whose workers it wants to run on."""

    @property
    def retry(self) -> RetryPolicy | None:
        """How often it is tried again; None for what the workflow says."""

    @property
    def effect_free(self) -> bool:
        """Running it twice cannot be noticed, so it needs no commit of its own."""

    @property
    def source(self) -> str:
        """What its author wrote for it to run: code or an expression; empty where there is none."""

    @property
    def chooses(self) -> bool:
        """It names a branch: edges out of it may carry conditions."""


class Visit(NamedTuple):
    """What a node is told when it runs."""

    execution_id: int
    node_id: str
    attempt: int
    idempotency_key: str
    """The same at every attempt at this node in this execution; for the systems that the node calls."""
    context: Context
    """To be read only. A kind that gives it to somebody's code gives a copy."""
    branches: frozenset[str | None]
    """The conditions on the edges out of this node; None for a default."""
    cancelled: threading.Event
    """Set when the result is no longer wanted."""
    client_id: int | None = None
    """The customer that the run is made for."""
    waited: Waiting | None = None
    """What the attempt before this one waited for, where it did."""
    answer: Json = None
    """What has come of that: a person's answer, the ends of the executions it started."""
    progress: Callable[[float, str], None] = lambda *_: None
    """Tells whoever watches how far the node is, from 0 to 1, and in words. Nothing keeps it."""
    credentials: Credentials = NO_CREDENTIALS
    """Of the client that the run is made for."""
    depth: int = 0
    """How many executions there are above this one."""


@dataclass(frozen=True, slots=True)
class Callee:
    """A workflow as another one calls it: what is saved of it now."""

    workflow_id: int
    version: int
    initial_context: Context
    queue: str | None = None
    client_id: int | None = None
    """The customer that it belongs to."""


class Kinds(Protocol):
    """The kinds of node that this installation has."""

    def read(self, fields: Mapping[str, Json]) -> Node:
        """The node that `fields` describe.

        Raises:
            DefinitionError: every problem, with pointers that start at the node.
        """


class Workshop(Protocol):
    """Where nodes run, with what this installation lends them."""

    def run(self, node: Node, visit: Visit) -> Outcome: ...

    def forget(self, execution_id: int) -> None:
        """No more of its nodes run here for now: let go of what was kept for them. Comes after every run."""
