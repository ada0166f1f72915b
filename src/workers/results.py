"""What a result backend is told, for who asks `AsyncResult(task_id)`: what the row says. Nova reads none of it."""

from celery.exceptions import Ignore

from src.core.status import Status
from src.workers.celery_app import celery_app
from src.workers.process import nova


class ExecutionFailed(Exception):
    """Makes the state FAILURE. The error itself stands in the row."""


def report(execution_id: int) -> None:
    """
    Raises:
        ExecutionFailed: so did the execution.
        Ignore: it has not ended; its state stays STARTED.
    """
    if celery_app.conf.task_ignore_result:
        return
    status = nova().executions.status(execution_id)
    if status is Status.FAILED:
        raise ExecutionFailed(execution_id)
    if status is not Status.COMPLETED:
        raise Ignore
