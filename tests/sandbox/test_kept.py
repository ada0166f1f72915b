"""What is taken out of the pipes of hostile code, whatever that does at their other ends."""

import os

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
