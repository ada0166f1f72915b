"""The leases of this process: one thread renews them all. A lease that cannot be renewed ends its run here."""

import logging
import math
import threading
import time
from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady
from src.core.slice import Reason
from src.core.status import Status
from src.core.store import Claim
from src.database import Database
from src.models import Execution, ExecutionEvent
from src.models.columns import moment

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long at most a stopped execution keeps its node in flight running."""
RECOVERED = "recovered"
HANDED_OFF = "handed_off"
PAUSED = Status.PAUSED.value
WOKEN = "woken"
STOPPED = Status.STOPPED.value
RESUMED = "resumed"
ENDS_OF_CLAIMS = (RECOVERED, HANDED_OFF, PAUSED, WOKEN, STOPPED, RESUMED)
"""Events after which the next claim is a new one, or the fence has been raised."""
IN_THE_QUEUE = {"status": Status.QUEUED, "lease_owner": None, "lease_until": None, "queued_at": moment(0.0)}
"""The columns of an execution that goes back into the queue."""


class Leases:
    """What `owner` holds. The database's clock decides who has a lease; this process' own only how long ago it knew."""

    def __init__(self, database: Database, *, owner: str, seconds: float) -> None:
        self.owner = owner
        self.seconds = seconds
        self._database = database
        self._held: dict[int, Claim] = {}
        self._renewed_at: dict[int, float] = {}
        """By this process' clock; for each that is held."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, claim: Claim) -> None:
        with self._lock:
            self._held[claim.execution_id] = claim
            self._renewed_at[claim.execution_id] = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_renewing, name="leases", daemon=True)
                self._thread.start()

    def forget(self, claim: Claim) -> None:
        with self._lock:
            if self._held.get(claim.execution_id) is claim:
                del self._held[claim.execution_id]
                del self._renewed_at[claim.execution_id]

    def lose(self, execution_id: int) -> None:
        """What still runs here for an execution runs for nobody."""
        with self._lock:
            claim = self._held.get(execution_id)
        if claim is not None:
            claim.lost.set()

    def look(self) -> None:
        """Find out which executions are another's by now, or have been stopped, without waiting for a renewal."""
        with self._lock:
            held = dict(self._held)
        if not held:
            return
        query = select(Execution.id, Execution.lease_token).where(Execution.id.in_(held))
        with self._database.read() as connection:
            tokens = {row.id: row.lease_token for row in connection.execute(query)}
        for claim in held.values():
            if tokens.get(claim.execution_id) != claim.token:
                claim.lost.set()

    def close(self) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=self.seconds)

    def renew(self) -> None:
        """Renew all that is held, and tell the runs whose execution is another's by now.

        A row that somebody has locked costs no other its lease: it is left for the next renewal.
        """
        with self._lock:
            held = dict(self._held)
        if not held:
            return
        renewed = self._renew(held.values(), wait_seconds=0)
        give_up_at = time.monotonic() + self.seconds / 3
        for claim in held.values():
            if claim.execution_id not in renewed and time.monotonic() < give_up_at:
                self._renew_alone(claim)

    def _renew_alone(self, claim: Claim) -> None:
        """Waits a little for its row: mostly it is a checkpoint that has it."""
        try:
            if not self._renew([claim], wait_seconds=self.seconds / 10):
                claim.lost.set()
        except NotReady:
            logger.warning("the lease of execution %s could not be renewed: somebody has its row", claim.execution_id)

    def _renew(self, claims: Collection[Claim], *, wait_seconds: float) -> set[int]:
        """Answers the executions that are still those of `claims`. Raises NotReady where it has waited in vain."""
        asked_at = time.monotonic()
        tokens = {claim.execution_id: claim.token for claim in claims}
        mine = select(Execution.id, Execution.lease_token).where(
            Execution.id.in_(tokens), Execution.lease_owner == self.owner, Execution.status == Status.RUNNING
        )
        with self._database.write("renew") as connection:
            if wait_seconds and not self._database.is_sqlite:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(wait_seconds * 1000))}")
            rows = connection.execute(mine.with_for_update(skip_locked=not wait_seconds)).all()
            renewed = {row.id for row in rows if row.lease_token == tokens[row.id]}
            query = update(Execution).where(Execution.id.in_(renewed))
            connection.execute(query.values(lease_until=moment(self.seconds)))
        with self._lock:
            self._renewed_at.update((each, asked_at) for each in renewed & self._held.keys())
        return renewed

    def give_up(self) -> list[int]:
        """The process ends: whatever still runs here is another's to do, at once. Answers the executions."""
        self._lose(renewed_before=math.inf)
        return _put_back(self._database, Execution.lease_owner == self.owner, HANDED_OFF, reason=Reason.DRAIN)

    def _keep_renewing(self) -> None:
        renewed_at = time.monotonic()
        while not self._closed.wait(min(self.seconds / 3, LOOK_SECONDS)):
            try:
                if time.monotonic() - renewed_at < self.seconds / 3:
                    self.look()
                    continue
                self.renew()
                renewed_at = time.monotonic()
            except (NotReady, SQLAlchemyError) as error:
                logger.warning("leases could not be renewed: %s", error.__class__.__name__)
            self._lose(renewed_before=time.monotonic() - self.seconds)

    def _lose(self, *, renewed_before: float) -> None:
        with self._lock:
            for execution_id, claim in self._held.items():
                if self._renewed_at[execution_id] < renewed_before:
                    claim.lost.set()


def recover(database: Database, *, alive: str | None = None) -> list[int]:
    """Put executions whose runner is gone back into the queue; answers their ids.

    A runner is gone when its lease has run out. Where `alive` names the only process that can be (see
    presence.py), every other owner is gone too.
    """
    gone = Execution.lease_until < moment(0.0)
    if alive is not None:
        gone = gone | (Execution.lease_owner != alive)
    return _put_back(database, gone, RECOVERED)


def _put_back(database: Database, which: ColumnElement[bool], kind: str, **data: object) -> list[int]:
    """Put running executions back into the queue, with an event for each; answers their ids."""
    running = select(Execution.id, Execution.lease_owner, Execution.lease_token).where(
        Execution.status == Status.RUNNING, Execution.completed_at.is_(None), which
    )
    with database.read() as connection:  # most of the time there is nothing, and nothing to lock
        if connection.execute(running.limit(1)).first() is None:
            return []
    with database.write("recover") as connection:
        rows = connection.execute(running.with_for_update(skip_locked=True)).all()
        back = update(Execution).where(Execution.id.in_(row.id for row in rows))
        connection.execute(back.values(**IN_THE_QUEUE, rung_at=None, rings=0))
        for row in rows:
            add_event(connection, row.id, kind, row.lease_owner, row.lease_token, **data)
    return [row.id for row in rows]


def add_event(
    connection: Connection, execution_id: int, kind: str, owner: str | None, token: int, **data: object
) -> None:
    """Note that a runner has left an execution, or has been left."""
    values = {"execution_id": execution_id, "kind": kind, "data": {"owner": owner, "lease_token": token, **data}}
    connection.execute(insert(ExecutionEvent).values(**values, at=datetime.now(UTC)))
