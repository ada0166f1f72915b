"""Where the weekly checks lead."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from src.triggers.forecast import Crossing, crossings

MONDAY = datetime(2026, 11, 2, 6, tzinfo=UTC)


def checks(*seconds: float | None, every_days: float = 7, name: str = "invoice") -> list[tuple[datetime, Any]]:
    """A check every so many days, and what 95 of 100 runs of a workflow took."""
    return [
        (MONDAY + timedelta(days=place * every_days), {"triggers": [execution_time(name, each)]})
        for place, each in enumerate(seconds)
    ]


def execution_time(name: str, p95: float | None) -> dict[str, Any]:
    row = {"workflow": name, "workflow_id": 1, "p95_seconds": p95}
    return {"name": "execution_time", "figures": [row] if p95 is not None else []}


def only(found: list[Crossing]) -> Crossing:
    assert len(found) == 1
    return found[0]


def test_what_grows_by_two_seconds_a_week_crosses_when_a_line_says_so() -> None:
    found = only(crossings(checks(13.0, 15.0, 17.0, 19.0), 25.0))

    assert found.sentence == "invoice crosses 25 s in about 3 weeks"
    assert (found.weeks, found.p95_seconds) == (3.0, 19.0)


def test_the_order_and_the_distance_of_checks_do_not_matter() -> None:
    daily = checks(*(13.0 + day * 2 / 7 for day in range(22)), every_days=1)

    assert only(crossings(reversed(daily), 25.0)).weeks == pytest.approx(3.0)


def test_a_noisy_history_still_has_a_direction() -> None:
    assert only(crossings(checks(12.0, 16.0, 15.0, 20.0), 25.0)).sentence.endswith("about 3 weeks")


@pytest.mark.parametrize(
    "seconds",
    [(13.0, 15.0), (20.0, 20.0, 20.0), (24.0, 22.0, 20.0), (1.0, 1.01, 1.02), (26.0, 28.0, 30.0), ()],
    ids=["two only", "level", "falling", "in years", "crossed already", "none"],
)
def test_what_leads_nowhere_is_not_told(seconds: tuple[float, ...]) -> None:
    assert crossings(checks(*seconds), 25.0) == []


def test_checks_of_one_moment_are_no_line() -> None:
    assert crossings(checks(1.0, 2.0, 3.0, every_days=0), 25.0) == []
