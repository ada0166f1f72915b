"""When a schedule is due: the five fields, time zones, and the two nights in which the clocks change."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.runtime.cron import Cron

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(times: list[datetime], zone: str = BERLIN) -> list[str]:
    return [each.astimezone(ZoneInfo(zone)).strftime("%d. %H:%M %Z") for each in times]


def test_a_time_of_day_is_meant_in_its_time_zone_in_summer_and_in_winter() -> None:
    cron = Cron("30 7 * * *", BERLIN)

    assert cron.next(at("2026-07-01")) == at("2026-07-01 05:30")
    assert cron.next(at("2026-12-01")) == at("2026-12-01 06:30")


def test_a_time_that_the_clocks_leave_out_comes_at_the_first_minute_after_it() -> None:
    times = Cron("30 2 * * *", BERLIN).some(at("2026-03-28"), 3)

    assert local(times) == ["28. 02:30 CET", "29. 03:00 CEST", "30. 02:30 CEST"]


def test_two_times_that_the_clocks_leave_out_come_once() -> None:
    times = Cron("0,30 2 * * *", BERLIN).some(at("2026-03-28 20:00"), 2)

    assert local(times) == ["29. 03:00 CEST", "30. 02:00 CEST"]


def test_a_time_that_the_clocks_show_twice_counts_once() -> None:
    times = Cron("30 2 * * *", BERLIN).some(at("2026-10-24"), 3)

    assert local(times) == ["24. 02:30 CEST", "25. 02:30 CEST", "26. 02:30 CET"]


def test_a_time_that_was_in_the_first_of_two_equal_hours_does_not_come_again_in_the_second() -> None:
    in_the_second = at("2026-10-25 01:45")

    assert local(Cron("50 2 * * *", BERLIN).some(in_the_second, 1)) == ["26. 02:50 CET"]


def test_what_runs_every_hour_runs_in_both_of_two_equal_hours() -> None:
    times = Cron("0 * * * *", BERLIN).some(at("2026-10-24 23:30"), 3)

    assert local(times) == ["25. 02:00 CEST", "25. 02:00 CET", "25. 03:00 CET"]


@pytest.mark.parametrize(
    "expression",
    ["", "x", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "0 0 30 2 *", "*/0 * * * *", "5-1 * * * *",
     "0 0 * * MON#6", "² * * * *", "0 0 * * ²L", "1" * 5000 + " * * * *", "\x00 * * * *"],
)  # fmt: skip
def test_what_is_no_cron_expression_is_said_to_be_none(expression: str) -> None:
    [problem] = Cron(expression).problems()

    assert problem.pointer == "/cron"
    assert "expected minute, hour" in problem.detail


@pytest.mark.parametrize("zone", ["", "Mars", "America", "../../etc/passwd", "europe/berlin", "\x00"])
def test_what_is_no_time_zone_is_said_to_be_none(zone: str) -> None:
    assert [found.pointer for found in Cron("* * * * *", zone).problems()] == ["/timezone"]


def test_both_can_be_wrong_at_once() -> None:
    assert {found.pointer for found in Cron("x", "y").problems()} == {"/cron", "/timezone"}


FIELDS = st.sampled_from(["0 * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 3 * * SUN", "0 0 L * *"])
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda each: each.replace(tzinfo=UTC))


@given(FIELDS, ZONES, MOMENTS)
@settings(max_examples=200, deadline=None)
def test_times_follow_one_another_and_the_last_of_them_is_found_again(
    expression: str, zone: str, moment: datetime
) -> None:
    times = Cron(expression, zone).some(moment, 6)

    assert times[0] > moment
    assert all(one < other for one, other in pairwise(times))
    found = Cron(expression, zone).last(times[5], not_before=times[0])
    assert times[0] <= found <= times[5]
    assert Cron(expression, zone).next(times[2]) == times[3]
