"""httpcore's way to the network, with the guard before every connection and one deadline over all of a call."""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
from httpcore2 import SOCKET_OPTION

from src.outside.deadline import LOOK_SECONDS, Deadline
from src.outside.errors import Refused
from src.outside.guard import Guard


class GuardedBackend(httpcore2.NetworkBackend):
    """For one call. Connects to the very addresses that were checked: the name is not looked up again."""

    def __init__(self, guard: Guard, deadline: Deadline) -> None:
        self._guard = guard
        self._deadline = deadline
        self._network = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 -- the deadline is one for all
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = self._guard.addresses(host, port)
        for place, address in enumerate(addresses):
            left = self._deadline.left_seconds
            fair = left / (len(addresses) - place)  # an address that does not answer leaves time for the next
            try:
                stream = self._network.connect_tcp(address, port, fair, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if place == len(addresses) - 1:
                    raise
            else:
                return _BoundedStream(stream, self._deadline)
        raise AssertionError("the guard answers at least one address")

    def connect_unix_socket(self, path: str, *_: object, **__: object) -> httpcore2.NetworkStream:
        raise Refused(f"{path!r} is a unix socket")


class _BoundedStream(httpcore2.NetworkStream):
    """A peer that sends a byte now and then does not get more time by it."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        while True:
            try:
                return self._stream.read(max_bytes, min(LOOK_SECONDS, self._deadline.left_seconds))
            except httpcore2.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.left_seconds)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left_seconds)
        return _BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
