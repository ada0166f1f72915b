"""What the engine asks of whatever keeps executions. Memory, SQLite and PostgreSQL pass one suite of tests for it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from src.core.credentials import NO_CREDENTIALS, Credentials
from src.core.graph import Graph
from src.core.outcome import Attempt, Context, Json, Outcome
from src.core.plan import Verdict
from src.core.slice import HandOff
from src.core.status import Mode


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to drive one execution, until another claim raises the token."""

    execution_id: int
    token: int
    """The fence: what is written under an older token is refused."""
    task_id: str
    graph: Graph
    initial_context: Context
    started_at: datetime
    """Of the first claim."""
    history: Sequence[tuple[str, Outcome]] = ()
    """The checkpoints so far, in the order they were written."""
    attempts: dict[str, int] = field(default_factory=dict)
    """How many attempts each node has had."""
    workflow_id: int = 0
    mode: Mode = Mode.INLINE
    queue: str | None = None
    """The worker queue that it was taken from; None for the default one."""
    client_id: int | None = None
    """The customer that it is run for."""
    parent_id: int | None = None
    """The execution that has started this one."""
    depth: int = 0
    """How many there are above it."""
    answers: dict[str, Json] = field(default_factory=dict)
    """What has come of the waits that are over, by node: a person's answer, the ends of child executions."""
    woken_for: datetime | None = None
    """The time that it was woken for, by the clock that counts."""
    is_asked_to_pause: bool = False
    is_limited: bool = False
    """Only so many may run at once: others wait for its end."""
    interruptions: int = 0
    """How many runners have died in a row without a checkpoint between."""
    credentials: Credentials = NO_CREDENTIALS
    """Of the client that the run is made for, as they were when it was claimed. Never kept with the run."""
    lost: threading.Event = field(default_factory=threading.Event)
    """Set when the lease could not be renewed: whatever still runs under this claim must stop."""


class Store(Protocol):
    def claim(self, execution_id: int) -> Claim | None:
        """Take an execution that is queued; None where there is nothing to drive: it is final, held, or another's."""

    def checkpoint(self, claim: Claim, attempts: Sequence[Attempt]) -> bool:
        """Keep `attempts`, all of them or none. When this returns they are durable. Answers whether the execution is
        asked to pause.

        Raises:
            LeaseLost: another runner has the execution; nothing was written.
        """

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        """End the execution, with the last of its attempts, and give up the lease. Raises LeaseLost as above."""

    def answers(self, claim: Claim) -> dict[str, Json]:
        """What has come by now, as `Claim.answers` has what had come when it was made."""

    def release(self, claim: Claim, hand_off: HandOff) -> None:
        """Put the execution back into the queue at a node boundary. Raises LeaseLost as above."""

    def forget(self, claim: Claim) -> None:
        """Stop renewing the lease: nobody drives this claim any more. The last call for every claim."""
