"""The tasks, a line each: what they do is the runtime's."""

from src.runtime.broker import TASK
from src.runtime.trigger_checks import record_check
from src.workers.celery_app import SWEEP, TRIGGER_CHECK, celery_app
from src.workers.process import nova
from src.workers.results import ExecutionFailed, report


@celery_app.task(name=TASK, throws=(ExecutionFailed,))  # type: ignore[untyped-decorator]
def execute_workflow_task(execution_id: int) -> None:
    nova().dispatcher.take(execution_id)
    report(execution_id)


@celery_app.task(name=SWEEP, ignore_result=True)  # type: ignore[untyped-decorator]
def sweep_task() -> None:
    nova().sweeper.sweep()


@celery_app.task(name=TRIGGER_CHECK, ignore_result=True)  # type: ignore[untyped-decorator]
def trigger_check_task() -> None:
    record_check(nova().database, nova().triggers.check())
