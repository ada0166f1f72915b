"""Where executions start and go on: in the request, behind it, on a worker. All of them run `GraphEngine.run`."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from src.core.engine import GraphEngine
from src.core.errors import WorkflowPaused
from src.core.slice import HandOff, Place, Reason, Slice
from src.core.status import Mode
from src.runtime.drain import Drain
from src.runtime.forecast import Forecast
from src.runtime.queue import Queue
from src.runtime.run_pool import RunPool
from src.runtime.store import NewExecution, SqlStore

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Turn:
    """How long, and where, this process keeps what it takes out of the queue."""

    seconds: float
    nodes: int
    place: Place


class Dispatcher:
    def __init__(
        self,
        store: SqlStore,
        engine: GraphEngine,
        queue: Queue,
        pool: RunPool,
        *,
        forecast: Forecast,
        drain: Drain,
        turn: Turn,
        queued_as: Mode,
        hops: bool,
    ) -> None:
        """
        Args:
            pool: the threads of inline runs.
            queued_as: how an execution runs that goes straight into the queue.
            hops: nodes that name a queue leave an inline run for its workers.
        """
        self._store = store
        self._engine = engine
        self._queue = queue
        self._pool = pool
        self._forecast = forecast
        self._drain = drain
        self._turn = turn
        self._queued_as = queued_as
        self._inline_place: Place = "inline" if hops else "anywhere"

    def submit(self, work: Callable[[], Answer]) -> "Future[Answer]":
        """Run `work` in one of the threads of inline runs. Raises Busy."""
        return self._pool.submit(work)

    def run_inline(
        self, new: NewExecution, *, budget_seconds: float | None = None, created: Callable[[int], None] = lambda _: None
    ) -> tuple[int, HandOff | None]:
        """Create an execution and run it in this thread; beyond its budget it goes on from the queue.

        Args:
            created: told its id as soon as it is durable.

        Returns:
            Its id, and why it left this thread before it had ended.

        Raises:
            KeyTaken, WorkflowPaused: nothing was created.
        """
        if new.is_held:
            raise WorkflowPaused(new.workflow_id)
        slice_ = Slice() if budget_seconds is None else self._inline_slice(new.workflow_id, budget_seconds)
        execution_id = self._store.create(new)
        created(execution_id)
        return execution_id, self._drive(execution_id, slice_)

    def resume_here(self, execution_id: int) -> None:
        """Run an execution from its last checkpoint to its end, where nobody else does."""
        self._drive(execution_id, Slice())

    def enqueue(self, new: NewExecution) -> int:
        """Create an execution in the queue, and ring for it; answers its id. Raises KeyTaken."""
        execution_id = self._store.enqueue(new, mode=self._queued_as)
        self._queue.ring(execution_id)
        return execution_id

    def take(self, execution_id: int) -> None:
        """A bell has rung: run what is queued, for a turn. Does nothing where there is nothing to run."""
        if self._drain.is_begun():
            self._queue.ring(execution_id)  # for somebody who stays
            return
        turn = self._turn
        self._drive(execution_id, Slice(turn.seconds, turn.nodes, turn.place, is_draining=self._drain.is_begun))

    def close(self) -> None:
        self._pool.close()

    def _inline_slice(self, workflow_id: int, budget_seconds: float) -> Slice:
        return Slice(
            budget_seconds,
            place=self._inline_place,
            over=Reason.BUDGET,
            expected=self._forecast.of(workflow_id),
            is_draining=self._drain.is_begun,
        )

    def _drive(self, execution_id: int, slice_: Slice) -> HandOff | None:
        hand_off = self._engine.run(execution_id, slice_)
        if hand_off is not None:
            told = {"execution_id": execution_id, "reason": hand_off.reason, "queue": hand_off.queue}
            logger.info("run handed off", extra=told)
            self._queue.ring(execution_id)
            if hand_off.reason is Reason.PAUSE:
                self._queue.ring_next(execution_id)
        return hand_off
