"""What a process counts. It adds its counts to those of all others, in the table `figures`, every few seconds.

So a worker needs no port to be asked at, a figure never falls when a process ends or old runs are deleted, and whoever
asks any web process gets the same answer. See docs/decisions/0010.
"""

import json
import logging
import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from math import inf

from sqlalchemy import Connection, select, text
from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady
from src.database import Database
from src.models import Figure

logger = logging.getLogger(__name__)

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A figure's name, and its labels as they were given: they are put in order when they are written."""
Counts = dict[Key, float]
FLUSH_SECONDS = 5.0
BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 300.0, inf)
"""Seconds. The 25 is what a request may take on Heroku."""
LE, LE_SUM = [("le", f"{bucket:g}") for bucket in BUCKETS], ("le", "sum")
"""The label that tells which bucket, or that it is the sum of all."""
MAX_WORKFLOWS = 100
OTHERS = "others"
"""What stands for a workflow beyond the first hundred: labels must be bounded."""
ENDED = "executions_ended"
ADD = text(
    "INSERT INTO figures (name, labels, value) VALUES (:name, :labels, :value) "
    "ON CONFLICT (name, labels) DO UPDATE SET value = figures.value + excluded.value"
)


class Figures:
    """
    Args:
        flush_seconds: how long after a count it is added to the table; None for a process that is told when to `flush`.
    """

    def __init__(self, database: Database, *, flush_seconds: float | None = FLUSH_SECONDS) -> None:
        self._database = database
        self._flush_seconds = flush_seconds
        self._counts: Counts = defaultdict(float)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._workflows: set[str] = set()
        self.gauges: dict[str, Callable[[], float]] = {}
        """How this process is just now: `pool/used` and the like. Shown as the sum over all that live, by role."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        with self._lock:
            self._counts[name, (*labels.items(),)] += amount
            self._flush_later()

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Count a duration into its bucket, and to the sum of all."""
        items = (*labels.items(),)
        with self._lock:
            self._counts[name, (*items, LE[bisect_left(BUCKETS, seconds)])] += 1.0
            self._counts[name, (*items, LE_SUM)] += seconds
            self._flush_later()

    def _flush_later(self) -> None:
        if self._timer is None and self._flush_seconds is not None:
            self._timer = threading.Timer(self._flush_seconds, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def flush(self) -> None:
        """Add what was counted here to the table. What cannot be added now is added later."""
        with self._lock:
            counts, self._counts, timer, self._timer = self._counts, defaultdict(float), self._timer, None
        if timer is not None:
            timer.cancel()
        if not counts:
            return
        try:
            with self._database.write("figures") as connection:
                # In one order everywhere: two processes that add to the same rows must not wait for each other.
                rows = sorted(self._bounded(connection, counts).items())
                connection.execute(
                    ADD, [{"name": name, "labels": labels, "value": value} for (name, labels), value in rows]
                )
        except (NotReady, SQLAlchemyError) as error:
            logger.warning("figures wait: %s", error.__class__.__name__)
            with self._lock:
                for key, amount in counts.items():
                    self._counts[key] += amount

    def now(self) -> dict[str, float]:
        return {name: gauge() for name, gauge in self.gauges.items()}

    def _bounded(self, connection: Connection, counts: Counts) -> dict[tuple[str, str], float]:
        """By name and labels in JSON, with no more workflows than a hundred by name."""
        bounded: dict[tuple[str, str], float] = defaultdict(float)
        for (name, items), amount in counts.items():
            labels = dict(items)
            if "workflow" in labels and not self._is_known(connection, labels["workflow"]):
                labels["workflow"] = OTHERS
            bounded[name, json.dumps(labels, sort_keys=True)] += amount
        return bounded

    def _is_known(self, connection: Connection, workflow: str) -> bool:
        if workflow not in self._workflows:
            labels = connection.execute(select(Figure.labels).where(Figure.name == ENDED).distinct()).scalars()
            self._workflows |= {found for text_ in labels if (found := json.loads(text_).get("workflow"))}
            if len(self._workflows - {OTHERS}) < MAX_WORKFLOWS:
                self._workflows.add(workflow)
        return workflow in self._workflows


def read_figures(connection: Connection) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every figure with its labels, by name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    rows = connection.execute(select(Figure.name, Figure.labels, Figure.value).order_by(Figure.name, Figure.labels))
    for name, labels, value in rows:
        found.setdefault(name, []).append((json.loads(labels), value))
    return found
