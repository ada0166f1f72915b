"""The SQL store: claims, and attempts as rows. What an execution looks like from outside is in `executions.py`."""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, update

from src.core.credentials import NO_CREDENTIALS, Credentials
from src.core.errors import LeaseLost
from src.core.graph import Graph
from src.core.outcome import Attempt, Context, Json
from src.core.plan import Verdict
from src.core.slice import HandOff, Reason
from src.core.status import PAUSE, Mode, Status, may_become
from src.core.store import Claim
from src.database import Database
from src.models import Client, Execution
from src.models.columns import moment
from src.runtime.audit import asked
from src.runtime.blobs import fatten, slim
from src.runtime.concurrency import Limits, client_limit, has_room
from src.runtime.figures import Figures
from src.runtime.history import answers_to, interruptions_since, past_of
from src.runtime.leases import HANDED_OFF, IN_THE_QUEUE, PAUSED, Leases, add_event
from src.runtime.ledger import Entry, Ledger, Row
from src.runtime.live.signals import Signals
from src.runtime.lookup import Lookup
from src.runtime.queue import FOR_TURN, FOR_WORKFLOW, Priority
from src.runtime.rows import attempt_rows, blob_rows, child_rows, error_columns, timestamp
from src.runtime.seals import Seals
from src.runtime.tally import Tally
from src.runtime.wakes import IS_ANSWERED

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewExecution:
    workflow_id: int
    workflow_version: int
    initial_context: Context
    client_id: int | None = None
    priority: Priority = Priority.NORMAL
    idempotency_key: str | None = None
    request_sha256: str | None = None
    """Of the request that came with the key."""
    is_held: bool = False
    """Its workflow is paused: it waits until that goes on."""
    schedule_id: int | None = None
    fire_at: datetime | None = None
    """When it was due, where a schedule has started it. With that it is there once."""
    has_to_wait: bool = False
    """An earlier run of its schedule has not ended: it waits for its turn."""

    def under(self, idempotency_key: str | None, request: Json) -> "NewExecution":
        """The one execution that `request` starts, however often it comes with this key."""
        if idempotency_key is None:
            return self
        return replace(self, idempotency_key=idempotency_key, request_sha256=sha256_of(request))


def sha256_of(request: Json) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


