"""Which class an error is of: what every kind of node asks, and what an author's code may raise to say it itself."""

from http import HTTPStatus

from src.core.outcome import ErrorClass


class Transient(Exception):
    """It may pass: try again, after `retry_after_seconds` at the earliest."""

    def __init__(self, *args: object, retry_after_seconds: float | None = None) -> None:
        super().__init__(*args)
        self.retry_after_seconds = retry_after_seconds


class Permanent(Exception):
    """It will fail again."""


class NeedsReview(Exception):
    """A person must look at it, with `output` in hand: what the node would have changed."""

    def __init__(self, *args: object, output: dict[str, object] | None = None) -> None:
        super().__init__(*args)
        self.output = output


RAISED = {"Transient": ErrorClass.TRANSIENT, "Permanent": ErrorClass.PERMANENT, "NeedsReview": ErrorClass.PARTIAL}
"""By name: all that is told of an exception that was raised in the sandbox."""
PASSING = frozenset(
    "TimeoutError ConnectionError ConnectionResetError ConnectionRefusedError ConnectionAbortedError BrokenPipeError "
    "BlockingIOError InterruptedError IncompleteReadError IncompleteRead RemoteDisconnected SMTPServerDisconnected "
    "SMTPConnectError gaierror".split()
)
PASSING_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def class_of(error_type: str) -> ErrorClass:
    """The class of an exception by the name of its type."""
    if error_type in RAISED:
        return RAISED[error_type]
    return ErrorClass.TRANSIENT if error_type in PASSING else ErrorClass.PERMANENT


def class_of_exception(error: BaseException) -> ErrorClass:
    """By the types that it is an instance of: a library's own time-out is one too."""
    names = (each.__name__ for each in type(error).__mro__)
    return next((class_of(name) for name in names if name in RAISED or name in PASSING), ErrorClass.PERMANENT)


def class_of_status(status: int) -> ErrorClass:
    """Of an HTTP answer that was not hoped for."""
    passes = status in PASSING_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return ErrorClass.TRANSIENT if passes else ErrorClass.PERMANENT
