"""Graphs for the state machine of `rules.py`, drawn at random: what each node ends as, what befalls it before that, and
which of them start executions of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from src.core.graph import Graph
from src.core.outcome import Child, Failed, Json, Outcome, Succeeded, Waiting
from src.core.policy import RunPolicy
from src.core.retry import RetryPolicy
from src.core.status import Status
from tests.builders import Case, DrawnNode, failed, random_case
from tests.core.reference import Reference

LONG = RetryPolicy(max_attempts=3, interval_seconds=60, jitter="none")
"""Longer than the engine would sleep in place."""
TROUBLES = ("transient", "partial", "wait", "none", "none")


class Mapped(NamedTuple):
    """A node that starts executions: what runs in them, how many, and how."""

    case: Case
    details: dict[str, Json]

    @property
    def children(self) -> list[Child]:
        return [Child({"item": item}) for item in range(self.details["items"])]

    def outcome(self, node_id: str, ends: Sequence[dict[str, Json]]) -> Outcome:
        """What the node ends as when its children have ended so."""
        completed = [end["status"] == Status.COMPLETED for end in ends]
        if not all(completed) and self.details["on_error"] == "fail":
            return failed(node_id)
        return Succeeded({node_id: [end["result"] if ok else None for end, ok in zip(ends, completed, strict=True)]})


@dataclass(frozen=True)
class Drawn:
    """What the executions of one example are made of."""

    case: Case
    mapped: dict[str, Mapped]
    trouble: dict[str, str]
    """What befalls a node once, in each execution, on the way to its outcome."""

    @property
    def cases(self) -> list[Case]:
        return [self.case, *(each.case for each in self.mapped.values())]

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return {node_id: outcome for case in self.cases for node_id, outcome in case.outcomes.items()}

    @property
    def status(self) -> Status:
        """What it ends as, where nobody stops anything."""
        ends = {each: [{"status": _end_of(mapped.case), "result": None}] for each, mapped in self.mapped.items()}
        with_ends = {each: self.mapped[each].outcome(each, end) for each, end in ends.items()}
        return _end_of(self.case._replace(outcomes={**self.case.outcomes, **with_ends}))


def draw(random: Random, *, with_children: bool) -> Drawn:
    may_fail = random.random() < 0.3
    cases = [random_case(random, most_nodes=7, may_fail=may_fail) for _ in range(2)]
    case = _with_a_way_out(random, max(cases, key=lambda each: len(each.graph.nodes)))
    able = [node.id for node in case.graph.nodes.values() if not (node.effect_free or node.chooses)]
    chosen = random.sample(able, min(len(able), random.randint(1, 2))) if with_children else []
    mapped = {node_id: _mapped(random, node_id) for node_id in chosen}
    nodes = [DrawnNode(each.id, "map") if each.id in mapped else each for each in case.graph.nodes.values()]
    case = case._replace(graph=Graph(nodes, case.graph.edges))
    trouble: dict[str, str] = {}
    for each in (case, *(inner.case for inner in mapped.values())):
        each.graph.policy = RunPolicy(retry=LONG)
        trouble |= {node_id: random.choice(TROUBLES) for node_id in each.graph.nodes}
    return Drawn(case, mapped, trouble)


def _with_a_way_out(random: Random, case: Case) -> Case:
    """No decision of a real kind succeeds with a branch for which there is no edge."""
    return case._replace(outcomes={each: _possible(random, case, each) for each in case.outcomes})


def _possible(random: Random, case: Case, node_id: str) -> Outcome:
    outcome, ways = case.outcomes[node_id], case.graph.branches[node_id]
    if isinstance(outcome, Failed | Waiting) or outcome.branch is None or not ways or ways & {None, outcome.branch}:
        return outcome
    return replace(outcome, branch=random.choice(sorted(way for way in ways if way)))


def _mapped(random: Random, node_id: str) -> Mapped:
    case = _with_a_way_out(random, random_case(random, most_nodes=3, prefix=f"{node_id}/"))
    details = {"items": random.randint(1, 3), "concurrency": random.randint(1, 2)}
    return Mapped(case, details | {"on_error": random.choice(("fail", "collect"))})


def _end_of(case: Case) -> Status:
    ended: dict[str, Outcome] = {}
    while ready := Reference(case.graph, {}, ended).ready:
        ended |= {node_id: case.outcomes[node_id] for node_id in ready}
    return Status.FAILED if any(isinstance(outcome, Failed) for outcome in ended.values()) else Status.COMPLETED
