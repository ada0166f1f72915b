import socket
import ssl

import pytest

from src.core.classify import (
    NeedsReview,
    Permanent,
    Transient,
    class_of,
    class_of_exception,
    class_of_status,
)
from src.core.outcome import ErrorClass


class VendorTimeout(TimeoutError):
    """A library's own."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), ErrorClass.TRANSIENT),
        (VendorTimeout(), ErrorClass.TRANSIENT),
        (ConnectionResetError(), ErrorClass.TRANSIENT),
        (socket.gaierror(), ErrorClass.TRANSIENT),
        (Transient("busy"), ErrorClass.TRANSIENT),
        (ValueError(), ErrorClass.PERMANENT),
        (PermissionError(), ErrorClass.PERMANENT),
        (ssl.SSLCertVerificationError(), ErrorClass.PERMANENT),
        (Permanent("no such order"), ErrorClass.PERMANENT),
        (KeyboardInterrupt(), ErrorClass.PERMANENT),
        (NeedsReview("odd"), ErrorClass.PARTIAL),
    ],
)
def test_an_exception_is_of_the_class_that_says_what_can_be_done(error: BaseException, expected: ErrorClass) -> None:
    assert class_of_exception(error) is expected


def test_an_exception_from_the_sandbox_is_known_by_its_name() -> None:
    assert [class_of(name) for name in ("Transient", "TimeoutError", "NeedsReview", "KeyError")] == [
        ErrorClass.TRANSIENT,
        ErrorClass.TRANSIENT,
        ErrorClass.PARTIAL,
        ErrorClass.PERMANENT,
    ]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_these_statuses_may_pass(status: int) -> None:
    assert class_of_status(status) is ErrorClass.TRANSIENT


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_these_statuses_will_not(status: int) -> None:
    assert class_of_status(status) is ErrorClass.PERMANENT
