"""Who is told of what."""

from datetime import UTC, datetime

from src.runtime.live.notices import TASK_STARTED, Board, Notice, moment_of


def notice(execution_id: int, client_id: int | None) -> Notice:
    return Notice(TASK_STARTED, execution_id, client_id, datetime(2026, 11, 25, tzinfo=UTC), {})


def test_a_client_is_told_of_its_own_runs_and_no_other() -> None:
    notices = [notice(1, None), notice(2, 7), notice(3, 8)]

    assert [each.execution_id for each in Board(7).chosen(notices)] == [2]
    assert [each.execution_id for each in Board().chosen(notices)] == [1, 2, 3]


def test_nobody_is_told_the_same_twice() -> None:
    board = Board(last_event_id=notice(1, None).id)

    told = [board.chosen([notice(1, None), notice(2, None)]) for _ in range(2)]

    assert [[each.execution_id for each in part] for part in told] == [[2], []]


def test_an_id_says_when_its_notice_was_made() -> None:
    assert moment_of(notice(1, None).id) == datetime(2026, 11, 25, tzinfo=UTC)
    assert [moment_of(nonsense) for nonsense in (None, "", "x", "-1", "9" * 40)] == [None] * 5
