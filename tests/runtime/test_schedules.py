"""Schedules: once for each fire time, whoever looks and however often, whatever the clock does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from src.core.errors import NotFound, ScheduleRefused, ValueRefused
from src.core.schedule import CatchUp, Overlap, Skipped
from src.core.status import Mode
from src.runtime.bells import Silence
from src.runtime.clients import Clients
from src.runtime.control import Control
from src.runtime.cron import Cron
from src.runtime.executions import Executions
from src.runtime.firing import Firing
from src.runtime.queue import Queue
from src.runtime.schedules import Found, ScheduleDraft, Schedules
from src.runtime.workflows import Draft
from tests.runtime.building import PLAIN, Parts, add_client, change, parts

HOURLY = Cron("0 * * * *")
DAILY = Cron("30 2 * * *", "Europe/Berlin")


class Clock:
    def __init__(self, at: str) -> None:
        self.now = datetime.fromisoformat(at).replace(tzinfo=UTC)

    def __call__(self, connection: Connection) -> datetime:
        return self.now

    def set(self, at: str) -> None:
        self.now = datetime.fromisoformat(at).replace(tzinfo=UTC)

    def go(self, **time: float) -> None:
        self.now += timedelta(**time)


class House:
    """A process that fires by a clock of the test's, and a workflow."""

    def __init__(self, made: Parts, clock: Clock) -> None:
        self.made, self.clock = made, clock
        self.executions = Executions(made.database, made.workflows, Clients(made.database), max_context_bytes=10_000)
        self.schedules = Schedules(made.database, self.executions, clock=clock)
        self.queue = Queue(made.database, Silence())
        self.control = Control(made.database, self.queue, lambda _: None)
        self.workflow_id = made.workflows.keep(Draft("plain", PLAIN))
        self.firing = self.another()

    def another(self, **options: Any) -> Firing:
        """As another process would have it."""
        return Firing(
            self.made.database,
            self.made.workflows,
            self.executions,
            self.made.store,
            self.queue,
            queued_as=Mode.BACKGROUND,
            clock=self.clock,
            **options,
        )

    def schedule(self, cron: Cron = HOURLY, **fields: Any) -> int:
        return self.schedules.create(ScheduleDraft(self.workflow_id, cron, **fields))

    def sweep(self, at: str | None = None) -> list[int]:
        if at:
            self.clock.set(at)
        return self.firing.fire_due()

    def found(self, schedule_id: int) -> Found:
        return self.schedules.find(schedule_id)

    def fired(self) -> list[str]:
        """The fire times of all runs, in the order in which they were started."""
        rows = self.made.rows("SELECT CAST(fire_at AS varchar) AS at FROM executions ORDER BY id")
        return [row.at[:16] for row in rows]

    def statuses(self) -> list[str]:
        return [row.status for row in self.made.rows("SELECT status FROM executions ORDER BY id")]

    def end(self, execution_id: int) -> None:
        self.control.stop(execution_id)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with parts(database_url) as made:
        yield House(made, Clock("2026-11-25 09:30"))


# Fire times.


def test_what_is_due_is_started_once_and_is_due_next_at_the_next_time(house: House) -> None:
    schedule_id = house.schedule(initial_context={"n": 1}, overlap=Overlap.ALLOW)
    assert house.sweep("2026-11-25 09:59:59") == []

    [execution_id] = house.sweep("2026-11-25 10:00:03")
    assert house.sweep() == []

    row = house.executions.find(execution_id)
    assert (row.row.schedule_id, row.row.fire_at, row.initial_context) == (
        schedule_id,
        datetime(2026, 11, 25, 10, tzinfo=UTC),
        {"n": 1},
    )
    assert house.found(schedule_id).row.next_fire_at == datetime(2026, 11, 25, 11, tzinfo=UTC)
    house.sweep("2026-11-25 11:00:01")
    assert house.fired() == ["2026-11-25 10:00", "2026-11-25 11:00"]


def test_many_that_look_at_the_same_moment_start_it_once(house: House) -> None:
    for _ in range(5):
        house.schedule(overlap=Overlap.ALLOW)
    house.clock.set("2026-11-25 10:00:01")

    with ThreadPoolExecutor(8) as threads:
        started = list(threads.map(lambda firing: firing.fire_due(), [house.another() for _ in range(8)]))

    assert sorted(each for some in started for each in some) == house.executions.ids()
    assert house.fired() == ["2026-11-25 10:00"] * 5


def test_a_run_is_pinned_to_the_version_of_the_moment(house: House) -> None:
    house.schedule()
    house.made.workflows.save(house.workflow_id, Draft("plain", PLAIN, "changed"), expected_version=None)

    [execution_id] = house.sweep("2026-11-25 10:00")

    assert house.executions.find(execution_id).row.workflow_version == 2


def test_every_fire_time_comes_once_across_the_night_in_which_the_clocks_go_forward(house: House) -> None:
    house.clock.set("2026-03-28 22:59")
    house.schedule(DAILY, overlap=Overlap.ALLOW, catch_up=CatchUp.ONE)

    for _ in range(27 * 2):
        house.sweep()
        house.clock.go(minutes=30)

    assert house.fired() == ["2026-03-29 01:00", "2026-03-30 00:30"]


