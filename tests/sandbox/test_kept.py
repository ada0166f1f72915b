"""What is taken out of the pipes of hostile code, whatever that does at their other ends."""

import os

import pytest

from src.sandbox.kept import Printed

LIMIT = 64


def test_a_pipe_that_somebody_else_has_emptied_is_not_at_its_end() -> None:
    there, here = os.pipe()
    os.set_blocking(there, False)
    printed = Printed(LIMIT)

    assert printed.take(there)
    os.close(here)
    assert not printed.take(there)
    os.close(there)


def test_the_rest_of_what_never_ends_is_taken_up_to_its_limit() -> None:
    endless = os.open("/dev/zero", os.O_RDONLY)
    printed = Printed(LIMIT)

    printed.take_rest(endless, 1_000_000)

    assert 1_000_000 < printed.total < 2_000_000
    os.close(endless)


@pytest.mark.parametrize(
    "pieces",
    [
        ["first\nlast\n"],
        ["first\n", "la", "st"],
        ["last"],
        ["first", "\n", "\n", "last", "\n", " ", "\n"],
        ["la", "st", " \n\t", "\n"],
        ["first\n \nlast \n "],
    ],
)
def test_the_last_line_is_the_last_that_says_something(pieces: list[str]) -> None:
    printed = Printed(LIMIT)

    for piece in pieces:
        printed.add(piece.encode())

    assert printed.last_line == "last"


def test_white_space_within_the_last_line_stays() -> None:
    printed = Printed(LIMIT)

    for piece in ["a line\n", "the  last", "  ", "one  ", "\n"]:
        printed.add(piece.encode())

    assert printed.last_line == "the  last  one"


@pytest.mark.timeout(60)
def test_a_long_line_costs_nothing_when_line_breaks_come_one_by_one() -> None:
    printed = Printed(LIMIT)
    printed.add(b"x" * 8_000_000)

    for _ in range(100_000):
        printed.add(b"\n")

    assert len(printed.last_line) == 8_000_000
