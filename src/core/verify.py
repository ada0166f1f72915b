"""Checks the history of an execution against its graph: claims, fences, order, nothing repeated, nothing missing.

It shares no code with `plan.py` and `fold.py` on purpose: a mistake there must show here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from src.core.graph import Edge, Graph
from src.core.outcome import Context
from src.core.status import AttemptStatus, Status


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of `chain_of_work`."""

    node_id: str
    node_type: str
    attempt: int
    status: AttemptStatus
    output: Context
    branch: str | None
    lease_token: int
    is_taken_over: bool = False
    """It stands for an attempt of an earlier execution, and was written under no claim."""
    error: Context = field(default_factory=dict)
    """Type, message and class, where it failed."""


@dataclass(frozen=True, slots=True)
class History:
    """An execution and its rows, in the order they were written."""

    graph: Graph
    status: Status
    lease_token: int
    lease_owner: str | None
    initial_context: Context
    result: Context | None
    rows: Sequence[Kept]
    returns: int
    """How often the execution went back to the queue: recovered or handed off."""


def violations(history: History) -> list[str]:
    """What is wrong, a sentence each. Nothing for a history as Nova promises it."""
    return [*_of_claims(history), *_of_repetition(history), *_of_order(history), *_of_the_end(history)]


def _of_claims(history: History) -> Iterator[str]:
    """Every claim after the first follows a return to the queue, and rows come under tokens that only grow."""
    if history.lease_token - 1 > history.returns:
        yield f"claimed {history.lease_token} times, but back in the queue only {history.returns} times"
    if history.status.is_final and history.lease_owner is not None:
        yield f"it is {history.status}, and {history.lease_owner} still holds its lease"
    newest = min(1, history.lease_token)
    for row in (row for row in history.rows if not row.is_taken_over):
        if row.lease_token < newest:
            yield f"{_name(row)} was written under token {row.lease_token} after one under {newest}"
        newest = max(newest, row.lease_token)
    if newest > history.lease_token:
        yield f"rows under token {newest}, which nobody has claimed: the last is {history.lease_token}"


def _of_repetition(history: History) -> Iterator[str]:
    attempts: dict[str, int] = {}
    ended: set[str] = set()
    for row in history.rows:
        if row.node_id in ended:
            yield f"{_name(row)} after the node had ended"
        expected = attempts.get(row.node_id, 0) + 1
        if row.attempt != expected:
            yield f"{_name(row)} where attempt {expected} was to come"
        attempts[row.node_id] = row.attempt
        if row.status in (AttemptStatus.SUCCESS, AttemptStatus.FAILED):
            ended.add(row.node_id)


def _of_order(history: History) -> Iterator[str]:
    trace = _Trace(history.graph)
    for row in history.rows:
        node = history.graph.nodes.get(row.node_id)
        if node is None:
            yield f"{_name(row)}: there is no such node"
            continue
        if node.type != row.node_type:
            yield f"{_name(row)} ran as {row.node_type}, but is of kind {node.type}"
        incoming = [trace.is_live(edge) for edge in history.graph.incoming[row.node_id]]
        if None in incoming:
            yield f"{_name(row)} before its inputs were settled"
        elif incoming and not any(incoming):
            yield f"{_name(row)} on a branch that was not taken"
        trace.follow(row)


def _of_the_end(history: History) -> Iterator[str]:
    if not history.status.is_final or history.status is Status.STOPPED:
        return
    failed = [row.node_id for row in history.rows if row.status is AttemptStatus.FAILED]
    unseen = [node_id for node_id in failed if not _has_error_edge(history.graph, node_id)]
    if history.status is Status.COMPLETED:
        yield from (f"completed, but {node_id!r} has no result" for node_id in sorted(_missing(history)))
        yield from (f"completed, but {node_id!r} failed" for node_id in unseen)
    if history.status is Status.FAILED and not unseen:
        yield "failed, but no node did"
    if history.result != _expected_result(history):
        yield "the result is not what its outputs add up to"


def _missing(history: History) -> set[str]:
    """The nodes that should have ended, and have not."""
    trace = _Trace(history.graph)
    for row in history.rows:
        trace.follow(row)
    ended = {row.node_id for row in history.rows if row.status in (AttemptStatus.SUCCESS, AttemptStatus.FAILED)}
    return history.graph.nodes.keys() - ended - trace.skipped


def _expected_result(history: History) -> Context:
    outputs = {row.node_id: row.output for row in history.rows if row.status is AttemptStatus.SUCCESS}
    for row in history.rows:
        if row.status is AttemptStatus.FAILED and _has_error_edge(history.graph, row.node_id):
            outputs[row.node_id] = {"error": {"node_id": row.node_id, **row.error}}
    expected = dict(history.initial_context)
    for node_id in history.graph.order:
        expected |= outputs.get(node_id, {})
    return expected


def _has_error_edge(graph: Graph, node_id: str) -> bool:
    return any(edge.condition == "error" for edge in graph.outgoing[node_id])


class _Trace:
    """Which edges were gone along, from the branches that were taken so far."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._branch: dict[str, str | None] = {}
        self._failed: set[str] = set()
        self._has_error_edges = any(edge.condition == "error" for edge in graph.edges)
        self.skipped: set[str] = set()

    def follow(self, row: Kept) -> None:
        if row.status is AttemptStatus.FAILED:
            self._failed.add(row.node_id)
        elif row.status is not AttemptStatus.SUCCESS:
            return
        self._branch[row.node_id] = row.branch
        if row.branch is None and not self._has_error_edges:
            return
        self.skipped = set()
        for each in self._graph.order:
            incoming = self._graph.incoming[each]
            if incoming and all(self.is_live(edge) is False for edge in incoming):
                self.skipped.add(each)

    def is_live(self, edge: Edge) -> bool | None:
        """None: not known yet."""
        if edge.source in self.skipped:
            return False
        if edge.source not in self._branch:
            return None
        if edge.source in self._failed:
            return edge.condition == "error"
        taken = self._branch[edge.source]
        if taken is None:
            return edge.condition != "error"
        has_edge = any(other.condition == taken for other in self._graph.outgoing[edge.source])
        return edge.condition == (taken if has_edge else None)


def _name(row: Kept) -> str:
    return f"{row.node_id!r} attempt {row.attempt}"
