"""How long the nodes of a workflow usually take, learned from `chain_of_work`."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import func, select

from src.database import Database
from src.models import ChainOfWork, Execution

RECENT = 50
"""Executions that are looked at: last month's code says little about today's."""
FEWEST = 5
"""Attempts below which nothing is said about a node."""
SLOW_SECONDS = 1.0
"""Nodes that never took longer fit into any budget."""
REMEMBERED_SECONDS = 60.0


class Forecast:
    """Learned anew for each workflow about once a minute, by whoever asks first."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[int, Mapping[str, float]] = {}
        self._learned_at: dict[int, float] = {}
        self._lock = threading.Lock()

    def of(self, workflow_id: int) -> Mapping[str, float]:
        """Seconds that 95 of 100 attempts stayed under, by node; only nodes that are worth a thought."""
        with self._lock:
            is_old = self._clock() - self._learned_at.get(workflow_id, -REMEMBERED_SECONDS) >= REMEMBERED_SECONDS
            if is_old:  # the others go on with what is known
                self._learned_at[workflow_id] = self._clock()
        if is_old:
            self._known[workflow_id] = self._learn(workflow_id)
        return self._known.get(workflow_id, {})

    def _learn(self, workflow_id: int) -> Mapping[str, float]:
        recent = select(Execution.id).where(Execution.workflow_id == workflow_id)
        recent = recent.order_by(Execution.id.desc()).limit(RECENT)
        seconds = func.max(ChainOfWork.execution_time)
        slow = select(ChainOfWork.node_id).where(ChainOfWork.execution_id.in_(recent))
        slow = slow.group_by(ChainOfWork.node_id).having(func.count() >= FEWEST, seconds > SLOW_SECONDS)
        with self._database.read() as connection:
            nodes = list(connection.execute(slow).scalars())
            if not nodes:
                return {}
            rows = connection.execute(
                select(ChainOfWork.node_id, ChainOfWork.execution_time).where(
                    ChainOfWork.execution_id.in_(recent), ChainOfWork.node_id.in_(nodes)
                )
            )
            times = defaultdict(list)
            for node_id, took in rows:
                times[node_id].append(took)
        return {node_id: _p95(took) for node_id, took in times.items()}


def _p95(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
