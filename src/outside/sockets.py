"""Plain connections for the protocols that the standard library speaks: checked, pinned, and ended in time."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from src.outside.deadline import Deadline
from src.outside.errors import Fault, OutsideError, Refused
from src.outside.guard import Guard

Security = Literal["tls", "starttls", "none"]
MAIL_PORTS = frozenset({25, 143, 465, 587, 993, 2525})


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def trusting(security: Security, trust: ssl.SSLContext | None) -> ssl.SSLContext:
    """Reading the system's certificates takes its time: only where there is TLS. The other one trusts nobody."""
    if trust is not None:
        return trust
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if security == "none" else ssl.create_default_context()


def connected(guard: Guard, place: Place, deadline: Deadline) -> socket.socket:
    """A connection to one of the addresses that were checked.

    Raises:
        OutsideError
    """
    addresses = guard.addresses(place.host, place.port)
    for number, address in enumerate(addresses):
        fair = deadline.left_seconds / (len(addresses) - number)
        try:
            return socket.create_connection((address, place.port), fair)
        except OSError as error:
            if number == len(addresses) - 1:
                raise Fault(f"{place}: {error}") from None
    raise AssertionError("the guard answers at least one address")


def secured(connection: socket.socket, trust: ssl.SSLContext, place: Place) -> socket.socket:
    """Raises OutsideError; the connection is closed then."""
    try:
        return trust.wrap_socket(connection, server_hostname=place.host)
    except OSError as error:
        connection.close()
        raise fault_of(error, place) from None


@contextmanager
def ended_in_time(connection: socket.socket | None, deadline: Deadline) -> Iterator[None]:
    """Whatever the peer sends, and however slowly: when the time is over the connection breaks off."""

    def end() -> None:
        with suppress(OSError):
            if connection is not None:
                connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(deadline.left_seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def fault_of(error: OSError | EOFError, place: Place) -> OutsideError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refused(f"{place}: {error.verify_message}")
    return Fault(f"{place}: {error or type(error).__name__}")