def test_every_fire_time_comes_once_across_the_night_in_which_the_clocks_go_back(house: House) -> None:
    house.clock.set("2026-10-24 21:59")
    house.schedule(DAILY, overlap=Overlap.ALLOW, catch_up=CatchUp.ONE)
    house.schedule(Cron("0 * * * *", "Europe/Berlin"), overlap=Overlap.ALLOW, catch_up=CatchUp.ONE)

    for _ in range(6 * 6):
        house.sweep()
        house.clock.go(minutes=10)

    assert sorted(house.fired()) == [
        "2026-10-24 22:00", "2026-10-24 23:00", "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 01:00",
        "2026-10-25 02:00", "2026-10-25 03:00",
    ]  # fmt: skip


# The clock.


def test_a_clock_that_goes_back_fires_nothing_twice(house: House) -> None:
    house.schedule(overlap=Overlap.ALLOW)
    house.sweep("2026-11-25 10:00:01")

    for moment in ("09:59:00", "09:59:59", "10:00:00", "10:00:30", "10:59:59"):
        house.sweep(f"2026-11-25 {moment}")
    house.sweep("2026-11-25 11:00:00")

    assert house.fired() == ["2026-11-25 10:00", "2026-11-25 11:00"]


def test_a_clock_that_was_days_ahead_for_a_moment_silences_nothing(house: House) -> None:
    schedule_id = house.schedule(overlap=Overlap.ALLOW)
    house.sweep("2026-11-29 17:00:01")

    for hour in (10, 11):
        house.sweep(f"2026-11-25 {hour - 1:02}:59:30")
        house.sweep(f"2026-11-25 {hour}:00:01")

    assert house.fired() == ["2026-11-29 17:00", "2026-11-25 10:00", "2026-11-25 11:00"]
    assert house.found(schedule_id).row.next_fire_at == datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_times_that_nobody_has_seen_go_by(house: House) -> None:
    schedule_id = house.schedule(catch_up=CatchUp.SKIP)

    assert house.sweep("2026-11-25 17:20") == []

    row = house.found(schedule_id).row
    assert row.next_fire_at == datetime(2026, 11, 25, 18, tzinfo=UTC)
    assert (row.last_skipped_at, row.last_skipped_for) == (datetime(2026, 11, 25, 17, tzinfo=UTC), Skipped.MISSED)


def test_the_last_of_the_times_that_nobody_has_seen_is_caught_up_with_where_that_is_wanted(house: House) -> None:
    house.schedule(catch_up=CatchUp.ONE, overlap=Overlap.ALLOW)

    house.sweep("2026-11-25 17:20")
    house.sweep("2026-11-25 18:00:01")

    assert house.fired() == ["2026-11-25 17:00", "2026-11-25 18:00"]


def test_a_sweep_that_is_a_little_late_misses_nothing(house: House) -> None:
    house.schedule(catch_up=CatchUp.SKIP)

    house.sweep("2026-11-25 10:00:59")

    assert house.fired() == ["2026-11-25 10:00"]


# Runs that get into each other's way.


def test_a_time_goes_by_while_an_earlier_run_has_not_ended(house: House) -> None:
    schedule_id = house.schedule(overlap=Overlap.SKIP)
    [first] = house.sweep("2026-11-25 10:00")

    assert house.sweep("2026-11-25 11:00") == []
    assert house.found(schedule_id).row.last_skipped_for == Skipped.OVERLAP
    house.end(first)
    house.sweep("2026-11-25 12:00")

    assert house.fired() == ["2026-11-25 10:00", "2026-11-25 12:00"]


def test_runs_wait_for_their_turn_in_order(house: House) -> None:
    house.schedule(overlap=Overlap.QUEUE)
    [first] = house.sweep("2026-11-25 10:00")
    [second], [third] = house.sweep("2026-11-25 11:00"), house.sweep("2026-11-25 12:00")
    assert house.statuses() == ["queued", "paused", "paused"]

    house.end(first)
    assert house.sweep("2026-11-25 12:01") == [second]
    assert house.sweep() == []
    assert house.statuses() == ["stopped", "queued", "paused"]

    house.end(second)
    assert house.sweep() == [third]


def test_only_so_many_runs_wait_for_their_turn(house: House) -> None:
    schedule_id = house.schedule(Cron("* * * * *"), overlap=Overlap.QUEUE)

    few = house.another(max_waiting=2)

    for _ in range(5):
        house.clock.go(minutes=1)
        few.fire_due()

    assert len(house.fired()) == 1 + 2
    assert house.found(schedule_id).row.last_skipped_for == Skipped.TOO_MANY


def test_runs_go_side_by_side_where_that_is_allowed(house: House) -> None:
    house.schedule(overlap=Overlap.ALLOW)
    for hour in (10, 11):
        house.sweep(f"2026-11-25 {hour}:00")

    assert house.statuses() == ["queued", "queued"]


# What holds them.


