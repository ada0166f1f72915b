"""The five checks: what each asks the database, when it fires, and what to do then."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from src.database import Database
from src.triggers import advice, queries
from src.triggers.forecast import crossings
from src.triggers.platform import SHARE, limit_seconds

Figures = Mapping[str, Any]
"""A row that a query answered: names and numbers."""
MOST_CLIENTS = 3
MOST_UNANSWERED_PERCENT = 1.0
MOST_FAILED_PERCENT = 5.0


@dataclass(frozen=True, slots=True)
class Trigger:
    name: str
    title: str
    unit: str
    threshold: float
    """It fires above this."""
    query: str
    runs_query: str
    """The runs behind it, the most telling first."""
    value: Callable[[Sequence[Figures]], float]
    advise: Callable[[Sequence[Figures], bool], str]
    """What to do; told whether it fires."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a trigger found."""

    trigger: Trigger
    value: float
    figures: Sequence[Figures]
    executions: Sequence[int]

    @property
    def fires(self) -> bool:
        return self.value > self.trigger.threshold

    def as_dict(self) -> dict[str, Any]:
        trigger = self.trigger
        return {
            "name": trigger.name,
            "title": trigger.title,
            "fires": self.fires,
            "value": self.value,
            "unit": trigger.unit,
            "threshold": trigger.threshold,
            "query": trigger.query,
            "runs_query": trigger.runs_query,
            "figures": list(self.figures),
            "executions": list(self.executions),
            "advice": trigger.advise(self.figures, self.fires),
        }


def five(platform: str) -> list[Trigger]:
    """The triggers, with the limits of a platform. Raises ValueError for one that is not known."""
    limit = limit_seconds(platform)
    seconds = round(limit * SHARE, 3)
    numbers = {"limit": limit, "threshold": seconds}
    return [
        Trigger(
            "execution_time", "runs that take too long for a request", "seconds", seconds,
            queries.EXECUTION_TIME.format(**numbers), queries.EXECUTION_TIME_RUNS.format(**numbers),
            _largest("max_seconds"), advice.of_execution_time,
        ),
        Trigger(
            "clients", "clients that are served at the same moment", "clients", MOST_CLIENTS,
            queries.CLIENTS, queries.CLIENTS_RUNS, _largest("clients_at_once"), advice.of_clients,
        ),
        Trigger(
            "timeouts", "runs whose caller did not get the answer", "percent of runs", MOST_UNANSWERED_PERCENT,
            queries.TIMEOUTS, queries.TIMEOUTS_RUNS, _largest("percent"), advice.of_timeouts,
        ),
        Trigger(
            "schedules", "schedules that are wanted, and not or not in time there", "workflows", 0,
            queries.SCHEDULES, queries.SCHEDULES_RUNS, _sum("unmet"), advice.of_schedules,
        ),
        Trigger(
            "failures", "runs that fail", "percent of runs", MOST_FAILED_PERCENT,
            queries.FAILURES, queries.FAILURES_RUNS, _sum("percent"), advice.of_failures,
        ),
    ]  # fmt: skip


class Triggers:
    """Looks at the last 30 days.

    Args:
        past: the checks of earlier weeks, for a forecast.
    """

    def __init__(
        self,
        database: Database,
        platform: str,
        past: Callable[[Database], Sequence[tuple[datetime, Figures]]] = lambda _: (),
        *,
        workers_are_on: bool,
    ) -> None:
        self._past = past
        self.five = five(platform)
        self._platform = platform
        self._database = database
        self._workers_are_on = workers_are_on

    def check(self) -> dict[str, Any]:
        """What all five found, and what follows from it. Raises NotReady where the database does not answer."""
        with self._database.read() as connection:
            findings = [_look(connection, trigger) for trigger in self.five]
        firing = [finding.trigger.name for finding in findings if finding.fires]
        [unanswered] = findings[2].figures
        return {
            "triggers": [finding.as_dict() for finding in findings],
            **advice.verdict(firing, workers_are_on=self._workers_are_on),
            "would_have_changed": advice.would_have_changed(unanswered, workers_are_on=self._workers_are_on),
            "forecasts": [each._asdict() for each in crossings(self._past(self._database), self.five[0].threshold)],
            "platform": self._platform,
            "workers_are_on": self._workers_are_on,
            "checked_at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }

    def advise(self, workflow_id: int) -> dict[str, Any]:
        """Where the runs of a workflow belong, from its history, and why."""
        seconds = self.five[0].threshold
        query = queries.HISTORY.format(threshold=seconds)
        with self._database.read() as connection:
            [figures] = _figures(connection, query, workflow_id=workflow_id)
        return {"workflow_id": workflow_id, **advice.of_workflow(figures, seconds), "figures": figures}


def _look(connection: Connection, trigger: Trigger) -> Finding:
    figures = _figures(connection, trigger.query)
    value = round(trigger.value(figures), 3)
    runs = [row["id"] for row in _figures(connection, trigger.runs_query)]
    return Finding(trigger, value, figures, runs)


def _figures(connection: Connection, query: str, **values: object) -> list[dict[str, Any]]:
    found = connection.execute(text(query), values).mappings()
    return [{name: _plain(value) for name, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    """PostgreSQL sums as decimals."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _largest(column: str) -> Callable[[Sequence[Figures]], float]:
    return lambda figures: float(max((row[column] or 0 for row in figures), default=0))


def _sum(column: str) -> Callable[[Sequence[Figures]], float]:
    return lambda figures: float(sum(row[column] or 0 for row in figures))
