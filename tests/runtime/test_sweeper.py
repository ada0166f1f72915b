"""The sweep comes back to its duties again and again, whatever has become of one of them."""

from threading import Event

import pytest

from src.core.errors import NotReady
from src.runtime.sweeper import Sweeper


class Duty:
    """Counts its calls, and fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.was_called_again = Event()
        self._error = error

    def __call__(self) -> None:
        self.calls += 1
        if self.calls > 1:
            self.was_called_again.set()
        if self._error:
            raise self._error


@pytest.mark.parametrize("error", [NotReady("away"), AttributeError("a bug")], ids=["the database is away", "a bug"])
def test_a_duty_that_fails_keeps_neither_the_others_from_theirs_nor_itself_from_the_next_time(error: Exception) -> None:
    failing, sound = Duty(error), Duty()
    sweeper = Sweeper({"failing": failing, "sound": sound}, seconds=0.01)

    sweeper.start()

    assert failing.was_called_again.wait(20)
    assert sound.was_called_again.wait(20)
    sweeper.close()


def test_a_bug_in_a_duty_is_told_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    Sweeper({"counting": Duty(AttributeError("a bug"))}, seconds=1).sweep()

    [record] = caplog.records
    assert (record.levelname, record.message) == ("ERROR", "sweep: counting")
    assert record.exc_info is not None
