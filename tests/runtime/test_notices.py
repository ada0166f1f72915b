"""Who is told of what."""

from datetime import UTC, datetime

from src.runtime.live.notices import MAX_FOUND, TASK_COMPLETE, TASK_STARTED, Board, Notice, Notices, moment_of
from tests.runtime.building import add_taken_over, completed, parts


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


def test_what_a_retry_has_taken_over_is_no_news_and_hides_none(database_url: str) -> None:
    with parts(database_url) as made:
        before = datetime.now(UTC)
        claim = made.claimed()
        made.store.settle(claim, completed(), [])
        add_taken_over(made.database, made.workflows.find_by_name("plain").id, MAX_FOUND)

        told = Notices(made.database).since(before)

    assert [(each.type, each.execution_id) for each in told] == [
        (TASK_STARTED, claim.execution_id), (TASK_COMPLETE, claim.execution_id),
    ]  # fmt: skip