def test_a_schedule_that_is_switched_off_fires_nothing_and_goes_on_from_the_moment_it_is_on_again(house: House) -> None:
    schedule_id = house.schedule(catch_up=CatchUp.ONE)
    house.schedules.change(schedule_id, {"enabled": False})
    house.sweep("2026-11-25 10:00")
    assert house.found(schedule_id).row.next_fire_at is None

    house.clock.set("2026-11-25 12:30")
    house.schedules.change(schedule_id, {"enabled": True})
    house.sweep()
    house.sweep("2026-11-25 13:00")

    assert house.fired() == ["2026-11-25 13:00"]


def test_the_runs_of_a_workflow_that_is_held_wait_until_it_goes_on(house: House) -> None:
    house.schedule()
    house.control.pause_workflow(house.workflow_id)

    house.sweep("2026-11-25 10:00")
    house.sweep("2026-11-25 11:00")
    assert house.statuses() == ["paused"]

    house.control.resume_workflow(house.workflow_id)
    assert house.statuses() == ["queued"]


def test_nobody_gets_a_turn_while_the_workflow_is_held(house: House) -> None:
    house.schedule(overlap=Overlap.QUEUE)
    [first] = house.sweep("2026-11-25 10:00")
    [second] = house.sweep("2026-11-25 11:00")
    house.control.pause_workflow(house.workflow_id)
    house.end(first)

    assert house.sweep() == []
    house.control.resume_workflow(house.workflow_id)

    assert house.sweep() == [second]


def test_a_workflow_that_is_out_of_use_is_not_run_any_more(house: House) -> None:
    schedule_id = house.schedule()
    house.made.workflows.archive(house.workflow_id, expected_version=None)

    assert house.sweep("2026-11-25 10:00") == []
    assert house.schedules.page(limit=10) == ([], 0)
    with pytest.raises(NotFound):
        house.found(schedule_id)


def test_a_client_that_is_not_active_any_more_gets_no_runs_and_holds_up_nobody(house: House) -> None:
    add_client(house.made.database, "acme")
    acme = house.schedule(client_slug="acme")
    house.schedule(name="other")
    change(house.made.database, "UPDATE clients SET is_active = false")

    assert len(house.sweep("2026-11-25 10:00")) == 1
    assert house.found(acme).row.last_skipped_for == Skipped.REFUSED

    house.schedules.change(acme, {"enabled": False})


def test_a_run_is_made_for_the_client_of_its_schedule(house: House) -> None:
    client_id = add_client(house.made.database, "acme")
    house.schedule(client_slug="acme")

    [execution_id] = house.sweep("2026-11-25 10:00")

    assert house.executions.find(execution_id).row.client_id == client_id


def test_a_schedule_whose_time_zone_has_gone_is_put_aside_and_holds_up_nobody(house: House) -> None:
    lost = house.schedule()
    house.schedule(name="other")
    change(house.made.database, "UPDATE schedules SET timezone = 'Mars/Base' WHERE id = :id", id=lost)

    assert len(house.sweep("2026-11-25 10:00")) == 1

    found = house.found(lost)
    assert (found.row.next_fire_at, found.next_times) == (None, [])
    house.schedules.change(lost, {"timezone": "UTC"})
    assert len(house.sweep("2026-11-25 11:00")) == 1


def test_the_runs_of_a_schedule_that_was_deleted_stay(house: House) -> None:
    schedule_id = house.schedule()
    [execution_id] = house.sweep("2026-11-25 10:00")

    house.schedules.delete(schedule_id)

    assert house.sweep("2026-11-25 11:00") == []
    assert house.executions.find(execution_id).row.schedule_id == schedule_id
    with pytest.raises(NotFound):
        house.schedules.delete(schedule_id)


# Keeping them.


def test_what_cannot_be_run_cannot_be_kept(house: House) -> None:
    with pytest.raises(ScheduleRefused):
        house.schedule(Cron("61 * * * *", "Mars"))
    with pytest.raises(NotFound):
        house.schedule(client_slug="nobody")
    with pytest.raises(ValueRefused):
        house.schedule(initial_context={"x": "x" * 20_000})
    with pytest.raises(NotFound):
        house.schedules.create(ScheduleDraft(house.workflow_id + 1, HOURLY))

    assert house.schedules.page(limit=10) == ([], 0)


def test_a_change_leaves_the_rest_as_it_is(house: House) -> None:
    schedule_id = house.schedule(initial_context={"n": 1}, name="hourly")

    house.schedules.change(schedule_id, {"cron": "15 * * * *"})

    found = house.found(schedule_id)
    assert (found.row.name, found.row.initial_context, found.row.timezone) == ("hourly", {"n": 1}, "UTC")
    assert found.row.next_fire_at == datetime(2026, 11, 25, 10, 15, tzinfo=UTC)
    assert found.next_times[:2] == [found.row.next_fire_at, datetime(2026, 11, 25, 11, 15, tzinfo=UTC)]


def test_a_change_of_the_name_does_not_touch_what_is_due(house: House) -> None:
    schedule_id = house.schedule()
    house.clock.set("2026-11-25 10:00:01")

    house.schedules.change(schedule_id, {"name": "renamed"})

    assert len(house.sweep()) == 1
