"""The shapes of what triggers answer."""

from datetime import datetime
from typing import Any, Literal

from src.api.shape import Shape


class Trigger(Shape):
    name: str
    title: str
    fires: bool
    """Whether `value` is above `threshold`."""
    value: float
    unit: str
    threshold: float
    query: str
    """The SQL behind it, to be run as it stands."""
    runs_query: str
    """Likewise, for the runs behind the number."""
    figures: list[dict[str, Any]]
    """What the query answered."""
    executions: list[int]
    """Ids of runs behind it, at most 20."""
    advice: str


class Changed(Shape):
    runs: int
    handed_off: int
    hung_up: int
    not_answered: int
    sentence: str


class Crossing(Shape):
    workflow_id: int
    workflow: str
    p95_seconds: float
    weeks: float
    sentence: str


class Check(Shape):
    triggers: list[Trigger]
    recommendation: Literal["stay_inline", "mend_first", "switch_on", "keep_worker", "may_switch_off"]
    verdict: str
    would_have_changed: Changed
    """What a worker would have done for the runs of the last 30 days."""
    forecasts: list[Crossing]
    """Workflows that will take too long for a request before long."""
    platform: str
    workers_are_on: bool
    checked_at: datetime


class KeptCheck(Shape):
    id: int
    checked_at: datetime
    results: dict[str, Any]
    """As `GET /triggers` answered then."""


class CheckList(Shape):
    checks: list[KeptCheck]
    total: int


class Advice(Shape):
    workflow_id: int
    run: Literal["inline", "worker"]
    why: list[str]
    figures: dict[str, Any]
