from itertools import product

import pytest

from src.core.status import CELERY_WORDS, MAY_BECOME, Status, may_become


def test_every_status_says_what_may_follow_it() -> None:
    assert set(MAY_BECOME) == set(Status)


def test_final_is_what_nothing_may_follow() -> None:
    assert {status for status in Status if status.is_final} == {Status.COMPLETED, Status.FAILED, Status.STOPPED}


def test_only_what_is_queued_may_be_taken_up() -> None:
    assert may_become(Status.RUNNING) == [Status.QUEUED]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.STOPPED])
def test_an_end_is_reached_from_running_and_never_from_an_end(status: Status) -> None:
    assert Status.RUNNING in may_become(status)
    assert not any(earlier.is_final for earlier in may_become(status))


@pytest.mark.parametrize(("earlier", "later"), list(product(Status, Status)))
def test_both_directions_of_the_table_agree(earlier: Status, later: Status) -> None:
    assert (later in MAY_BECOME[earlier]) == (earlier in may_become(later))


def test_every_status_can_be_left_or_is_final_and_can_be_reached_from_queued() -> None:
    reached, pending = {Status.QUEUED}, [Status.QUEUED]
    while pending:
        for later in MAY_BECOME[pending.pop()] - reached:
            reached.add(later)
            pending.append(later)

    assert reached == set(Status)


def test_every_status_has_a_word_for_those_who_poll_like_celery() -> None:
    assert set(CELERY_WORDS) == set(Status)
    assert {CELERY_WORDS[status] for status in Status if status.is_final} == {"SUCCESS", "FAILURE", "REVOKED"}
