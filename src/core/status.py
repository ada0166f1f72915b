"""Every status there is, and which may follow which. Nothing else in Nova compares or assigns status strings."""

from enum import StrEnum


class Status(StrEnum):
    """The status of an execution."""

    QUEUED = "queued"
    """The row exists and nobody runs it."""
    RUNNING = "running"
    """Exactly one runner holds the lease."""
    WAITING = "waiting"
    """Nothing to do until a time, a review or a child execution."""
    PAUSED = "paused"
    """An operator holds it."""
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        return not MAY_BECOME[self]


MAY_BECOME: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.PAUSED, Status.STOPPED}),
    Status.RUNNING: frozenset(
        {Status.QUEUED, Status.WAITING, Status.PAUSED, Status.COMPLETED, Status.FAILED, Status.STOPPED}
    ),
    Status.WAITING: frozenset({Status.QUEUED, Status.PAUSED, Status.FAILED, Status.STOPPED}),
    Status.PAUSED: frozenset({Status.QUEUED, Status.STOPPED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.STOPPED: frozenset(),
}


def may_become(status: Status) -> list[Status]:
    """The statuses from which `status` can be reached, for the WHERE of a conditional update."""
    return [earlier for earlier, later in MAY_BECOME.items() if status in later]


class Mode(StrEnum):
    """How an execution runs, or ran last."""

    INLINE = "inline"
    """Inside the request."""
    BACKGROUND = "background"
    """In a thread of a web process, behind the request."""
    CELERY = "celery"
    """On a worker."""


PAUSE = "pause"
"""What a running execution can be asked for; it is obeyed at the next node boundary."""


class AttemptStatus(StrEnum):
    """The status of an attempt, as it stands in `chain_of_work`."""

    SUCCESS = "success"
    FAILED = "failed"
    RETRY = "retry"
    """It failed, and another attempt follows."""
    WAITING = "waiting"


CELERY_WORDS: dict[Status, str] = {
    Status.QUEUED: "PENDING",
    Status.RUNNING: "STARTED",
    Status.WAITING: "STARTED",
    Status.PAUSED: "STARTED",
    Status.COMPLETED: "SUCCESS",
    Status.FAILED: "FAILURE",
    Status.STOPPED: "REVOKED",
}
"""What `GET /tasks/{task_id}` says, for those who poll as they would poll Celery."""
