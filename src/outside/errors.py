"""What can come of a call to the outside, other than an answer.

OutsideError
├── Refused           it is not allowed, or makes no sense: permanent
├── TooLarge          the answer is more than is taken: permanent
├── Fault             no connection, no answer in time, an answer that breaks off: transient
├── CircuitOpen       the host has failed so often that it is left alone for a while: transient
└── Cancelled         the result is no longer wanted
"""

from typing import ClassVar

from src.core.outcome import ErrorClass, NodeError


class OutsideError(Exception):
    """The message has no secret in it: no query, no header, no body."""

    error_class: ClassVar[ErrorClass] = ErrorClass.PERMANENT
    retry_after_seconds: float | None = None

    @property
    def told(self) -> NodeError:
        return NodeError(type(self).__name__, str(self), self.error_class, retry_after_seconds=self.retry_after_seconds)


class Refused(OutsideError):
    pass


class TooLarge(OutsideError):
    pass


class Fault(OutsideError):
    error_class = ErrorClass.TRANSIENT


class CircuitOpen(OutsideError):
    error_class = ErrorClass.TRANSIENT

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(f"{host} has failed too often: it is left alone for another {seconds:.0f} s")
        self.retry_after_seconds = seconds


class Cancelled(OutsideError):
    error_class = ErrorClass.TRANSIENT
