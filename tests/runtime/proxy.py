"""A TCP proxy in front of a server that fails as networks do: it cuts, it refuses, it loses an answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import make_url


@dataclass(eq=False)
class Link:
    """One connection of a client, and ours to the server for it."""

    client: socket.socket
    server: socket.socket
    received: bytes = b""
    """What the client has sent since the proxy was told what to look for."""
    loses_answer: bool = False

    def cut(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Forwards to a server. What it does wrong, it does when it is told to."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._links: set[Link] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._is_down = False
        self._marks: list[bytes] = []
        self.lost = threading.Event()
        """Set when an answer was lost."""
        self.refused = 0
        """Connections that came while it was down, or the server away."""
        self._threads[0].start()

    def lose_the_answer_to(self, *marks: bytes) -> None:
        """Forward what a client sends until all `marks` have come in it, in this order; swallow the answer to the last
        of them, once it is there, and cut the connection. Only once.
        """
        with self._lock:
            self._marks = list(marks)
            for link in self._links:
                link.received = b""

    def cut(self) -> None:
        """Cut every connection. The server does not notice before it has something to say."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.cut()

    def go_down(self) -> None:
        """Cut every connection and refuse new ones, until `come_back`."""
        self._is_down = True
        self.cut()

    def come_back(self) -> None:
        self._is_down = False

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in list(self._threads):
            thread.join(timeout=5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_down:
                self.refused += 1
                client.close()
                continue
            try:
                server = socket.create_connection(self._server)
            except OSError:  # it is away
                self.refused += 1
                client.close()
                continue
            self._forward(Link(client, server))

    def _forward(self, link: Link) -> None:
        with self._lock:
            self._links.add(link)
        pumps = [threading.Thread(target=pump, args=[link], daemon=True) for pump in (self._ask, self._answer)]
        self._threads += pumps
        for pump in pumps:
            pump.start()

    def _ask(self, link: Link) -> None:
        with suppress(OSError):
            while data := link.client.recv(65_536):
                self._look_for_marks(link, data)
                link.server.sendall(data)
        self._end(link)

    def _look_for_marks(self, link: Link, data: bytes) -> None:
        with self._lock:
            if not self._marks:
                return
            link.received += data
            while self._marks and self._marks[0] in link.received:
                link.received = link.received.partition(self._marks.pop(0))[2]
                link.loses_answer = not self._marks

    def _answer(self, link: Link) -> None:
        with suppress(OSError):
            while data := link.server.recv(65_536):
                if link.loses_answer:
                    self.lost.set()
                    break
                link.client.sendall(data)
        self._end(link)

    def _end(self, link: Link) -> None:
        link.cut()
        with self._lock:
            if link in self._links:
                self._links.discard(link)
                return
        link.client.close()
        link.server.close()


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the server of `url`, and the URL that goes through it."""
    target = make_url(url)
    proxy = Proxy(target.host or "127.0.0.1", target.port or 5432)
    try:
        yield proxy, target.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    finally:
        proxy.close()
