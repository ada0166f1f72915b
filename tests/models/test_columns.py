"""What the tables share."""

import pytest

from src.models.columns import MAX_ID, is_id


@pytest.mark.parametrize("text", ["1", "0", "007", "9" * 18])
def test_digits_are_an_id(text: str) -> None:
    assert is_id(text)
    assert int(text) <= MAX_ID


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1_0", "٣", "²", "9" * 19])
def test_what_is_no_number_that_a_database_holds_is_no_id(text: str) -> None:
    assert not is_id(text)
