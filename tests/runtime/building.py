"""Builders for the tests of the runtime: parts wired as `bootstrap.build` wires them, attempts, rows as they stand."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, text

from src.bootstrap import build
from src.core.engine import NodeChange
from src.core.outcome import Attempt, Context, Json, Outcome, Succeeded
from src.core.plan import Verdict
from src.core.slice import HandOff, Reason
from src.core.status import AttemptStatus, Mode, Status
from src.core.store import Claim
from src.database import Database
from src.extensions import load_functions
from src.models import ChainOfWork, Client, Execution
from src.nodes import InstalledKinds
from src.nova import Nova
from src.runtime.executions import Found
from src.runtime.inheritance import take_over_completed
from src.runtime.leases import Leases
from src.runtime.ledger import Ledger
from src.runtime.store import NewExecution, SqlStore
from src.runtime.workflows import Draft, Workflows
from src.settings import Settings

FUNCTIONS = "tests.runtime.functions"
PATIENCE_SECONDS = 20.0


def graph(edges: str, **nodes: Mapping[str, Json]) -> dict[str, Json]:
    """The definition of `a -> b, b -yes-> c`: what `nodes` does not describe is a start, an end or a transform."""
    parts = [part.split() for part in edges.split(",")]
    ids = list(dict.fromkeys(node_id for source, _, target in parts for node_id in (source, target)))
    fields = {"start": {"type": "start"}, "end": {"type": "end"}}
    return {
        "nodes": [{"id": each, **nodes.get(each, fields.get(each, {"type": "transform", "set": {}}))} for each in ids],
        "edges": [_edge(source, arrow, target) for source, arrow, target in parts],
    }


def _edge(source: str, arrow: str, target: str) -> dict[str, str]:
    condition = arrow.strip("->")
    return {"from": source, "to": target} | ({"condition": condition} if condition else {})


def call(function: str) -> dict[str, Json]:
    """A node that calls a function of tests/runtime/functions.py."""
    return {"type": "function", "function": function}


CHOICE = {"type": "decision", "expression": "'yes'"}
PLAIN = graph("start -> a, a -> b, b -> c, c -> ask, ask -yes-> d, ask -> e, d -> end, e -> end", ask=CHOICE)
"""Has a node for every attempt that the tests of stores write."""


class Parts:
    """The parts of one process that keep executions, and no others."""

    def __init__(
        self, url: str, *, owner: str = "one", lease_seconds: float = 30.0, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.database = Database(url)
        self.kinds = InstalledKinds(load_functions([FUNCTIONS]))
        self.workflows = Workflows(self.database, self.kinds)
        self.leases = Leases(self.database, owner=owner, seconds=lease_seconds)
        self.ledger = Ledger(self.database, lease_seconds=lease_seconds, patience_seconds=patience_seconds)
        self.store = SqlStore(self.database, self.ledger, self.leases, self.workflows.graph)

    def create(self, context: Context | None = None) -> int:
        """An execution that is granted to this process."""
        workflow_id = self.workflows.keep(Draft("plain", PLAIN))
        version = self.workflows.find(workflow_id).version
        return self.store.create(NewExecution(workflow_id, version, context or {}))

    def claimed(self, context: Context | None = None) -> Claim:
        return claimed(self.store.claim(self.create(context)))

    def rows(self, statement: str, **values: object) -> list[Row[Any]]:
        return rows(self.database, statement, **values)

    def close(self) -> None:
        self.leases.close()
        self.ledger.close()
        self.database.close()


@contextmanager
def parts(url: str, **options: Any) -> Iterator[Parts]:
    made = Parts(url, **options)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def running(url: str, *, watch: Callable[[NodeChange], None] = lambda _: None, **settings: Any) -> Iterator[Nova]:
    """All the parts of a process, started."""
    nova = build(Settings(database_url=url, nova_functions=[FUNCTIONS], **settings), watch=watch)
    nova.start()
    try:
        yield nova
    finally:
        nova.close()


HANDED_OFF = HandOff(Reason.SLICE)


def run_to_end(nova: Nova, new: NewExecution) -> Found:
    """Run an execution to its end, in this thread."""
    execution_id, _ = nova.dispatcher.run_inline(new)
    return nova.executions.find(execution_id)


def resume(nova: Nova, execution_id: int) -> Found:
    nova.dispatcher.resume_here(execution_id)
    return nova.executions.find(execution_id)


def claimed(claim: Claim | None) -> Claim:
    assert claim is not None, "the execution could not be claimed"
    return claim


def attempt(node_id: str, output: Context | None = None, *, number: int = 1, outcome: Outcome | None = None) -> Attempt:
    ended_as = Succeeded(output or {}) if outcome is None else outcome
    return Attempt(node_id, "transform", number, ended_as, started_at=datetime.now(UTC), execution_time=0.001)


def completed(result: Context | None = None) -> Verdict:
    return Verdict(Status.COMPLETED, result or {})


def rows(database: Database, statement: str, **values: object) -> list[Row[Any]]:
    with database.read() as connection:
        return list(connection.execute(text(statement), values))


def change(database: Database, statement: str, **values: object) -> None:
    with database.write() as connection:
        connection.execute(text(statement), values)


def kept_nodes(database: Database, execution_id: int) -> list[str]:
    """The nodes that have a row, in the order they were written."""
    found = rows(database, "SELECT node_id FROM chain_of_work WHERE execution_id = :id ORDER BY id", id=execution_id)
    return [row.node_id for row in found]


def expire(database: Database, execution_id: int) -> None:
    """Let the lease of an execution have run out an hour ago."""
    past = datetime(2020, 1, 1, tzinfo=UTC) if not database.is_sqlite else "2020-01-01 00:00:00.000000"
    change(database, "UPDATE executions SET lease_until = :past WHERE id = :id", past=past, id=execution_id)


def add_client(database: Database, slug: str, *, is_active: bool = True) -> int:
    row = insert(Client).values(slug=slug, name=slug, is_active=is_active, created_at=datetime.now(UTC))
    with database.write() as connection:
        client_id: int = connection.execute(row.returning(Client.id)).scalar_one()
    return client_id


def add_failed_map(database: Database, workflow_id: int, count: int, context: Context) -> tuple[int, int]:
    """A failed `map` of which so many children have completed long ago, and the bare row of its retry."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    row = {"workflow_id": workflow_id, "workflow_version": 1, "mode": Mode.INLINE, "initial_context": context}
    failed = {**row, "status": Status.FAILED, "created_at": past, "completed_at": past}
    node = {"node_id": "each", "node_type": "map", "attempt": 1, "status": AttemptStatus.FAILED, "lease_token": 1}
    times = {"started_at": past, "timestamp": past, "execution_time": 1.0}
    child = {**failed, "status": Status.COMPLETED, "started_at": past, "parent_node_id": "each"}
    with database.write() as connection:
        new = insert(Execution).returning(Execution.id)
        origin = connection.execute(new.values(**failed, task_id="origin")).scalar_one()
        queued = {**row, "status": Status.QUEUED, "created_at": past, "origin_id": origin}
        retry = connection.execute(new.values(**queued, task_id="retry")).scalar_one()
        connection.execute(insert(ChainOfWork).values(**node, **times, execution_id=origin))
        places = [{"parent_id": origin, "parent_item": item, "task_id": f"child {item}"} for item in range(count)]
        connection.execute(insert(Execution), [{**child, **place} for place in places])
    return origin, retry


def add_taken_over(database: Database, workflow_id: int, count: int) -> None:
    """So many children that a retry has taken over."""
    _, retry = add_failed_map(database, workflow_id, count, {})
    with database.write() as connection:
        take_over_completed(connection, retry)


def eventually(condition: Callable[[], object], *, seconds: float = 20.0, what: str = "the condition") -> None:
    """Return as soon as `condition` holds."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"{what} did not come true within {seconds:g} s"
        time.sleep(0.005)


def waiting_for_locks(connection: Connection, count: int) -> bool:
    """At least `count` sessions of this PostgreSQL database wait for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(connection.execute(query).scalar_one()) >= count
