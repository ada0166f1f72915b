"""Three real processes fire the same schedules through a night in which the clocks change; some of them die in it."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from src.core.schedule import CatchUp, Overlap
from src.core.status import Status
from src.runtime.clients import Clients
from src.runtime.cron import Cron
from src.runtime.executions import Executions
from src.runtime.schedules import ScheduleDraft, Schedules
from src.runtime.workflows import Draft
from tests import servers
from tests.end_to_end.fleet import START_SECONDS, fleet
from tests.runtime.building import PLAIN, Parts, eventually, graph, parts
from tests.runtime.firer import replace

ROOT = Path(__file__).resolve().parents[2]
KILLED = 137
BERLIN = "Europe/Berlin"
CRONS = [Cron("30 2 * * *", BERLIN), Cron("0 * * * *", BERLIN), Cron("*/15 * * * *"), Cron("50 2 25 10 *", BERLIN)]
BEGIN = "2026-10-24 22:55"
"""In Berlin the hour from 2 to 3 comes twice in this night."""
STEP = timedelta(minutes=10)
PATIENCE_SECONDS = 60.0
SELDOM_SECONDS = 3600
"""Between the sweeps of a worker that leaves them to a Beat."""


class Night:
    """The processes, and the clock that they all look at."""

    def __init__(self, url: str, folder: Path, now: str) -> None:
        self._url, self._folder = url, folder
        self._processes: list[subprocess.Popen[str]] = []
        self.now = datetime.fromisoformat(now).replace(tzinfo=UTC)
        replace(folder / "now", self.now.isoformat())

    def begin(self, failpoint: str = "") -> None:
        command = [sys.executable, "-m", "tests.runtime.firer", self._url, str(self._folder)]
        environment = os.environ | {"FAILPOINT": failpoint}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, text=True)
        self._processes.append(process)

    def set(self, now: datetime) -> None:
        """Move the hand, and wait until every process that lives has swept at that moment."""
        self.now = now
        replace(self._folder / "now", now.isoformat())
        eventually(lambda: all(map(self._has_swept, self.living)), seconds=PATIENCE_SECONDS, what="the sweeps")

    @property
    def living(self) -> "list[subprocess.Popen[str]]":
        return [each for each in self._processes if each.poll() is None]

    @property
    def died(self) -> list[int]:
        return [each.returncode for each in self._processes if each.poll() is not None]

    def end(self) -> None:
        for each in self._processes:
            each.kill()
            each.communicate()

    def _has_swept(self, process: "subprocess.Popen[str]") -> bool:
        swept = self._folder / f"{process.pid}.swept"
        return process.poll() is not None or (swept.exists() and swept.read_text() == self.now.isoformat())


@contextmanager
def night(url: str, folder: Path, now: str) -> Iterator[Night]:
    made = Night(url, folder, now)
    try:
        yield made
    finally:
        made.end()


def executions_of(made: Parts) -> Executions:
    return Executions(made.database, made.workflows, Clients(made.database), max_context_bytes=10_000)


def keep_schedules(made: Parts, clock: Night) -> dict[int, Cron]:
    """By their ids."""

    def now(_: Connection) -> datetime:
        return clock.now

    schedules = Schedules(made.database, executions_of(made), clock=now)
    workflow_id = made.workflows.keep(Draft("plain", PLAIN))
    drafts = [ScheduleDraft(workflow_id, each, overlap=Overlap.ALLOW, catch_up=CatchUp.ONE) for each in CRONS]
    return {schedules.create(draft): draft.cron for draft in drafts}


def fired(made: Parts) -> Counter[tuple[int, str]]:
    """How many runs there are for each schedule and fire time."""
    rows = made.rows("SELECT schedule_id, CAST(fire_at AS varchar) AS at FROM executions")
    return Counter((row.schedule_id, row.at[:16]) for row in rows)


def wanted(crons: dict[int, Cron], begin: datetime, end: datetime) -> set[tuple[int, str]]:
    return {
        (schedule_id, at.strftime("%Y-%m-%d %H:%M"))
        for schedule_id, cron in crons.items()
        for at in cron.some(begin, 100)
        if at <= end
    }


def test_three_processes_start_every_run_once_through_a_change_of_clocks_deaths_and_jumps(
    database_url: str, tmp_path: Path
) -> None:
    with parts(database_url) as made, night(database_url, tmp_path, BEGIN) as clock:
        crons, start = keep_schedules(made, clock), clock.now
        for failpoint in ("fire.after_commit:4", "fire.before_commit:3", ""):
            clock.begin(failpoint)
        clock.set(clock.now)

        for _ in range(12):  # some of them die, and are started again
            clock.set(clock.now + STEP)
            for _ in range(3 - len(clock.living)):
                clock.begin()
        clock.set(clock.now - 3 * STEP)  # it is set back, and comes through the same half hour again
        for _ in range(9):
            clock.set(clock.now + STEP)

        found = fired(made)
        assert set(found) == wanted(crons, start, clock.now)
        assert set(found.values()) == {1}
        assert clock.died.count(KILLED) >= 1


def test_a_beat_alone_sees_to_schedules_where_nobody_else_sweeps(
    postgres: servers.Postgres, postgres_template: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        postgres.fresh_database(postgres_template) as url,
        parts(url) as made,
        fleet(url, redis_url, tmp_path, SWEEP_SECONDS=str(SELDOM_SECONDS)) as members,
    ):
        worker = members.worker(concurrency=1)
        members.beat(SWEEP_SECONDS="0.5")
        eventually(worker.is_ready, seconds=START_SECONDS, what="the start of the worker")
        schedules = Schedules(made.database, executions_of(made))
        workflow_id = made.workflows.create(Draft("by Beat", graph("start -> end")))
        schedule_id = schedules.create(ScheduleDraft(workflow_id, Cron("* * * * *"), catch_up=CatchUp.ONE))
        members.query("UPDATE schedules SET next_fire_at = now() - interval '1 minute' RETURNING id")

        def ended() -> bool:
            rows = members.query("SELECT status FROM executions WHERE schedule_id = :id", id=schedule_id)
            return [row["status"] for row in rows][:1] == [Status.COMPLETED]

        eventually(ended, seconds=PATIENCE_SECONDS, what="a run that the Beat has asked for")
