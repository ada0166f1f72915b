"""How workflows do: the views `workflow_stats` and `node_stats`, and when a run is likely to end."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, select, text

from src.core.errors import NotFound
from src.core.status import Status
from src.database import Database
from src.models import Execution, Workflow

RECENT = 50
"""Runs that say how long the next one takes."""
FEWEST = 5
REMEMBERED_SECONDS = 60.0
WORKFLOW = text("SELECT * FROM workflow_stats WHERE workflow_id = :which")
NODES = text("SELECT * FROM node_stats WHERE workflow_id = :which ORDER BY period, node_id")


@dataclass(frozen=True, slots=True)
class Usual:
    """What runs of a workflow usually take."""

    p50_seconds: float
    p95_seconds: float


class Stats:
    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[int, tuple[float, Usual | None]] = {}
        self._lock = threading.Lock()

    def of(self, workflow_id: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """A workflow's row for each period in which it ran, and the rows of its nodes. Raises NotFound."""
        with self._database.read() as connection:
            if connection.execute(select(Workflow.id).where(Workflow.id == workflow_id)).first() is None:
                raise NotFound("workflow", workflow_id)
            which = {"which": workflow_id}
            return connection.execute(WORKFLOW, which).all(), connection.execute(NODES, which).all()

    def seconds_left(self, row: Any) -> float | None:
        """How long an execution that has not ended will likely take from now; None where nothing can be said."""
        if Status(row.status) not in (Status.QUEUED, Status.RUNNING):
            return None
        usual = self._usual(row.workflow_id)
        if usual is None:
            return None
        gone = (datetime.now(UTC) - row.started_at).total_seconds() if row.started_at else 0.0
        return next((each - gone for each in (usual.p50_seconds, usual.p95_seconds) if each > gone), None)

    def _usual(self, workflow_id: int) -> Usual | None:
        """Learned anew about once a minute."""
        with self._lock:
            learned_at, usual = self._known.get(workflow_id, (-REMEMBERED_SECONDS, None))
        if self._clock() - learned_at >= REMEMBERED_SECONDS:
            usual = self._learn(workflow_id)
            with self._lock:
                self._known[workflow_id] = (self._clock(), usual)
        return usual

    def _learn(self, workflow_id: int) -> Usual | None:
        ran = (  # what a retry has taken over is completed and took no time
            Execution.workflow_id == workflow_id,
            Execution.status == Status.COMPLETED,
            Execution.execution_time.is_not(None),
        )
        recent: Select[Any] = select(Execution.execution_time).where(*ran).order_by(Execution.id.desc()).limit(RECENT)
        with self._database.read() as connection:
            took = sorted(connection.execute(recent).scalars())
        if len(took) < FEWEST:
            return None
        return Usual(took[len(took) // 2], took[min(len(took) - 1, int(0.95 * len(took)))])
