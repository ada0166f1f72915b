"""`/metrics`: what Prometheus asks for. How things stand is read from the rows, what was counted from `figures`."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from src.core.status import Status
from src.database import Database
from src.models import Execution, Process, Workflow
from src.models.columns import moment, seconds_since
from src.runtime.figures import BUCKETS, Figures, read_figures
from src.runtime.processes import ALIVE_SECONDS
from src.runtime.queue import DEFAULT_QUEUE, Queue

KEPT_SECONDS = 5.0
"""Whoever asks more often gets the same answer: asking must not be work for the database."""
HISTOGRAMS = {
    "node_seconds": "Seconds that attempts at nodes took, by kind and workflow.",
    "execution_seconds": "Seconds from the first start of runs to their end, by workflow.",
    "sandbox_spawn_seconds": "Seconds from the order of a sandboxed child to its start.",
    "sweep_seconds": "Seconds that a sweep took.",
}
COUNTERS = {
    "executions_ended": "Runs that have ended, by status, mode and workflow.",
    "hand_offs": "Runs that left their runner at a node boundary, by reason.",
    "recovered": "Runs whose runner was gone, put back into the queue.",
    "retries": "Attempts that failed and are followed by another, by class of error.",
    "failures": "Attempts that failed for good, by class of error.",
}
Samples = Iterable[tuple[Mapping[str, str], float]]


class Metrics:
    """
    Args:
        gauges: how this process is just now; it says so with its signs of life.
    """

    def __init__(
        self,
        database: Database,
        queue: Queue,
        figures: Figures,
        gauges: Mapping[str, Callable[[], float]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._queue = queue
        self.figures = figures
        figures.gauges |= gauges
        self._clock = clock
        self._lock = threading.Lock()
        self._told: tuple[float, str] | None = None

    def text(self) -> str:
        """In Prometheus' text format. Raises NotReady."""
        with self._lock:  # who comes while another asks the database gets that answer
            now = self._clock()
            if self._told is None or now - self._told[0] >= KEPT_SECONDS:
                self._told = (now, self._render())
            return self._told[1]

    def _render(self) -> str:
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- who is never asked
        from prometheus_client.process_collector import ProcessCollector  # noqa: PLC0415 -- does not pay for it

        self.figures.flush()
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collected(list(self._families())))
        return generate_latest(registry).decode()

    def _families(self) -> Iterator[Any]:
        yield from self._queue_families()
        with self._database.read() as connection:
            yield from _states(connection)
            yield from _overdue(connection)
            yield from _processes(connection)
            yield from _counted(connection)

    def _queue_families(self) -> Iterator[Any]:
        depth = {name or DEFAULT_QUEUE: found for name, found in self._queue.depth().items()}
        waiting = [({"queue": name}, float(found.waiting)) for name, found in depth.items()]
        oldest = [({"queue": name}, found.oldest_seconds or 0.0) for name, found in depth.items()]
        yield _gauge("queue_waiting", "Runs in the queue, by queue.", waiting)
        yield _gauge("queue_oldest_seconds", "How long the oldest of them has waited there.", oldest)


