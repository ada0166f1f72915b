"""What is next, from the graph and what has happened. Pure: resuming is replaying the checkpoints through `record`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from src.core.fold import Fold
from src.core.graph import ERROR, Graph
from src.core.node import Node
from src.core.outcome import Context, Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.core.status import Status


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an execution ends, or that it waits."""

    status: Status
    result: Context
    """The context at its end."""
    error: NodeError | None = None
    node_id: str | None = None
    """The node that failed."""
    waits: tuple[Waiting, ...] = ()
    """What it waits for, if it does."""

    @property
    def wake_at(self) -> datetime | None:
        return min((wait.until for wait in self.waits if wait.until is not None), default=None)

    @property
    def waiting_for(self) -> WaitFor | None:
        """The one that needs somebody most: a person before a child before time."""
        return max((wait.reason for wait in self.waits), key=list(WaitFor).index, default=None)


class Plan:
    def __init__(
        self, graph: Graph, initial_context: Context | None = None, history: Iterable[tuple[str, Outcome]] = ()
    ) -> None:
        self.graph = graph
        self._fold = Fold(graph, initial_context or {})
        self._unsettled = {node_id: len(edges) for node_id, edges in graph.incoming.items()}
        self._live: dict[str, list[str]] = {node_id: [] for node_id in graph.nodes}
        self._ready = {node_id for node_id, inputs in self._unsettled.items() if inputs == 0}
        self._settled: dict[str, Outcome | None] = {}
        self._waiting: dict[str, Waiting] = {}
        self._failure: tuple[str, NodeError] | None = None
        for node_id, outcome in history:  # there is no other way in
            self.record(node_id, outcome)

    def ready(self) -> list[Node]:
        """Every node whose inputs are settled and which has no outcome yet, in topological order."""
        if self._failure:
            return []
        return [self.graph.nodes[node_id] for node_id in sorted(self._ready, key=self.graph.rank.__getitem__)]

    def context_of(self, node_id: str) -> Context:
        """The context that a ready node sees. Not to be changed."""
        return self._fold.before(self._live[node_id])

    def record(self, node_id: str, outcome: Outcome) -> list[Node]:
        """Take note of what a ready node ended as; answers the nodes that became ready by it.

        Raises:
            ValueError: the node is not ready, so the history does not belong to this graph.
        """
        if node_id not in self._ready:
            raise ValueError(f"node {node_id!r} cannot have an outcome here: it is not ready")
        self._waiting.pop(node_id, None)
        match outcome:
            case Succeeded():
                self._fold.add(node_id, self._live[node_id], outcome.output)
                return self._settle(node_id, outcome)
            case Failed(error=error) if ERROR in self.graph.branches[node_id]:
                self._fold.add(node_id, self._live[node_id], {ERROR: _as_value(node_id, error)})
                return self._settle(node_id, outcome)
            case Failed(error=error):
                self._failure = self._failure or (node_id, error)
                self._ready.discard(node_id)
                self._settled[node_id] = outcome
            case Waiting():
                self._waiting[node_id] = outcome
        return []

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """The ready nodes that wait, and for what."""
        return self._waiting

    @property
    def settled(self) -> dict[str, Outcome | None]:
        """Outcome by node, in the order they came; None for a node that was skipped."""
        return self._settled

    @property
    def failed(self) -> bool:
        return self._failure is not None

    @property
    def verdict(self) -> Verdict:
        """How the execution ends, once nothing is ready and nothing runs."""
        if self._failure:
            node_id, error = self._failure
            return Verdict(Status.FAILED, self._fold.all(), error, node_id)
        if self._waiting:
            return Verdict(Status.WAITING, {}, waits=tuple(self._waiting.values()))
        return Verdict(Status.COMPLETED, self._fold.all())

    def _settle(self, node_id: str, outcome: Succeeded | Failed | None) -> list[Node]:
        """Pass on that a node is done (or skipped: None), down to every node that it makes ready."""
        became_ready: list[Node] = []
        pending: list[tuple[str, Succeeded | Failed | None]] = [(node_id, outcome)]
        while pending:
            source, ended = pending.pop()
            self._ready.discard(source)
            self._settled[source] = ended
            taken = _taken(self.graph.branches[source], ended)
            for edge in self.graph.outgoing[source]:
                if edge.condition in taken:
                    self._live[edge.target].append(source)
                self._unsettled[edge.target] -= 1
                if self._unsettled[edge.target] > 0:
                    continue
                if self._live[edge.target]:
                    self._ready.add(edge.target)
                    became_ready.append(self.graph.nodes[edge.target])
                else:
                    pending.append((edge.target, None))
        return [] if self._failure else became_ready


def _as_value(node_id: str, error: NodeError) -> Json:
    """What the nodes along an error edge find in the context."""
    return {"node_id": node_id, "type": error.type, "message": error.message, "class": str(error.error_class)}


def _taken(conditions: frozenset[str | None], ended: Succeeded | Failed | None) -> Collection[str | None]:
    """The conditions of the edges that a run goes along: none out of a skipped node, the error edges out of a failed
    one, every other out of a node that does not choose, the chosen branch out of a choice, or else its default: the
    edge without condition.
    """
    if ended is None:
        return ()
    if isinstance(ended, Failed):
        return (ERROR,)
    if ended.branch is None:
        return conditions - {ERROR} if ERROR in conditions else conditions
    return (ended.branch,) if ended.branch in conditions else (None,)
