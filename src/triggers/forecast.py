"""Where the weekly checks lead: a line through what the 95th percentile of each workflow was. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from statistics import StatisticsError, linear_regression
from typing import Any, NamedTuple

FEWEST = 3
"""Checks below which no line is drawn."""
WEEK_SECONDS = 7 * 86_400.0
LONGEST_WEEKS = 26
"""Beyond half a year a line through a few weeks says nothing."""


class Crossing(NamedTuple):
    workflow_id: int
    workflow: str
    p95_seconds: float
    """By the line, at the last check."""
    weeks: float
    """Until it crosses the threshold."""
    sentence: str


def crossings(checks: Iterable[tuple[datetime, Mapping[str, Any]]], threshold: float) -> list[Crossing]:
    """The workflows that will take too long for a request before long, the soonest first.

    Args:
        checks: results of `Triggers.check`, with when they were found.
    """
    series: dict[int, list[tuple[datetime, float]]] = defaultdict(list)
    names: dict[int, str] = {}
    for at, results in sorted(checks, key=lambda check: check[0]):
        for row in _execution_times(results):
            if row.get("p95_seconds") is not None:
                series[row["workflow_id"]].append((at, float(row["p95_seconds"])))
                names[row["workflow_id"]] = row["workflow"]
    found = [_crossing(each, names[each], points, threshold) for each, points in series.items()]
    return sorted((each for each in found if each), key=lambda each: each.weeks)


def _execution_times(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for each in results["triggers"] if each["name"] == "execution_time" for row in each["figures"]]


def _crossing(
    workflow_id: int, workflow: str, points: list[tuple[datetime, float]], threshold: float
) -> Crossing | None:
    if len(points) < FEWEST:
        return None
    last = points[-1][0]
    weeks = [(at - last).total_seconds() / WEEK_SECONDS for at, _ in points]
    try:
        slope, now = linear_regression(weeks, [seconds for _, seconds in points])
    except StatisticsError:  # all at the same moment
        return None
    left = (threshold - now) / slope if slope > 0 else -1.0
    if not 0 < left <= LONGEST_WEEKS:
        return None
    count = max(1, round(left))
    sentence = f"{workflow} crosses {threshold:g} s in about {count} week{'s' * (count != 1)}"
    return Crossing(workflow_id, workflow, round(now, 3), round(left, 1), sentence)
