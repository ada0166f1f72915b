"""Histories, written down: what a team's database holds after a month, without running it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from src.core.outcome import ErrorClass
from src.core.status import AttemptStatus, Status
from src.database import Database
from src.models import ChainOfWork, Client, Execution, ExecutionEvent, Schedule, Workflow, WorkflowVersion
from src.triggers.checks import Triggers

Json = dict[str, Any]
GRAPH = {
    "nodes": [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}],
    "edges": [{"from": "start", "to": "end"}],
}


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


class History:
    """
    Args:
        now: what its moments are told from; runs are an hour apart where nothing else is said.
    """

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self._next = ago(days=20)
        self._workflows: dict[str, int] = {}

    def close(self) -> None:
        self.database.close()

    def triggers(self, *, platform: str = "heroku", workers_are_on: bool = False) -> Triggers:
        return Triggers(self.database, platform, workers_are_on=workers_are_on)

    def check(self, **options: Any) -> dict[str, Json]:
        """The triggers by name."""
        return {each["name"]: each for each in self.triggers(**options).check()["triggers"]}

    def workflow(self, name: str = "invoice") -> int:
        if name not in self._workflows:
            now = ago(days=60)
            made = {"created_at": now, "graph_definition": GRAPH}
            workflow_id = self._add(Workflow, name=name, version=1, updated_at=now, **made)
            self._add(WorkflowVersion, workflow_id=workflow_id, version=1, sha256="", **made)
            self._workflows[name] = workflow_id
        return self._workflows[name]

    def client(self, slug: str, *, is_active: bool = True) -> int:
        return self._add(Client, slug=slug, name=slug, is_active=is_active, created_at=ago(days=60))

    def run(
        self,
        seconds: float = 1.0,
        *,
        workflow: str = "invoice",
        at: datetime | None = None,
        error: tuple[str, ErrorClass] | None = None,
        attempts: tuple[AttemptStatus, ...] = (),
        events: tuple[Json, ...] = (),
        **columns: Any,
    ) -> int:
        """An execution that has ended."""
        at = at or self._later()
        started = columns.pop("started_at", at)
        values: Json = {
            "task_id": str(uuid.uuid4()),
            "workflow_id": self.workflow(workflow),
            "workflow_version": 1,
            "status": Status.FAILED if error else Status.COMPLETED,
            "mode": "inline",
            "initial_context": {},
            "created_at": at,
            "started_at": started,
            "completed_at": started + timedelta(seconds=seconds),
            "execution_time": seconds,
            "lease_token": 1,
        }
        if error:
            values["error"] = {"type": error[0], "class": error[1], "node_id": "work", "message": "no"}
        execution_id = self._add(Execution, **values | columns)
        for number, status in enumerate(attempts, 1):
            self._attempt(execution_id, number, status, at)
        for event in events:
            self._add(ExecutionEvent, execution_id=execution_id, at=at, **event)
        return execution_id

    def runs(self, count: int, seconds: float = 1.0, **more: Any) -> list[int]:
        return [self.run(seconds, **more) for _ in range(count)]

    def schedule(self, workflow: str = "invoice", **columns: Any) -> int:
        made = ago(days=60)
        values = {"cron": "0 7 * * *", "timezone": "UTC", "initial_context": {}, "overlap": "skip", "catch_up": "skip"}
        times = {"created_at": made, "updated_at": made, "enabled": True}
        return self._add(Schedule, workflow_id=self.workflow(workflow), **values | times | columns)

    def _attempt(self, execution_id: int, number: int, status: AttemptStatus, at: datetime) -> None:
        self._add(
            ChainOfWork,
            execution_id=execution_id,
            lease_token=1,
            node_id="work",
            node_type="action",
            attempt=number,
            status=status,
            execution_time=0.1,
            started_at=at,
            timestamp=at,
        )

    def _later(self) -> datetime:
        """So that nobody meets, and no minute of the day comes often."""
        self._next += timedelta(minutes=61)
        return self._next

    def _add(self, table: Any, **values: Any) -> int:
        with self.database.write() as connection:
            key = connection.execute(insert(table).values(**values)).inserted_primary_key
        return int(key[0]) if key else 0


HANDED_OFF = {"kind": "handed_off", "data": {"reason": "budget"}}
FORECAST = {"kind": "handed_off", "data": {"reason": "forecast"}}
DRAINED = {"kind": "handed_off", "data": {"reason": "drain"}}
HUNG_UP = {"kind": "hung_up"}
TIMED_OUT = ("Timeout", ErrorClass.TRANSIENT)
REFUSED = ("ConnectionError", ErrorClass.TRANSIENT)
BUG = ("KeyError", ErrorClass.PERMANENT)


@contextmanager
def history_in(url: str) -> Iterator[History]:
    made = History(url)
    try:
        yield made
    finally:
        made.close()
