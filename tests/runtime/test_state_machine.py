"""The state machine of `tests/core/rules.py` on real databases: with children, the sweep, and deaths between a commit
and what hangs on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from src.core.graph import Graph
from src.core.outcome import Context, Outcome
from src.core.plan import Verdict
from src.core.status import Mode, Status
from src.core.store import Claim
from src.runtime.bells import Silence
from src.runtime.children import Children
from src.runtime.clients import Clients
from src.runtime.control import Control
from src.runtime.executions import Executions
from src.runtime.history import past_of
from src.runtime.leases import recover
from src.runtime.legacies import Legacies
from src.runtime.queue import Queue
from src.runtime.reruns import Reruns
from src.runtime.reviews import Answer, Reviews
from src.runtime.store import NewExecution, SqlStore
from src.runtime.wakes import Wakes
from src.runtime.workflows import Draft, Workflows
from tests.core.drawn import Drawn
from tests.core.rules import Mortal, Runs
from tests.core.simulate import Crash
from tests.runtime.building import PLAIN, Parts, change, expire


class DrawnWorkflows(Workflows):
    """One workflow, whose graphs are drawn: they cannot be written down as definitions."""

    def draw(self, drawn: Drawn) -> None:
        self._drawn = {f"/{node_id}": mapped.case.graph for node_id, mapped in drawn.mapped.items()}
        self._drawn[""] = drawn.case.graph
        self.graph.cache_clear()

    def _load_graph(self, workflow_id: int, version: int, subgraph: str | None = None) -> Graph:
        return self._drawn[subgraph or ""]


class Rows:
    """The parts of a process that keep executions, wake them and look after their children, on one database."""

    with_children = True
    may_pause = (Status.QUEUED, Status.RUNNING, Status.WAITING)
    may_answer = (*may_pause, Status.PAUSED)

    def __init__(self, parts: Parts) -> None:
        self._parts, self._database = parts, parts.database
        self._workflow_id = parts.workflows.keep(Draft("drawn", PLAIN))
        self._workflows = DrawnWorkflows(self._database, parts.kinds)
        queue = Queue(self._database, Silence())
        self._wakes = Wakes(self._database, queue, Children(self._database, queue, parts.leases.lose))
        self._control = Control(self._database, queue, parts.leases.lose, child_ended=self._wakes.child_ended)
        self._reviews = Reviews(self._database, self._wakes, max_output_bytes=100_000)
        self._executions = Executions(
            self._database, self._workflows, Clients(self._database), max_context_bytes=100_000
        )
        self._rows = SqlStore(
            self._database, parts.ledger, parts.leases, self._workflows.graph, settled=self._settled, tend=self._tend
        )
        legacies = Legacies(self._database, self._workflows)
        self._reruns = Reruns(self._database, self._executions, legacies, self._rows, queue, Mode.INLINE)
        self.store = Mortal(self._rows)

    def _settled(self, claim: Claim, verdict: Verdict) -> None:
        self._die_if_told()
        self._wakes.settled(claim, verdict)

    def _tend(self, parent_id: int) -> None:
        self._die_if_told()
        self._wakes.children.tend(parent_id)

    def _die_if_told(self) -> None:
        """What was committed is there, and nobody was told of it."""
        if self.store.crash_after:
            raise Crash

    def create(self, drawn: Drawn) -> int:
        self._workflows.draw(drawn)
        new = NewExecution(self._workflow_id, 1, drawn.case.initial_context)
        return self._rows.enqueue(new, mode=Mode.INLINE)

    def statuses(self, head: int) -> dict[int, Status]:
        rows = self._parts.rows("SELECT id, status FROM executions WHERE id >= :head ORDER BY id", head=head)
        return {row.id: Status(row.status) for row in rows}

    def outcomes(self, execution_id: int) -> list[tuple[str, Outcome]]:
        with self._database.read() as connection:
            return list(past_of(connection, execution_id).outcomes)

    def described(self, execution_id: int) -> tuple[Graph, Context, Context | None]:
        found = self._executions.find(execution_id)
        graph = self._workflows.graph(self._workflow_id, 1, found.row.subgraph)
        return graph, found.initial_context, found.result

    def children(self, execution_id: int, node_id: str) -> list[int]:
        which = "WHERE parent_id = :id AND parent_node_id = :node ORDER BY parent_item"
        rows = self._parts.rows(f"SELECT id FROM executions {which}", id=execution_id, node=node_id)
        return [row.id for row in rows]

    def complaints(self, execution_id: int) -> list[str]:
        return self._executions.verify(execution_id)

    def retry(self, execution_id: int) -> int | None:
        return self._reruns.retry(execution_id)

    def pause(self, execution_id: int) -> None:
        self._control.pause(execution_id)

    def resume(self, execution_id: int) -> None:
        self._control.resume(execution_id)

    def stop(self, execution_id: int) -> None:
        self._control.stop(execution_id)

    def answer(self, execution_id: int, node_id: str, decision: str, output: Context | None) -> None:
        self._reviews.decide(execution_id, node_id, Answer(decision, output=output))

    def let_time_pass(self) -> None:
        past = datetime(2020, 1, 1, tzinfo=UTC) if not self._database.is_sqlite else "2020-01-01 00:00:00.000000"
        change(self._database, "UPDATE executions SET wake_at = :past WHERE wake_at IS NOT NULL", past=past)

    def lose(self, execution_id: int) -> None:
        expire(self._database, execution_id)

    def sweep(self) -> None:
        recover(self._database)
        self._wakes.wake_due()

    def told(self, head: int) -> str:
        executions = (
            "SELECT id, parent_id, parent_node_id, parent_item, status, waiting_for, wake_at, requested, lease_token, "
            "lease_until, error, result FROM executions WHERE id >= :head ORDER BY id"
        )
        attempts = (
            "SELECT execution_id, node_id, attempt, status, waiting_for, wakes_at, details, lease_token "
            "FROM chain_of_work WHERE execution_id >= :head ORDER BY id"
        )
        events = "SELECT execution_id, kind, data FROM execution_events WHERE execution_id >= :head ORDER BY id"
        found = [row for query in (executions, attempts, events) for row in self._parts.rows(query, head=head)]
        return "\n".join(map(str, found))


@contextmanager
def rows_in(url: str) -> Iterator[Rows]:
    parts = Parts(url)
    try:
        yield Rows(parts)
    finally:
        parts.close()


def play(url: str, *, examples: int, number: int) -> None:
    """The same examples every time, none of them made smaller: on a database that would take minutes.

    Args:
        number: the seed. Of so few examples not all have deaths around the start of children, stops, and retries with
            children that stand: those of the seeds below have, and find what was broken on purpose.
    """
    told = settings(
        max_examples=examples,
        stateful_step_count=25,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    with rows_in(url) as rows:
        make: Any = partial(Runs, rows)  # it asks for a class, and takes whatever makes a machine
        run_state_machine_as_test(seed(number)(make), settings=told)


def test_families_of_runs_come_to_their_end_on_sqlite(sqlite_url: str) -> None:
    play(sqlite_url, examples=8, number=19)


def test_families_of_runs_come_to_their_end_on_postgresql(postgres_url: str) -> None:
    play(postgres_url, examples=4, number=18)
