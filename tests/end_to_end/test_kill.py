"""A process that is killed anywhere loses nothing: the run goes on behind its last checkpoint, in another process."""

import random
import signal
from pathlib import Path

import pytest

from tests.end_to_end.processes import CHECKPOINTS, EFFECTS, KILLED, Installation, check
from tests.runtime.building import eventually


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Installation:
    return Installation(database_url, tmp_path)


def undisturbed(installation: Installation) -> int:
    """The id of an execution that nobody kills."""
    code, printed = installation.here(*installation.run_arguments())
    assert code == 0, printed
    [execution_id] = installation.executions()
    assert installation.effects(execution_id) == dict.fromkeys(EFFECTS, 1)
    return execution_id


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
def test_a_run_that_was_killed_at_a_boundary_goes_on_behind_it(
    installation: Installation, failpoints: list[str]
) -> None:
    reference = undisturbed(installation)
    deaths: dict[int, list[set[str]]] = {}

    for failpoint in failpoints:
        code, printed = installation.run(failpoint=failpoint)
        assert code == KILLED or failpoint in MAY_BE_MISSED, f"{failpoint}: {code}\n{printed}"
        execution_id = max(installation.executions())
        deaths[execution_id] = [installation.kept(execution_id)]
    code, printed = installation.resume()

    assert code == 0, printed
    assert len(deaths) == len(failpoints)
    check(installation, reference, deaths)


BEFORE_THE_RUN = ["workflow_create.before_commit", "workflow_create.after_commit", "create.before_commit"]


@pytest.mark.parametrize("failpoint", BEFORE_THE_RUN)
def test_a_run_that_was_killed_before_it_was_created_has_left_nothing(
    installation: Installation, failpoint: str
) -> None:
    code, _ = installation.run(failpoint=failpoint)

    assert code == KILLED
    assert installation.executions() == {}
    code, printed = installation.here("resume")
    assert (code, "Nothing to resume" in printed) == (0, True)
    execution_id = undisturbed(installation)
    check(installation, execution_id, {execution_id: []})


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
def test_a_run_whose_resumption_is_killed_too_goes_on_behind_it(
    installation: Installation, failpoints: list[str]
) -> None:
    reference = undisturbed(installation)

    code, _ = installation.run(failpoint=failpoints[0])
    execution_id = max(installation.executions())
    deaths = [installation.kept(execution_id)]
    for failpoint in failpoints[1:]:
        code, printed = installation.resume(failpoint=failpoint)
        assert code == KILLED, printed
        deaths.append(installation.kept(execution_id))
    code, printed = installation.resume()

    assert code == 0, printed
    check(installation, reference, {execution_id: deaths})


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_that_is_killed_at_random_moments_goes_on_each_time(installation: Installation, seed: int) -> None:
    moments = random.Random(seed)
    reference = undisturbed(installation)
    execution_id = reference + 1
    deaths: list[set[str]] = []

    arguments = installation.run_arguments()
    while installation.executions().get(execution_id) != "completed":
        more_lines = installation.effects(execution_id).total() + moments.randint(2, 4)
        kill_after_lines(installation, arguments, execution_id, more_lines)
        deaths.append(installation.kept(execution_id))
        eventually(installation.is_free)
        arguments = ["resume"]

    assert len(deaths) > 1
    check(installation, reference, {execution_id: deaths})


def kill_after_lines(installation: Installation, arguments: list[str], execution_id: int, lines: int) -> None:
    """Kill a command when the execution has left so many lines, unless it has ended before."""
    process = installation.start(*arguments)
    eventually(lambda: process.poll() is not None or installation.effects(execution_id).total() >= lines, seconds=60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
