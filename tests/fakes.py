"""Stand-ins at our own Protocols: a store in memory, and kinds of node that do as they are told."""

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Self

from src.core.errors import DefinitionError, LeaseLost, Problem
from src.core.graph import Graph
from src.core.node import Node, Visit
from src.core.outcome import Attempt, Context, Failed, Json, Outcome, Succeeded, Waiting
from src.core.plan import Verdict
from src.core.slice import HandOff, Reason
from src.core.status import MAY_BECOME, AttemptStatus, Status
from src.core.store import Claim
from src.core.verify import History, Kept
from tests.builders import NOON, DrawnNode

Behaviour = Callable[[Visit], Outcome]
ATTEMPT_STATUS: Mapping[type[Outcome], AttemptStatus] = {
    Succeeded: AttemptStatus.SUCCESS,
    Failed: AttemptStatus.FAILED,
    Waiting: AttemptStatus.WAITING,
}


class FakeKinds:
    """Runs each node by the behaviour given for its id; a node without one puts its own id into the context."""

    def __init__(self, behaviours: Mapping[str, Behaviour] | None = None) -> None:
        self._behaviours = behaviours or {}

    def read(self, fields: Mapping[str, Json]) -> Node:
        if fields.get("type") not in ("action", "decision"):
            raise DefinitionError([Problem("/type", "expected action or decision")])
        return DrawnNode(fields["id"], fields["type"], chooses=fields["type"] == "decision")

    def run(self, node: Node, visit: Visit) -> Outcome:
        behaviour = self._behaviours.get(node.id)
        return behaviour(visit) if behaviour else Succeeded({node.id: visit.attempt})

    def forget(self, execution_id: int) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to the store, in the order in which it was done."""

    what: Literal["claim", "checkpoint", "settle", "release", "recover", "refused"]
    execution_id: int
    token: int
    node_ids: tuple[str, ...] = ()


@dataclass
class _Row:
    """What a database would hold of one execution."""

    graph: Graph
    initial_context: Context
    status: Status = Status.QUEUED
    lease_owner: str | None = None
    lease_token: int = 0
    is_expired: bool = False
    returns: int = 0
    queue: str | None = None
    is_asked_to_pause: bool = False
    answers: dict[tuple[str, int], Json] = field(default_factory=dict)
    """By node and attempt."""
    woken_for: datetime | None = None
    interruptions: int = 0
    hand_offs: list[HandOff] = field(default_factory=list)
    attempts: list[tuple[int, Attempt]] = field(default_factory=list)
    """With the token under which each was written."""
    verdict: Verdict | None = None

    def become(self, status: Status) -> None:
        assert status in MAY_BECOME[self.status], f"{self.status} may not become {status}"
        self.status = status
        self.is_expired = False
        if status is not Status.RUNNING:
            self.lease_owner = None


class MemoryStore:
    """A `Store` that forgets all with its process. Leases run out when a test says so, and are recovered likewise.

    `seen_by` gives the same store to another owner, as another process on the same database would have it.
    """

    def __init__(self, owner: str = "owner") -> None:
        self.owner = owner
        self.events: list[Event] = []
        self._rows: dict[int, _Row] = {}
        self._held: list[Claim] = []
        self._lock = threading.RLock()
        self._ids = itertools.count(1)

    def seen_by(self, owner: str) -> Self:
        other = type(self)(owner)
        other.events, other._rows, other._lock, other._ids = self.events, self._rows, self._lock, self._ids
        return other

    def create(self, graph: Graph, initial_context: Context | None = None) -> int:
        """Put an execution into the queue; answers its id."""
        with self._lock:
            execution_id = next(self._ids)
            self._rows[execution_id] = _Row(graph, _kept(initial_context or {}))
            return execution_id

    def claim(self, execution_id: int) -> Claim | None:
        with self._lock:
            row = self._rows.get(execution_id)
            if row is None or Status.RUNNING not in MAY_BECOME[row.status]:
                return None
            row.become(Status.RUNNING)
            row.lease_owner = self.owner
            row.lease_token += 1
            self._note("claim", execution_id, row.lease_token)
            claim = _claim(execution_id, row)
            self._held.append(claim)
            return claim

    def checkpoint(self, claim: Claim, attempts: Sequence[Attempt]) -> bool:
        with self._lock:
            row = self._fenced(claim)
            _write(row, claim.token, attempts)
            row.interruptions = 0
            self._note("checkpoint", claim.execution_id, claim.token, attempts)
            return row.is_asked_to_pause

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        with self._lock:
            row = self._fenced(claim)
            _write(row, claim.token, attempts)
            is_held = verdict.status is Status.WAITING and row.is_asked_to_pause
            row.become(Status.PAUSED if is_held else verdict.status)
            row.returns += is_held
            row.is_asked_to_pause = False
            row.verdict = replace(verdict, result=_kept(verdict.result))
            self._note("settle", claim.execution_id, claim.token, attempts)

    def answers(self, claim: Claim) -> dict[str, Json]:
        with self._lock:
            return _claim(claim.execution_id, self._rows[claim.execution_id]).answers

    def release(self, claim: Claim, hand_off: HandOff) -> None:
        with self._lock:
            row = self._fenced(claim)
            is_pause = hand_off.reason is Reason.PAUSE
            row.become(Status.PAUSED if is_pause else Status.QUEUED)
            row.is_asked_to_pause = row.is_asked_to_pause and not is_pause
            row.returns += 1
            row.queue = hand_off.queue
            row.hand_offs.append(hand_off)
            self._note("release", claim.execution_id, claim.token)

    def forget(self, claim: Claim) -> None:
        self._held = [held for held in self._held if held is not claim]

    # What happens to an execution from outside.

    def wake(self, execution_id: int, woken_for: datetime | None = None) -> None:
        with self._lock:
            row = self._rows[execution_id]
            row.become(Status.QUEUED)
            row.returns += 1
            row.woken_for = woken_for

    def answer(self, execution_id: int, node_id: str, answer: Json) -> None:
        """A person has answered, and a run that waits is woken."""
        row = self._rows[execution_id]
        number = sum(attempt.node_id == node_id for _, attempt in row.attempts)
        row.answers[node_id, number] = answer
        if row.status is Status.WAITING:
            self.wake(execution_id)

    def ask_to_pause(self, execution_id: int) -> None:
        self._rows[execution_id].is_asked_to_pause = True

    def resume(self, execution_id: int) -> None:
        with self._lock:
            self._rows[execution_id].become(Status.QUEUED)

    def stop(self, execution_id: int) -> None:
        with self._lock:
            row = self._rows[execution_id]
            row.become(Status.STOPPED)
            row.lease_token += 1
            row.returns += 1

    def expire_lease(self, execution_id: int) -> None:
        """The lease runs out. Nobody notices before the next `recover`."""
        with self._lock:
            row = self._rows[execution_id]
            assert row.status is Status.RUNNING, f"nobody holds a lease on an execution that is {row.status}"
            row.is_expired = True

    def recover(self) -> list[int]:
        """Put executions whose lease has run out back into the queue; answers their ids."""
        with self._lock:
            gone = [execution_id for execution_id, row in self._rows.items() if row.is_expired]
            for execution_id in gone:
                row = self._rows[execution_id]
                row.become(Status.QUEUED)
                row.returns += 1
                row.interruptions += 1
                self._note("recover", execution_id, row.lease_token)
            return gone

    # What a test may ask.

    @property
    def held(self) -> list[Claim]:
        """The claims of this owner whose lease is still renewed."""
        return list(self._held)

    def status(self, execution_id: int) -> Status:
        return self._rows[execution_id].status

    def token(self, execution_id: int) -> int:
        return self._rows[execution_id].lease_token

    def verdict(self, execution_id: int) -> Verdict:
        verdict = self._rows[execution_id].verdict
        assert verdict is not None, f"execution {execution_id} has not ended"
        return verdict

    def hand_offs(self, execution_id: int) -> list[HandOff]:
        return self._rows[execution_id].hand_offs

    def attempts(self, execution_id: int) -> list[Attempt]:
        """In the order they were written."""
        return [attempt for _, attempt in self._rows[execution_id].attempts]

    def commits(self, execution_id: int) -> list[Event]:
        wrote = ("checkpoint", "settle")
        return [event for event in self.events if event.execution_id == execution_id and event.what in wrote]

    def history(self, execution_id: int) -> History:
        row = self._rows[execution_id]
        kept = [_kept_row(token, attempt) for token, attempt in row.attempts]
        result = row.verdict.result if row.verdict and row.status.is_final else None
        lease = (row.lease_token, row.lease_owner)
        return History(row.graph, row.status, *lease, row.initial_context, result, kept, row.returns)

    def _fenced(self, claim: Claim) -> _Row:
        row = self._rows[claim.execution_id]
        if not self._is_current(row, claim):
            self._note("refused", claim.execution_id, claim.token)
            raise LeaseLost(claim.execution_id)
        return row

    def _is_current(self, row: _Row, claim: Claim) -> bool:
        return row.status is Status.RUNNING and row.lease_token == claim.token

    def _note(
        self,
        what: Literal["claim", "checkpoint", "settle", "release", "recover", "refused"],
        execution_id: int,
        token: int,
        attempts: Iterable[Attempt] = (),
    ) -> None:
        self.events.append(Event(what, execution_id, token, tuple(attempt.node_id for attempt in attempts)))


def _claim(execution_id: int, row: _Row) -> Claim:
    attempts: defaultdict[str, int] = defaultdict(int)
    for _, attempt in row.attempts:
        attempts[attempt.node_id] += 1
    history = [(a.node_id, a.outcome) for _, a in row.attempts]
    task_id = f"task-{execution_id}"
    context = _kept(row.initial_context)
    return Claim(
        execution_id,
        row.lease_token,
        task_id,
        row.graph,
        context,
        NOON,
        history,
        dict(attempts),
        queue=row.queue,
        answers={node_id: answer for (node_id, number), answer in row.answers.items() if attempts[node_id] == number},
        woken_for=row.woken_for,
        is_asked_to_pause=row.is_asked_to_pause,
        interruptions=row.interruptions,
    )


def _write(row: _Row, token: int, attempts: Sequence[Attempt]) -> None:
    """All of them or none."""
    written = {(attempt.node_id, attempt.number) for _, attempt in row.attempts}
    for attempt in attempts:
        key = (attempt.node_id, attempt.number)
        assert key not in written, f"{attempt.node_id!r} attempt {attempt.number} is written already"
        written.add(key)
    row.attempts += [(token, _kept_attempt(attempt)) for attempt in attempts]


def _kept_attempt(attempt: Attempt) -> Attempt:
    if isinstance(attempt.outcome, Succeeded):
        return attempt._replace(outcome=replace(attempt.outcome, output=_kept(attempt.outcome.output)))
    return attempt


def _kept(context: Context) -> Context:
    """Through JSON and back, as a database would give it."""
    kept: Context = json.loads(json.dumps(context, allow_nan=False))
    return kept


def _kept_row(token: int, attempt: Attempt) -> Kept:
    outcome = attempt.outcome
    output, branch = (outcome.output, outcome.branch) if isinstance(outcome, Succeeded) else ({}, None)
    status = ATTEMPT_STATUS[type(outcome)]
    why = outcome.error if isinstance(outcome, Failed) else None
    error = {"type": why.type, "message": why.message, "class": str(why.error_class)} if why else {}
    return Kept(attempt.node_id, attempt.node_type, attempt.number, status, output, branch, token, error=error)
