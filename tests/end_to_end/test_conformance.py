"""However a run comes to its end, its rows are the same: in one go, handed off before every node, behind its request,
by one runner after another that dies at its commits. Times, owners and claims aside.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from src.bootstrap import build
from src.core.engine import GraphEngine
from src.core.outcome import Attempt, Context, Json
from src.core.plan import Verdict
from src.core.slice import HandOff
from src.core.store import Claim, Store
from src.formats import read_definition
from src.nova import Nova, Role
from src.runtime.leases import Leases, recover
from src.runtime.ledger import Ledger
from src.runtime.store import NewExecution, SqlStore
from src.runtime.workflows import Draft
from src.settings import Settings
from tests.builders import random_definition
from tests.end_to_end.processes import ORDER, WORKFLOW, Installation, Rows
from tests.end_to_end.test_parallel import LINE
from tests.runtime.building import call, eventually, expire, graph

FUNCTIONS = ["tests.end_to_end.functions", "examples.invoice.functions"]
INVOICE = Path(__file__).resolve().parents[2] / "examples" / "invoice" / "workflow.json"
"""The other examples call services and wait for people: `test_examples.py` runs those."""
BOUND = 100
"""Lives, or turns: more than any of these graphs can need."""
AT_ONCE = {"max_attempts": 3, "interval_seconds": 0.001, "jitter": "none"}

TROUBLED = graph(
    "start -> shaky, shaky -error-> broken, shaky -> never, broken -error-> mend, broken -> never, mend -> ask, "
    "ask -yes-> left, ask -> right, left -> end, right -> end, never -> end",
    shaky={"type": "action", "code": "raise Transient('busy')", "retry": AT_ONCE},
    broken=call("refuse"),
    mend={"type": "transform", "set": {"why": "{{ context.error.message }}"}},
    ask={"type": "decision", "expression": "'yes' if 'why' in context else 'no'"},
    left=call("work"),
    right=call("work"),
    never=call("work"),
) | {"retry": AT_ONCE}  # fmt: skip
FAILING = graph("start -> work, work -> broken, broken -> end", work=call("work"), broken=call("refuse"))


def graphs() -> dict[str, tuple[Json, Context]]:
    """Each with its initial context."""
    found: dict[str, tuple[Json, Context]] = {
        "orders": (WORKFLOW, {"order": ORDER}),
        "small orders": (WORKFLOW, {"order": 1}),
        "line": (LINE, {"order": 1}),
        "troubled": (TROUBLED, {"order": 2}),
        "failing": (FAILING, {"order": 3}),
    }
    definition = read_definition(json.loads(INVOICE.read_text(encoding="utf-8"))).graph
    for mail in ("over-limit.eml", "no-attachment.eml"):
        found[f"invoice {mail}"] = (definition, {"mail": mail})
    for seed in range(4):
        drawn = random_definition(Random(seed), ["work"]).document
        found[f"random {seed}"] = (drawn, {"order": seed, "net": 21, "name": "Ada"})
    return found


GRAPHS = graphs()


class Died(Exception):
    """The process is gone."""


class Dying:
    """The store as a process sees it that dies at one of its calls."""

    def __init__(self, store: Store, when: str, calls_before: int) -> None:
        self._store = store
        self._when = when
        self._calls_before = calls_before

    def claim(self, execution_id: int) -> Claim | None:
        claim = self._store.claim(execution_id)
        self._come_to("claimed")
        return claim

    def checkpoint(self, claim: Claim, attempts: Sequence[Attempt]) -> bool:
        self._come_to("before a commit")
        is_asked = self._store.checkpoint(claim, attempts)
        self._come_to("after a commit")
        return is_asked

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        self._come_to("before a commit")
        self._store.settle(claim, verdict, attempts)
        self._come_to("after a commit")

    def answers(self, claim: Claim) -> dict[str, Json]:
        return self._store.answers(claim)

    def release(self, claim: Claim, hand_off: HandOff) -> None:
        self._store.release(claim, hand_off)

    def forget(self, claim: Claim) -> None:
        self._store.forget(claim)

    def _come_to(self, place: str) -> None:
        if place == self._when:
            self._calls_before -= 1
            if self._calls_before < 0:
                raise Died


class House:
    """Processes of every kind on one database, in this one."""

    def __init__(self, url: str, folder: Path, resources: ExitStack) -> None:
        self.installation = Installation(url, folder)
        self.turns = self.deaths = 0
        self._resources = resources
        self.nova = self._started(Role.COMMAND, slice_nodes=1)
        self.behind_requests = self._started(Role.WEB)  # takes only what it is told of
        self._ledger = Ledger(self.nova.database, lease_seconds=30, patience_seconds=0)
        resources.callback(self._ledger.close)

    def _started(self, role: Role, **settings: Any) -> Nova:
        url = self.installation.url
        nova = build(Settings(database_url=url, nova_functions=FUNCTIONS, sandbox_packages="pypdf", **settings), role)
        self._resources.callback(nova.close)
        nova.serve(sweep=False)
        return nova

    def order(self, definition: Json, context: Context) -> NewExecution:
        workflow_id = self.nova.workflows.keep(Draft("conformance", definition))
        effects = str(self.installation.effects_file)
        return self.nova.executions.order(workflow_id, context | {"effects": effects})

    def is_final(self, execution_id: int) -> bool:
        return self.nova.executions.status(execution_id).is_final

    def history(self, execution_id: int) -> tuple[Rows, Rows]:
        assert self.nova.executions.verify(execution_id) == []
        attempts, [execution] = self.installation.history(execution_id)
        return attempts, [execution | {"mode": "any"}]

    # The ways to the end of an execution. Each answers its id.

    def in_one_go(self, new: NewExecution) -> int:
        execution_id, hand_off = self.nova.dispatcher.run_inline(new)
        assert hand_off is None
        return execution_id

    def handed_off_before_every_node(self, new: NewExecution) -> int:
        execution_id = self.nova.dispatcher.enqueue(new)
        for _ in range(BOUND):
            if self.is_final(execution_id):
                break
            self.nova.dispatcher.take(execution_id)
            self.turns += 1
        return execution_id

    def behind_the_request(self, new: NewExecution) -> int:
        execution_id = self.behind_requests.dispatcher.enqueue(new)
        eventually(lambda: self.is_final(execution_id), seconds=60, what="its end")
        return execution_id

    def by_runners_that_die_before_their_second_commit(self, new: NewExecution) -> int:
        return self._by_the_dying(new, [("before a commit", 1)])

    def by_runners_that_die_after_their_first_commit(self, new: NewExecution) -> int:
        return self._by_the_dying(new, [("after a commit", 0)])

    def by_runners_that_die_at_once_or_before_a_commit(self, new: NewExecution) -> int:
        return self._by_the_dying(new, [("claimed", 0), ("before a commit", 0), ("after a commit", 0)])

    def _by_the_dying(self, new: NewExecution, deaths: list[tuple[str, int]]) -> int:
        """One runner after another takes it, and dies as told, in turn."""
        execution_id = self.nova.dispatcher.enqueue(new)
        for life in range(BOUND):
            if self.is_final(execution_id):
                break
            self._live(execution_id, f"owner {life}", *deaths[life % len(deaths)])
        return execution_id

    def _live(self, execution_id: int, owner: str, when: str, calls_before: int) -> None:
        nova = self.nova
        leases = Leases(nova.database, owner=owner, seconds=30)
        store = SqlStore(nova.database, self._ledger, leases, nova.workflows.graph)
        with ThreadPoolExecutor(8) as threads:
            engine = GraphEngine(
                Dying(store, when, calls_before),
                nova.workshop,
                threads=threads,
                node_concurrency=8,
                max_output_bytes=10**6,
            )
            try:
                engine.run(execution_id)
            except Died:
                self.deaths += 1
        leases.close()
        if not self.is_final(execution_id):
            expire(nova.database, execution_id)
            recover(nova.database)


WAYS: list[Callable[[House, NewExecution], int]] = [
    House.handed_off_before_every_node,
    House.behind_the_request,
    House.by_runners_that_die_before_their_second_commit,
    House.by_runners_that_die_after_their_first_commit,
    House.by_runners_that_die_at_once_or_before_a_commit,
]


@pytest.fixture
def house(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("INVOICE_DATA", str(tmp_path / "invoices"))
    with ExitStack() as resources:
        yield House(database_url, tmp_path, resources)


def test_every_way_leaves_the_same_rows(house: House) -> None:
    for name, (definition, context) in GRAPHS.items():
        new = house.order(definition, context)
        expected = house.history(house.in_one_go(new))

        for way in WAYS:
            execution_id = way(house, new)

            assert house.history(execution_id) == expected, f"{name}: {way.__name__}"

    assert house.turns > 3 * len(GRAPHS)
    assert house.deaths > 10 * len(GRAPHS)
