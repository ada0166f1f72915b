"""A share of `python -m tests.end_to_end.chaos`, and what its schedule promises."""

import pytest

from tests.end_to_end.chaos import FAULTS, ChaosAlone, main, play, schedule

EXECUTIONS = 120
"""About 35 s; the command does as many as it is told."""
EXECUTIONS_ALONE = 60
SEED = 3


@pytest.mark.timeout(400)
def test_whatever_dies_nothing_is_lost_stuck_or_done_again() -> None:
    report = play(SEED, EXECUTIONS)

    assert report.is_sound, f"seed {SEED}: {report}"
    assert report.faults.total() > 8
    assert report.recovered or report.answers["none"], "nothing was interrupted"


@pytest.mark.timeout(400)
def test_nor_where_one_process_with_a_file_is_all_there_is() -> None:
    report = play(SEED, EXECUTIONS_ALONE, ChaosAlone)

    assert report.is_sound, f"seed {SEED}: {report}"
    assert report.faults.total() > 4
    assert report.recovered > 0, "nothing was interrupted"


def test_a_seed_is_a_schedule() -> None:
    assert schedule(1, 30, FAULTS) == schedule(1, 30, FAULTS)
    assert {fault.name for seed in range(5) for fault in schedule(seed, 30, FAULTS)} == set(FAULTS)
    assert schedule(1, 30, FAULTS) != schedule(2, 30, FAULTS)


def test_a_fault_that_the_database_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--database", "sqlite", "--faults", "flush", "kill_web"])

    assert "there is no flush on sqlite: take kill_web, freeze_web" in capsys.readouterr().err