class SqlStore:
    """Keeps executions in SQLite or PostgreSQL. See `core/store.py` for what each call promises.

    Args:
        mode: how an execution runs that this process takes out of the queue.
        credentials_of: those that a run for a client may use.
        settled: told of every end that somebody else may wait for, or that may be over already: of a wait, of a child.
        signals: told of every commit, for those who watch.
        tally: likewise, for those who count.
        tend: told of every execution that has new children.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        leases: Leases,
        load_graph: Callable[[int, int, str | None], Graph],
        *,
        mode: Mode = Mode.INLINE,
        credentials_of: Callable[[int | None], Credentials] = lambda _: NO_CREDENTIALS,
        settled: Callable[[Claim, Verdict], None] = lambda *_: None,
        signals: Signals | None = None,
        tend: Callable[[int], None] = lambda _: None,
        tally: Tally | None = None,
    ) -> None:
        self._signals = signals or Signals()
        self._tally = tally or Tally(database, Figures(database, flush_seconds=None))
        self._mode = mode
        self._credentials_of = credentials_of
        self._settled = settled
        self._tend = tend
        self._database = database
        self._ledger = ledger
        self._leases = leases
        self._load_graph = load_graph
        self._granted: dict[int, Claim] = {}
        """Claims that came with the creation of their execution, until the engine asks for them."""
        self._seals = Seals()

    def create(self, new: NewExecution) -> int:
        """Write the execution and claim it for this process, in one commit; answers its id. Where only so many may run
        at once it is queued, and to be claimed like any other. Raises KeyTaken.
        """
        graph = self._load_graph(new.workflow_id, new.workflow_version, None)
        if graph.policy.max_concurrent is not None or self._is_client_limited(new.client_id):
            return self.enqueue(new, mode=Mode.INLINE)
        now = datetime.now(UTC)
        new, credentials = self._without_secrets(new)
        held = {"status": Status.RUNNING, "mode": Mode.INLINE, "lease_owner": self._leases.owner, "lease_token": 1}
        row = self._row(new, now) | held | {"started_at": timestamp(now), "rings": 0}
        execution_id = self._ledger.write(self._new_entry(row, new, now)).execution_id
        claim = Claim(
            execution_id,
            1,
            row["task_id"],
            graph,
            new.initial_context,
            now,
            workflow_id=new.workflow_id,
            client_id=new.client_id,
            credentials=credentials,
        )
        self._granted[execution_id] = claim
        self._leases.hold(claim)
        self._signals.claimed(claim)
        return execution_id

    def _is_client_limited(self, client_id: int | None) -> bool:
        if client_id is None:
            return False
        with self._database.read() as connection:
            return client_limit(connection, client_id) is not None

    def enqueue(self, new: NewExecution, *, mode: Mode) -> int:
        """Write the execution into the queue; answers its id. To be rung for at once. Raises KeyTaken."""
        execution_id = self._ledger.write(self._queued(new, mode)).execution_id
        self._signals.changed(execution_id)
        return execution_id

    def enqueue_within(self, connection: Connection, new: NewExecution, *, mode: Mode) -> int:
        """Likewise, as a part of a transaction that somebody else commits. Raises KeyTaken."""
        return self._ledger.write_within(connection, self._queued(new, mode)).execution_id

    def _queued(self, new: NewExecution, mode: Mode) -> Entry:
        new, _ = self._without_secrets(new)
        graph = self._load_graph(new.workflow_id, new.workflow_version, None)
        waiting: Row = {"status": Status.QUEUED, "mode": mode, "queue": graph.policy.queue}
        waiting |= {"lease_token": 0, "rings": 1}
        if new.is_held or new.has_to_wait:
            waiting |= {"status": Status.PAUSED, "waiting_for": FOR_TURN if new.has_to_wait else FOR_WORKFLOW}
        now = datetime.now(UTC)
        return self._new_entry(self._row(new, now) | waiting, new, now)

    def _without_secrets(self, new: NewExecution) -> tuple[NewExecution, Credentials]:
        """What nodes are given anyway is not kept, also where the request has brought it along."""
        credentials = self._credentials_of(new.client_id)
        if not credentials.mask:
            return new, credentials
        return replace(new, initial_context=credentials.mask.value(new.initial_context)), credentials

    def _row(self, new: NewExecution, now: datetime) -> Row:
        return {
            "task_id": str(uuid.uuid4()),
            "workflow_id": new.workflow_id,
            "workflow_version": new.workflow_version,
            "client_id": new.client_id,
            "priority": new.priority,
            "idempotency_key": new.idempotency_key,
            "request_sha256": new.request_sha256,
            "schedule_id": new.schedule_id,
            "fire_at": timestamp(new.fire_at) if new.fire_at else None,
            "created_at": timestamp(now),
            **asked()._asdict(),
        }

    def _new_entry(self, row: Row, new: NewExecution, now: datetime) -> Entry:
        row["initial_context"], blobs = slim(new.initial_context)
        return Entry("create", row["lease_token"], new=row, blobs=blob_rows(blobs, now))

    def claim(self, execution_id: int) -> Claim | None:
        granted = self._granted.pop(execution_id, None)
        if granted is not None:
            return granted
        pinned = _PINNED.one_or_none(self._database, execution_id)
        if pinned is None:
            return None
        # before the claim: a graph that cannot be built, credentials that cannot be read, must not hold a lease
        graph = self._load_graph(pinned.workflow_id, pinned.workflow_version, pinned.subgraph)
        credentials = self._credentials_of(pinned.client_id)
        limits = Limits(graph.policy.max_concurrent, pinned.max_concurrent)
        claim = self._take(execution_id, graph, credentials, limits)
        if claim is not None:
            self._leases.hold(claim)
            self._signals.claimed(claim)
        return claim

    def checkpoint(self, claim: Claim, attempts: Sequence[Attempt]) -> bool:
        entry = _entry("checkpoint", claim, attempts)
        self._seals.put_on(claim, entry.attempts)
        written = self._ledger.write(entry)
        self._signals.kept(claim, attempts)
        self._tally.kept(claim, attempts)
        if entry.children:
            self._tend(claim.execution_id)
        return bool(written.requested == PAUSE)

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        entry = _entry("settle", claim, attempts)
        last_seal = self._seals.put_on(claim, entry.attempts)
        settlement, big = _settlement(claim, verdict, last_seal)
        self._ledger.write(entry._replace(settlement=settlement, blobs=[*entry.blobs, *big]))
        self._signals.left(claim, verdict.status, attempts)
        self._tally.kept(claim, attempts)
        seconds = settlement.get("execution_time")
        if seconds is not None:
            self._tally.ended(claim, verdict, seconds)
        logger.info("run ended" if verdict.status.is_final else "run waits", extra=_told(verdict, seconds))
        if verdict.waits or verdict.error or claim.parent_id is not None or claim.is_limited:
            self._settled(claim, verdict)

    def answers(self, claim: Claim) -> dict[str, Json]:
        with self._database.read() as connection:  # most of the time there is none, and its history is long
            if not connection.execute(IS_ANSWERED, {"execution": claim.execution_id}).scalar():
                return {}
            return answers_to(connection, claim.execution_id, past_of(connection, claim.execution_id))

    def release(self, claim: Claim, hand_off: HandOff) -> None:
        mine = (Execution.id == claim.execution_id, Execution.lease_token == claim.token)
        query = update(Execution).where(*mine, Execution.status == Status.RUNNING)
        is_pause = hand_off.reason is Reason.PAUSE
        with self._database.write("release") as connection:
            values: dict[str, Any] = IN_THE_QUEUE | {"queue": hand_off.queue, "rung_at": moment(0.0), "rings": 1}
            if is_pause:  # unless somebody has just let it go on
                asked = Execution.requested == PAUSE
                values |= {"status": case((asked, Status.PAUSED), else_=Status.QUEUED), "requested": None}
            if not connection.execute(query.values(**values)).rowcount:
                raise LeaseLost(claim.execution_id)
            data = {"reason": hand_off.reason, "queue": hand_off.queue}
            kind = PAUSED if is_pause else HANDED_OFF
            add_event(connection, claim.execution_id, kind, self._leases.owner, claim.token, **data)
        self._signals.left(claim, Status.PAUSED if is_pause else Status.QUEUED)
        self._tally.handed_off(hand_off)

    def forget(self, claim: Claim) -> None:
        self._leases.forget(claim)
        self._seals.forget(claim)

    def _taken(self) -> dict[str, Any]:
        """The columns of an execution that this process drives."""
        return {
            "status": Status.RUNNING,
            "lease_token": Execution.lease_token + 1,
            "lease_owner": self._leases.owner,
            "lease_until": moment(self._leases.seconds),
            "mode": self._mode,
            "started_at": func.coalesce(Execution.started_at, datetime.now(UTC)),
        }

    def _take(self, execution_id: int, graph: Graph, credentials: Credentials, limits: Limits) -> Claim | None:
        """One conditional update: of all who try, one wins."""
        query = update(Execution).where(Execution.id == execution_id, Execution.status.in_(may_become(Status.RUNNING)))
        with self._database.write("claim") as connection:
            if not has_room(connection, execution_id, limits):
                return None
            row = connection.execute(query.values(**self._taken()).returning(*_CLAIMED)).one_or_none()
            if row is None:
                return None
            past = past_of(connection, execution_id)
            self._seals.go_on(execution_id, row.lease_token, past.last_seal)
            return Claim(
                execution_id,
                row.lease_token,
                row.task_id,
                graph,
                fatten(connection, [row.initial_context])[0] or {},
                row.started_at,
                past.outcomes,
                past.attempts,
                workflow_id=row.workflow_id,
                mode=self._mode,
                queue=row.queue,
                client_id=row.client_id,
                parent_id=row.parent_id,
                depth=row.depth,
                answers=answers_to(connection, execution_id, past),
                woken_for=row.woken_for,
                credentials=credentials,
                is_limited=limits.are_any,
                is_asked_to_pause=row.requested == PAUSE,
                interruptions=interruptions_since(connection, execution_id, past) if row.lease_token > 1 else 0,
            )


def _settlement(claim: Claim, verdict: Verdict, last_seal: str) -> tuple[Row, list[Row]]:
    """What changes in the row of an execution that has ended or waits, and the blobs that this names."""
    row: Row = {"id": claim.execution_id, "lease_token": claim.token, "status": verdict.status}
    if verdict.waits:
        row["waiting_for"] = verdict.waiting_for
        row["wake_at"] = timestamp(verdict.wake_at) if verdict.wake_at else None
    if not verdict.status.is_final:
        return row, []
    now = datetime.now(UTC)
    row["result"], big = slim(verdict.result)
    if verdict.error:
        row["error"] = {**error_columns(verdict.error), "node_id": verdict.node_id}
    row["last_seal"] = last_seal
    row["completed_at"] = timestamp(now)
    row["execution_time"] = (now - claim.started_at).total_seconds()
    return row, blob_rows(big, now)


def _told(verdict: Verdict, seconds: float | None) -> dict[str, object]:
    error = {"failed_node_id": verdict.node_id, "error_type": verdict.error.type} if verdict.error else {}
    wait = {"waiting_for": verdict.waiting_for} if verdict.waits else {"seconds": seconds}
    return {"status": verdict.status, **wait, **error}


def _entry(name: str, claim: Claim, attempts: Sequence[Attempt]) -> Entry:
    rows, blobs = attempt_rows(claim, attempts)
    children, big = child_rows(claim, attempts)
    return Entry(name, claim.token, claim.execution_id, attempts=rows, children=children, blobs=blobs + big)


_PINNED = Lookup(
    select(
        Execution.workflow_id, Execution.workflow_version, Execution.subgraph, Execution.client_id,
        Client.max_concurrent,
    )
    .join(Client, Client.id == Execution.client_id, isouter=True)
    .where(Execution.id == bindparam("which"))
)  # fmt: skip
_CLAIMED = (
    Execution.lease_token, Execution.task_id, Execution.initial_context, Execution.started_at, Execution.queue,
    Execution.client_id, Execution.parent_id, Execution.depth, Execution.requested, Execution.workflow_id,
    case((Execution.wake_at <= moment(0.0), Execution.wake_at)).label("woken_for"),
)  # fmt: skip
