"""What is counted of runs: told by the store, after the commit."""

from collections.abc import Callable, Sequence

from sqlalchemy import QueuePool, select

from src.core.outcome import Attempt, Failed, WaitFor, Waiting
from src.core.plan import Verdict
from src.core.slice import HandOff
from src.core.status import Status
from src.core.store import Claim
from src.database import Database
from src.models import Execution
from src.runtime.figures import ENDED, Figures
from src.runtime.live.hub import Hub
from src.runtime.run_pool import RunPool


class Tally:
    def __init__(self, database: Database, figures: Figures) -> None:
        self._database = database
        self.figures = figures

    def kept(self, claim: Claim, attempts: Sequence[Attempt]) -> None:
        workflow = str(claim.workflow_id)
        for attempt in attempts:
            self.figures.observe("node_seconds", attempt.execution_time, kind=attempt.node_type, workflow=workflow)
            outcome = attempt.outcome
            if isinstance(outcome, Failed):
                self.figures.count("failures", error_class=outcome.error.error_class, kind=attempt.node_type)
            elif isinstance(outcome, Waiting) and outcome.reason is WaitFor.RETRY and outcome.error:
                self.figures.count("retries", error_class=outcome.error.error_class, kind=attempt.node_type)

    def ended(self, claim: Claim, verdict: Verdict, seconds: float) -> None:
        workflow = str(claim.workflow_id)
        self.figures.count(ENDED, status=verdict.status, mode=claim.mode, workflow=workflow)
        self.figures.observe("execution_seconds", seconds, workflow=workflow)

    def handed_off(self, hand_off: HandOff) -> None:
        self.figures.count("hand_offs", reason=hand_off.reason)

    def recovered(self, execution_ids: Sequence[int]) -> None:
        if execution_ids:
            self.figures.count("recovered", len(execution_ids))

    def stopped(self, execution_id: int) -> None:
        query = select(Execution.mode, Execution.workflow_id).where(Execution.id == execution_id)
        with self._database.read() as connection:
            row = connection.execute(query).one()
        self.figures.count(ENDED, status=Status.STOPPED, mode=row.mode, workflow=str(row.workflow_id))

    def swept(self, seconds: float) -> None:
        self.figures.observe("sweep_seconds", seconds)

    def spawned(self, seconds: float) -> None:
        """A child of the sandbox has started."""
        self.figures.observe("sandbox_spawn_seconds", seconds)


def gauges_of(database: Database, inline: RunPool, background: RunPool, hub: Hub) -> dict[str, Callable[[], float]]:
    """How full the pools of a process are, and how many watch it."""
    gauges: dict[str, Callable[[], float]] = {"watchers": hub.count_watchers}
    for name, pool in (("inline", inline), ("background", background)):
        gauges[f"{name}_pool_used"] = lambda pool=pool: pool.used  # type: ignore[misc]
        gauges[f"{name}_pool_size"] = lambda pool=pool: pool.size  # type: ignore[misc]
    connections = database.engine.pool
    if isinstance(connections, QueuePool):
        gauges["database_connections_used"] = connections.checkedout
        gauges["database_connections_size"] = connections.size
    return gauges
