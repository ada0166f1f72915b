"""What of an earlier execution stands in a new one: of itself, and, where it is retried, of what it had started.

Here it is found; its rows are written by `inheritance.py`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, exists, select

from src.core.errors import NotFound
from src.core.graph import Graph
from src.core.rerun import Ended, taken_over
from src.core.status import AttemptStatus, Status
from src.database import Database, pieces
from src.models import ChainOfWork, Execution
from src.runtime.inheritance import BY_ITEM, SETTLED, Legacy
from src.runtime.rows import outcome_of
from src.runtime.workflows import Workflows

_CHILD: tuple[Any, ...] = (
    Execution.id, Execution.workflow_id, Execution.workflow_version, Execution.subgraph, Execution.parent_id,
    Execution.parent_node_id,
)  # fmt: skip
_ENDED: tuple[Any, ...] = (
    ChainOfWork.id, ChainOfWork.execution_id, ChainOfWork.node_id, ChainOfWork.node_type, ChainOfWork.status,
    ChainOfWork.decision_result, ChainOfWork.error_type, ChainOfWork.error_message, ChainOfWork.error_class,
    ChainOfWork.error_traceback,
)  # fmt: skip
_HAS_DONE = exists().where(ChainOfWork.execution_id == Execution.id, ChainOfWork.status == AttemptStatus.SUCCESS)


@dataclass(frozen=True, slots=True)
class _Stand:
    graph: Graph
    nodes: frozenset[str]
    """Those that do not run again."""
    attempts: list[int]

    def starts_again(self, node_id: str) -> bool:
        return node_id not in self.nodes and self.graph.nodes[node_id].type in BY_ITEM


@dataclass(frozen=True, slots=True)
class Legacies:
    database: Database
    workflows: Workflows

    def of_rerun(self, origin: Row[Any], version: int, from_node: str) -> Legacy:
        """What stands before `from_node`, which starts everything anew. Raises RerunRefused."""
        graph = self.workflows.graph(origin.workflow_id, version, origin.subgraph)
        return [{origin.id: _stand(graph, self._ended([origin.id])[origin.id], from_node).attempts}]

    def of_retry(self, origin: Row[Any]) -> Legacy:
        """All that has ended and has not failed the run, however deep."""
        levels = [self._stands([origin])]
        while levels[-1]:
            levels.append(self._stands(self._unfinished(levels[-1])))
        return [{each: stand.attempts for each, stand in level.items()} for level in levels]

    def _stands(self, runs: Sequence[Row[Any]]) -> dict[int, _Stand]:
        ended, stands = self._ended(run.id for run in runs), {}
        for run in runs:
            graph = self.workflows.graph(run.workflow_id, run.workflow_version, run.subgraph)
            stands[run.id] = _stand(graph, ended[run.id], None)
        return stands

    def _unfinished(self, parents: Mapping[int, _Stand]) -> list[Row[Any]]:
        """The children that did not complete, have done something that can stand, and are started again."""
        ended = Execution.status.in_((Status.FAILED, Status.STOPPED))
        query = select(*_CHILD).where(ended, _HAS_DONE).order_by(Execution.id)
        with self.database.read() as connection:
            found = [
                row
                for ids in pieces(list(parents))
                for row in connection.execute(query.where(Execution.parent_id.in_(ids)))
            ]
        again = [row for row in found if parents[row.parent_id].starts_again(row.parent_node_id)]
        newest = {each: self._newest(each) for each in {row.workflow_id for row in again if row.subgraph is None}}
        return [row for row in again if row.subgraph is not None or newest[row.workflow_id] == row.workflow_version]

    def _newest(self, workflow_id: int) -> int | None:
        """A called workflow that has been mended since is called anew, from its start."""
        try:
            return int(self.workflows.pinned(workflow_id).version)
        except NotFound:
            return None

    def _ended(self, execution_ids: Iterable[int]) -> dict[int, list[Row[Any]]]:
        ended: dict[int, list[Row[Any]]] = defaultdict(list)
        query = select(*_ENDED).where(ChainOfWork.status.in_(SETTLED)).order_by(ChainOfWork.id)
        with self.database.read() as connection:
            for ids in pieces(list(execution_ids)):
                for row in connection.execute(query.where(ChainOfWork.execution_id.in_(ids))):
                    ended[row.execution_id].append(row)
        return ended


def _stand(graph: Graph, rows: Sequence[Row[Any]], from_node: str | None) -> _Stand:
    """Raises RerunRefused."""
    ended = [Ended(row.node_id, row.node_type, outcome_of(row, {})) for row in rows]
    nodes = frozenset(taken_over(graph, ended, from_node))
    return _Stand(graph, nodes, [row.id for row in rows if row.node_id in nodes])
