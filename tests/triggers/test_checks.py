"""Each trigger fires where it must and is silent where it must be, on both databases."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from src.core.errors import NotReady
from src.core.status import AttemptStatus
from src.triggers.checks import five
from tests.triggers.history import (
    BUG,
    DRAINED,
    FORECAST,
    HANDED_OFF,
    HUNG_UP,
    REFUSED,
    TIMED_OUT,
    History,
    Json,
    ago,
    history_in,
)

WAITED = (AttemptStatus.WAITING, AttemptStatus.SUCCESS)
RETRIED = (AttemptStatus.RETRY, AttemptStatus.FAILED)


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    with history_in(database_url) as made:
        yield made


def firing(history: History, **options: str) -> set[str]:
    return {name for name, found in history.check(**options).items() if found["fires"]}


def test_an_empty_history_fires_nothing(history: History) -> None:
    found = history.triggers().check()

    assert [each["name"] for each in found["triggers"]] == [
        "execution_time",
        "clients",
        "timeouts",
        "schedules",
        "failures",
    ]
    assert not any(each["fires"] or each["executions"] or each["value"] for each in found["triggers"])
    assert (found["recommendation"], found["would_have_changed"]["runs"]) == ("stay_inline", 0)


def test_a_month_of_quick_runs_fires_nothing(history: History) -> None:
    history.runs(40, 0.5, client_id=history.client("acme"))
    history.run(0.5, error=BUG)

    assert firing(history) == set()
    assert history.triggers().check()["recommendation"] == "stay_inline"


# Execution time.


def test_a_run_that_takes_longer_than_a_request_may_fires_and_is_named(history: History) -> None:
    history.runs(19, 2.0)
    [slow] = history.runs(1, 25.5)

    found = history.check()["execution_time"]

    assert (found["fires"], found["value"], found["threshold"]) == (True, 25.5, 25.0)
    assert found["executions"] == [slow]
    [row] = found["figures"]
    assert (row["workflow"], row["runs"], row["runs_over"]) == ("invoice", 20, 1)
    assert (row["p95_seconds"], row["max_seconds"]) == (2.0, 25.5)
    assert row["max_share_of_limit"] == pytest.approx(0.85)
    assert "invoice (1 of 20 runs)" in found["advice"]


@pytest.mark.parametrize(("count", "place"), [(1, 1), (2, 2), (20, 19), (21, 20), (40, 38), (100, 95)], ids=str)
def test_the_95th_percentile_is_the_run_that_95_of_100_do_not_exceed(sqlite_url: str, count: int, place: int) -> None:
    with history_in(sqlite_url) as history:
        for number in range(1, count + 1):
            history.run(float(number) / 10)

        [row] = history.check()["execution_time"]["figures"]

    assert row["p95_seconds"] == place / 10


@pytest.mark.parametrize(
    "what",
    [
        {"seconds": 25.0},
        {"seconds": 600.0, "at": ago(days=31)},
        {"seconds": 600.0, "attempts": WAITED},
        {"seconds": 600.0, "parent_id": 1},
    ],
    ids=["just in time", "long ago", "waited for a person", "a child"],
)
def test_a_run_that_held_no_request_for_too_long_does_not_fire(history: History, what: Json) -> None:
    history.run(1.0)
    history.run(**what)

    assert "execution_time" not in firing(history)


@pytest.mark.parametrize(("platform", "fires"), [("heroku", True), ("cloudflare", False), ("60", True), ("90", False)])
def test_the_limit_is_the_platforms(history: History, platform: str, fires: bool) -> None:
    history.run(60.0)

    assert ("execution_time" in firing(history, platform=platform)) is fires


def test_workflows_are_told_apart_the_slowest_first(history: History) -> None:
    for name, seconds in (("quick", 1.0), ("slow", 40.0), ("slower", 90.0)):
        history.runs(2, seconds, workflow=name)

    rows = history.check()["execution_time"]["figures"]

    assert [(row["workflow"], row["runs_over"]) for row in rows] == [("slower", 2), ("slow", 2), ("quick", 0)]


# Clients.


def at_once(history: History, count: int, *, apart: timedelta = timedelta(0), **more: object) -> list[int]:
    begin = ago(days=3)
    return [
        history.run(10.0, at=begin + place * apart, client_id=history.client(f"client {place}"), **more)  # type: ignore[arg-type]
        for place in range(count)
    ]


def test_more_than_three_clients_at_the_same_moment_fire_and_are_named(history: History) -> None:
    runs = at_once(history, 4, apart=timedelta(seconds=1))

    found = history.check()["clients"]

    assert (found["fires"], found["value"]) == (True, 4)
    assert set(found["executions"]) == set(runs)
    [row] = found["figures"]
    assert (row["clients_at_once"], row["runs_at_once"], row["active_clients"]) == (4, 4, 4)


def test_three_clients_at_the_same_moment_do_not_fire(history: History) -> None:
    at_once(history, 3)

    assert "clients" not in firing(history)


def test_ten_clients_one_after_another_do_not_fire(history: History) -> None:
    at_once(history, 10, apart=timedelta(seconds=11))

    found = history.check()["clients"]

    assert (found["fires"], found["value"]) == (False, 1)
    assert 4 <= found["figures"][0]["clients_in_one_minute"] <= 6


def test_many_runs_of_one_client_are_one_client(history: History) -> None:
    client_id, begin = history.client("acme"), ago(days=3)
    for place in range(10):
        history.run(10.0, at=begin + timedelta(seconds=place), client_id=client_id)

    [row] = history.check()["clients"]["figures"]

    assert (row["clients_at_once"], row["runs_at_once"]) == (1, 10)


def test_runs_that_wait_for_a_person_are_not_served_at_the_same_moment(history: History) -> None:
    at_once(history, 6, attempts=WAITED)

    assert "clients" not in firing(history)


def test_clients_that_come_back_are_counted_once_at_a_time(history: History) -> None:
    begin = ago(days=3)
    one, other = history.client("one"), history.client("other")
    for client_id, second in ((one, 0), (other, 5), (one, 20), (one, 25), (other, 26)):
        history.run(10.0, at=begin + timedelta(seconds=second), client_id=client_id)

    [row] = history.check()["clients"]["figures"]

    assert (row["clients_at_once"], row["runs_at_once"]) == (2, 3)


# Time-outs.


@pytest.mark.parametrize(
    "what",
    [{"error": TIMED_OUT}, {"events": (HANDED_OFF,)}, {"events": (FORECAST,)}, {"events": (HUNG_UP,)}],
    ids=["timed out", "handed off", "handed off ahead", "hung up"],
)
def test_callers_without_an_answer_fire_above_one_in_a_hundred(history: History, what: Json) -> None:
    history.runs(97)
    runs = [history.run(**what) for _ in range(2)]

    found = history.check()["timeouts"]

    assert (found["fires"], found["value"]) == (True, pytest.approx(2.02, abs=0.01))
    assert sorted(found["executions"]) == runs


@pytest.mark.parametrize("what", [{"error": TIMED_OUT}, {"events": (HANDED_OFF, HUNG_UP)}], ids=["timed out", "both"])
def test_one_caller_in_a_hundred_without_an_answer_does_not_fire(history: History, what: Json) -> None:
    history.runs(99)
    history.run(**what)

    found = history.check()["timeouts"]

    assert (found["fires"], found["value"]) == (False, 1.0)


def test_a_hand_off_at_the_end_of_a_process_is_no_time_out(history: History) -> None:
    history.run(events=(DRAINED,))

    assert "timeouts" not in firing(history)


def test_what_a_worker_would_have_changed_is_told(history: History) -> None:
    history.runs(405)
    for event in itertools.repeat(HANDED_OFF, 7):
        history.run(events=(event,))

    told = history.triggers().check()["would_have_changed"]

    assert told["sentence"] == "7 of 412 runs would not have been handed off or left waiting."


# Schedules.


def test_runs_at_the_same_minute_day_after_day_want_a_schedule(history: History) -> None:
    begin = ago(days=10).replace(hour=7, minute=30, second=2)
    for day in range(6):
        history.run(at=begin + timedelta(days=day), workflow="report")

    found = history.check()["schedules"]

    assert (found["fires"], found["value"]) == (True, 1)
    [row] = found["figures"]
    assert (row["need"], row["workflow"], row["runs"]) == ("started by a clock elsewhere", "report", 6)
    assert history.triggers().check()["recommendation"] == "mend_first"


def test_runs_at_any_time_want_no_schedule(history: History) -> None:
    history.runs(60)

    assert "schedules" not in firing(history)


def fired(history: History, count: int, *, late: float) -> None:
    schedule_id = history.schedule()
    begin = ago(days=20).replace(minute=0, second=0, microsecond=0)
    for day in range(count):
        due = begin + timedelta(days=day)
        started = due + timedelta(seconds=late)
        history.run(at=started, schedule_id=schedule_id, fire_at=due, started_at=started)


def test_schedules_that_run_in_time_do_not_fire(history: History) -> None:
    fired(history, 10, late=4.0)

    found = history.check()["schedules"]

    assert (found["fires"], found["figures"][0]["need"]) == (False, "scheduled, on time")


def test_schedules_that_run_late_fire_and_their_runs_are_named(history: History) -> None:
    fired(history, 10, late=90.0)

    found = history.check()["schedules"]

    assert (found["fires"], found["figures"][0]["need"], len(found["executions"])) == (True, "scheduled, late", 10)


def test_schedules_whose_times_nobody_has_seen_fire(history: History) -> None:
    history.schedule(last_skipped_for="missed", last_skipped_at=ago(days=2))

    assert "schedules" in firing(history)


@pytest.mark.parametrize(
    "columns",
    [
        {"last_skipped_for": "overlap", "last_skipped_at": ago(days=2)},
        {"last_skipped_for": "missed", "last_skipped_at": ago(days=40)},
        {"last_skipped_for": "missed", "last_skipped_at": ago(days=2), "enabled": False},
    ],
    ids=["overlap", "long ago", "off"],
)
def test_schedules_whose_times_went_by_for_other_reasons_do_not_fire(history: History, columns: Json) -> None:
    history.schedule(**columns)

    assert "schedules" not in firing(history)


# Failures.


def test_more_than_five_of_a_hundred_runs_that_fail_fire_by_class(history: History) -> None:
    history.runs(90)
    for error, attempts in ((BUG, ()), (BUG, ()), (BUG, ()), (REFUSED, ()), (REFUSED, ()), (REFUSED, RETRIED)):
        history.run(error=error, attempts=attempts)

    found = history.check()["failures"]

    assert (found["fires"], found["value"]) == (True, 6.25)
    rows = {row["error_class"]: row for row in found["figures"]}
    assert (rows["permanent"]["runs"], rows["permanent"]["never_tried_again"]) == (3, 0)
    assert (rows["transient"]["runs"], rows["transient"]["never_tried_again"]) == (3, 2)
    assert "2 were transient and never tried again" in found["advice"]
    assert history.triggers().check()["recommendation"] == "mend_first"


def test_five_of_a_hundred_runs_that_fail_do_not_fire(history: History) -> None:
    history.runs(95)
    for _ in range(5):
        history.run(error=BUG)

    found = history.check()["failures"]

    assert (found["fires"], found["value"], len(found["executions"])) == (False, 5.0, 5)


def test_runs_that_were_stopped_or_are_long_past_do_not_count_as_failed(history: History) -> None:
    history.run()
    history.run(status="stopped")
    history.run(error=BUG, at=ago(days=31))

    assert "failures" not in firing(history)


# What follows.


@pytest.mark.parametrize(
    ("workers_are_on", "seconds", "recommendation"),
    [
        (False, 40.0, "switch_on"),
        (True, 40.0, "keep_worker"),
        (True, 1.0, "may_switch_off"),
        (False, 1.0, "stay_inline"),
    ],
)
def test_the_recommendation_follows(
    history: History, workers_are_on: bool, seconds: float, recommendation: str
) -> None:
    history.run(seconds)

    assert history.triggers(workers_are_on=workers_are_on).check()["recommendation"] == recommendation


def test_advice_for_a_workflow_comes_from_its_own_history(history: History) -> None:
    history.runs(30, 1.0, workflow="quick")
    history.runs(30, 40.0, workflow="slow")
    history.runs(30, 1.0, workflow="impatient", events=(HUNG_UP,))
    history.runs(30, 600.0, workflow="reviewed", attempts=WAITED)

    told = {
        name: history.triggers().advise(history.workflow(name))
        for name in ("quick", "slow", "impatient", "reviewed", "new")
    }

    assert {name: each["run"] for name, each in told.items()} == {
        "quick": "inline", "slow": "worker", "impatient": "worker", "reviewed": "worker", "new": "inline",
    }  # fmt: skip
    assert told["quick"]["why"] == ["95 of 100 runs take up to 1 s: 4 % of the 25 s there are."]
    assert told["slow"]["figures"]["p50_seconds"] == 40.0


def test_a_database_that_does_not_answer_cannot_be_checked(tmp_path: Path) -> None:
    with history_in(f"sqlite:///{tmp_path}/empty.db") as history, pytest.raises(NotReady):
        history.check()


def test_there_are_five() -> None:
    assert len({trigger.name for trigger in five("heroku")}) == 5
