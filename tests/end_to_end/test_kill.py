"""A process that is killed anywhere loses nothing: the run goes on behind its last checkpoint, in another process."""

import random
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

from tests.end_to_end.processes import CHECKPOINTS, EFFECTS, KILLED, Installation, check
from tests.runtime.building import eventually


class House(Installation):
    @cached_property
    def undisturbed(self) -> int:
        """The id of an execution that nobody kills."""
        code, printed = self.here(*self.run_arguments())
        assert code == 0, printed
        execution_id = max(self.executions())
        assert self.effects(execution_id) == dict.fromkeys(EFFECTS, 1)
        return execution_id


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For most of this file: each test completes what it has killed."""
    folder = tmp_path_factory.mktemp("house")
    if request.param == "sqlite":
        path = shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "nova.db")
        yield House(f"sqlite:///{path}", folder)
        return
    postgres, name = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
    with postgres.fresh_database(name) as url:
        yield House(url, folder)


def places(event: str, numbers: range) -> list[str]:
    return [f"checkpoint.{event}_commit:{number}" for number in numbers]


FIRST, LAST = range(1, 7), range(7, CHECKPOINTS + 1)
BOUNDARIES = {
    "before the first checkpoints": places("before", FIRST),
    "before the last checkpoints": places("before", LAST),
    "after the first checkpoints": places("after", FIRST),
    "after the last checkpoints": places("after", LAST),
    "at the ends": ["create.after_commit", "settle.before_commit", "settle.after_commit"],
}
MAY_BE_MISSED = {f"checkpoint.{event}_commit:{CHECKPOINTS}" for event in ("before", "after")}
"""Where two siblings ended together, they shared a checkpoint, and there is one less."""


@pytest.mark.parametrize("failpoints", BOUNDARIES.values(), ids=BOUNDARIES.keys())
def test_a_run_that_was_killed_at_a_boundary_goes_on_behind_it(house: House, failpoints: list[str]) -> None:
    reference = house.undisturbed
    deaths: dict[int, list[set[str]]] = {}

    for failpoint in failpoints:
        code, printed = house.run(failpoint=failpoint)
        assert code == KILLED or failpoint in MAY_BE_MISSED, f"{failpoint}: {code}\n{printed}"
        execution_id = max(house.executions())
        deaths[execution_id] = [house.kept(execution_id)]
    code, printed = house.resume()

    assert code == 0, printed
    assert len(deaths) == len(failpoints)
    check(house, reference, deaths)


BEFORE_THE_RUN = ["workflow_create.before_commit", "workflow_create.after_commit", "create.before_commit"]


def test_a_run_that_was_killed_before_it_was_created_has_left_nothing(database_url: str, tmp_path: Path) -> None:
    house = House(database_url, tmp_path)

    for failpoint in BEFORE_THE_RUN:
        code, printed = house.run(failpoint=failpoint)
        assert code == KILLED, printed
        assert house.executions() == {}

    code, printed = house.here("resume")
    assert (code, "Nothing to resume" in printed) == (0, True)
    check(house, house.undisturbed, {house.undisturbed: []})


TWICE = {
    "each time behind a checkpoint": [f"checkpoint.after_commit:{n}" for n in (2, 2, 3, 2)],
    "each time before the same checkpoint": ["checkpoint.before_commit:3", *["checkpoint.before_commit:1"] * 3],
    "when it is freed and claimed": [
        "checkpoint.after_commit:4",
        "recover.before_commit",
        "recover.after_commit",
        "claim.before_commit",
        "claim.after_commit",
    ],
    "at the end, again and again": ["settle.before_commit"] * 3 + ["settle.after_commit"],
}


@pytest.mark.parametrize("failpoints", TWICE.values(), ids=TWICE.keys())
def test_a_run_whose_resumption_is_killed_too_goes_on_behind_it(house: House, failpoints: list[str]) -> None:
    reference = house.undisturbed

    code, _ = house.run(failpoint=failpoints[0])
    execution_id = max(house.executions())
    deaths = [house.kept(execution_id)]
    for failpoint in failpoints[1:]:
        code, printed = house.resume(failpoint=failpoint)
        assert code == KILLED, printed
        deaths.append(house.kept(execution_id))
    code, printed = house.resume()

    assert code == 0, printed
    check(house, reference, {execution_id: deaths})


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_that_is_killed_at_random_moments_goes_on_each_time(house: House, seed: int) -> None:
    moments = random.Random(seed)
    reference = house.undisturbed
    execution_id = max(house.executions()) + 1
    deaths: list[set[str]] = []

    arguments = house.run_arguments()
    while (status := house.executions().get(execution_id)) != "completed":
        assert status != "failed", deaths
        more_lines = moments.randint(2, 4)
        if len(deaths) > 2 and deaths[-3:] == deaths[-1:] * 3:  # it would be taken for the cause of them, and given up
            more_lines += len(EFFECTS)
        kill_after_lines(house, arguments, execution_id, house.effects(execution_id).total() + more_lines)
        deaths.append(house.kept(execution_id))
        house.end_leases_of_the_dead()
        arguments = ["resume"]

    assert len(deaths) > 1
    check(house, reference, {execution_id: deaths})


def kill_after_lines(house: House, arguments: list[str], execution_id: int, lines: int) -> None:
    """Kill a command when the execution has left so many lines, unless it has ended before."""
    process = house.start(*arguments)
    eventually(lambda: not process.lives() or house.effects(execution_id).total() >= lines, seconds=60)
    process.kill()