class _Collected:
    """What was read before the registry asks."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        return self._families


_UNFINISHED = Execution.completed_at.is_(None)
"""All that is looked at stands in one small index."""


def _states(connection: Connection) -> Iterator[Any]:
    query = select(Execution.status, Execution.mode, func.count()).where(_UNFINISHED)
    rows = connection.execute(query.group_by(Execution.status, Execution.mode)).all()
    states = [({"status": status, "mode": mode}, float(count)) for status, mode, count in rows]
    yield _gauge("executions", "Runs that have not ended, by status and mode.", states)


def _overdue(connection: Connection) -> Iterator[Any]:
    """Leases, and what no sweep has seen to yet."""
    running = Execution.status == Status.RUNNING
    is_over = Execution.lease_until < moment(0.0)
    is_due = (Execution.status == Status.WAITING) & (Execution.wake_at < moment(0.0))
    held, expired, overdue, late = connection.execute(
        select(
            _count(running & ~is_over),
            _count(running & is_over),
            func.max(case((running & is_over, seconds_since(Execution.lease_until)))),
            func.max(case((is_due, seconds_since(Execution.wake_at)))),
        ).where(_UNFINISHED)
    ).one()
    yield _gauge("leases_held", "Runs that a living runner holds.", [({}, float(held or 0))])
    yield _gauge("leases_expired", "Runs whose runner is gone, and that no sweep has found yet.", [({}, expired or 0)])
    lag = max(0.0, overdue or 0.0, late or 0.0)
    yield _gauge(
        "sweep_lag_seconds", "How long the longest overdue lease or timer has waited for a sweep.", [({}, lag)]
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _processes(connection: Connection) -> Iterator[Any]:
    """Who lives, and how they are: each has said so with its last sign of life."""
    living = select(Process.role, Process.gauges).where(Process.seen_at > moment(-ALIVE_SECONDS))
    counts: dict[str, float] = {}
    sums: dict[str, dict[str, float]] = {}
    for role, gauges in connection.execute(living):
        counts[role] = counts.get(role, 0.0) + 1
        for name, value in (gauges or {}).items():
            by_role = sums.setdefault(name, {})
            by_role[role] = by_role.get(role, 0.0) + value
    yield _gauge("processes", "Processes that live, by role.", [({"role": role}, n) for role, n in counts.items()])
    for name, by_role in sums.items():
        samples = [({"role": role}, value) for role, value in by_role.items()]
        yield _gauge(name, "Sum over the processes that live, as each said with its last sign of life.", samples)


def _counted(connection: Connection) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415

    figures = read_figures(connection)
    names = _names(connection, figures)
    for name, about in COUNTERS.items():
        family = CounterMetricFamily(f"nova_{name}", about, labels=_labels(figures.get(name, [])))
        for labels, value in figures.get(name, []):
            family.add_metric(list(_named(labels, names).values()), value)
        yield family
    for name, about in HISTOGRAMS.items():
        yield _histogram(name, about, figures.get(name, []), names)


def _histogram(name: str, about: str, samples: Iterable[tuple[dict[str, str], float]], names: dict[str, str]) -> Any:
    """Buckets are kept each by itself; Prometheus wants each with all below it."""
    from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for labels, value in samples:
        le = labels.pop("le")
        series.setdefault(tuple(_named(labels, names).items()), {})[le] = value
    family = HistogramMetricFamily(f"nova_{name}", about, labels=[label for label, _ in next(iter(series), ())])
    for values, counts in series.items():
        below, buckets = 0.0, []
        for edge in BUCKETS:
            below += counts.get(f"{edge:g}", 0.0)
            buckets.append(("+Inf" if edge == BUCKETS[-1] else f"{edge:g}", below))
        family.add_metric([value for _, value in values], buckets, counts.get("sum", 0.0))
    return family


def _names(connection: Connection, figures: Mapping[str, Samples]) -> dict[str, str]:
    """Of the workflows that have figures, by id."""
    ids = {labels.get("workflow", "") for samples in figures.values() for labels, _ in samples}
    wanted = [int(each) for each in ids if each.isdecimal()]
    rows = connection.execute(select(Workflow.id, Workflow.name, Workflow.archived_at).where(Workflow.id.in_(wanted)))
    return {str(row.id): row.name if row.archived_at is None else f"{row.name} ({row.id})" for row in rows}


def _named(labels: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    return {name: names.get(value, value) if name == "workflow" else value for name, value in labels.items()}


def _labels(samples: Samples) -> list[str]:
    return list(next(iter(samples))[0]) if samples else []


def _gauge(name: str, about: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Any:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    found = list(samples)
    family = GaugeMetricFamily(f"nova_{name}", about, labels=list(found[0][0]) if found else [])
    for labels, value in found:
        family.add_metric(list(labels.values()), value)
    return family
