"""How the workers are: who answers, what waits for them, and whether anything moves."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import func, select

from src.core.status import Mode, Status
from src.database import Database
from src.models import Execution
from src.models.columns import moment
from src.runtime.processes import Processes
from src.runtime.queue import Depth, Queue

STUCK_SECONDS = 60.0
"""Work that has waited for longer, while nothing was taken: then nothing moves."""


@dataclass(frozen=True, slots=True)
class Health:
    workers: int
    """Those that answer over the broker."""
    queues: dict[str | None, Depth]
    oldest_queued_seconds: float | None
    seconds_since_a_bell: float | None
    """Since a message last reached a worker's pool."""
    running: int
    complaint: str | None
    """What is wrong; None when all is well."""


class Workers:
    """
    Args:
        count_answers: how many workers answer over the broker just now; raises OSError where the broker does not.
    """

    def __init__(
        self, database: Database, queue: Queue, processes: Processes, count_answers: Callable[[], int]
    ) -> None:
        self._database = database
        self._queue = queue
        self._processes = processes
        self._count_answers = count_answers

    def health(self) -> Health:
        queues = self._queue.depth()
        oldest = max((depth.oldest_seconds or 0.0 for depth in queues.values()), default=None)
        since_a_bell, running = self._processes.seconds_since_a_bell(), self._count_running()
        workers, complaint = self._look_for_workers()
        if complaint is None and oldest is not None and oldest > STUCK_SECONDS and not running:
            is_quiet = since_a_bell is None or since_a_bell > STUCK_SECONDS
            complaint = f"work has waited for {oldest:.0f} s and no worker takes it" if is_quiet else None
        return Health(workers, queues, oldest, since_a_bell, running, complaint)

    def _look_for_workers(self) -> tuple[int, str | None]:
        try:
            workers = self._count_answers()
        except OSError as error:
            return 0, f"the broker does not answer: {error}"
        return workers, None if workers else "no worker answers"

    def _count_running(self) -> int:
        """Executions in the hands of workers that live."""
        held = (Execution.status == Status.RUNNING, Execution.completed_at.is_(None))
        query = select(func.count()).where(*held, Execution.mode == Mode.CELERY, Execution.lease_until > moment(0.0))
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()
