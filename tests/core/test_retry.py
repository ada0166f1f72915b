import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.outcome import ErrorClass, NodeError
from src.core.retry import LONGEST_SECONDS, RetryPolicy

TRANSIENT = NodeError("TimeoutError", "no answer", ErrorClass.TRANSIENT)
EXACT = RetryPolicy(max_attempts=5, interval_seconds=2, backoff_rate=3, max_delay_seconds=30, jitter="none")


def middle() -> float:
    return 0.5


def test_the_delay_grows_by_the_rate_up_to_the_longest() -> None:
    delays = [EXACT.delay_seconds(TRANSIENT, failures, middle) for failures in (1, 2, 3, 4)]

    assert delays == [2, 6, 18, 30]


def test_after_the_last_attempt_there_is_none() -> None:
    assert EXACT.delay_seconds(TRANSIENT, 5, middle) is None
    assert RetryPolicy(max_attempts=1).delay_seconds(TRANSIENT, 1, middle) is None


@pytest.mark.parametrize("error_class", [ErrorClass.PERMANENT, ErrorClass.PARTIAL])
def test_only_what_may_pass_is_tried_again(error_class: ErrorClass) -> None:
    assert EXACT.delay_seconds(NodeError("ValueError", "no", error_class), 1, middle) is None


def test_full_jitter_spreads_over_the_whole_delay() -> None:
    policy = RetryPolicy(interval_seconds=10, jitter="full")

    delays = [policy.delay_seconds(TRANSIENT, 1, lambda chance=chance: chance) for chance in (0.0, 0.25, 0.99)]  # type: ignore[misc]

    assert delays == [0, 2.5, 9.9]


def test_who_says_when_to_come_back_is_believed() -> None:
    busy = NodeError("Busy", "", ErrorClass.TRANSIENT, retry_after_seconds=90)

    assert EXACT.delay_seconds(busy, 1, middle) == 90


@given(st.integers(1, 99), st.floats(0, 1, exclude_max=True))
def test_a_delay_is_never_longer_than_the_longest(failures: int, chance: float) -> None:
    policy = RetryPolicy(max_attempts=100, interval_seconds=5, backoff_rate=10, max_delay_seconds=60)

    delay = policy.delay_seconds(TRANSIENT, failures, lambda: chance)

    assert delay is not None
    assert 0 <= delay <= 60


@pytest.mark.parametrize("rate", [1e4, 1e308])
def test_a_delay_that_outgrows_every_number_is_the_longest(rate: float) -> None:
    policy = RetryPolicy(max_attempts=100, backoff_rate=rate, max_delay_seconds=60, jitter="none")

    assert policy.delay_seconds(TRANSIENT, 99, middle) == 60


def test_no_interval_is_none_at_any_rate() -> None:
    policy = RetryPolicy(max_attempts=100, interval_seconds=0, backoff_rate=1e308, jitter="none")

    assert [policy.delay_seconds(TRANSIENT, failures, middle) for failures in (1, 2, 99)] == [0, 0, 0]


def test_no_delay_is_longer_than_a_year() -> None:
    policy = RetryPolicy(interval_seconds=1e308, max_delay_seconds=1e308, jitter="none")

    assert policy.delay_seconds(TRANSIENT, 1, middle) == LONGEST_SECONDS
