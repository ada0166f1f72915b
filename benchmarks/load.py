"""The load: `python -m benchmarks.load URL CONCURRENCY SECONDS` posts one body over kept connections, again and again.

A process of its own with no HTTP library, since the servers need the cores. Prints one JSON object: see `Round`.
"""

import asyncio
import json
import re
import sys
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.measure import CONTEXT

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
GIVE_UP_SECONDS = 60.0


class Load:
    """What all connections share: the request, the time to stop, and what has been seen."""

    def __init__(self, request: bytes, seconds: float) -> None:
        self.request = request
        self.stop_at = perf_counter() + seconds
        self.last = 0.0
        self.latencies: list[float] = []
        self.failures: list[str] = []


class Connection(asyncio.Protocol):
    """One request at a time; the next is sent when the answer is complete."""

    def __init__(self, load: Load) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._load = load
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        length = LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        self._load.last = perf_counter()
        self._load.latencies.append(self._load.last - self._sent_at)
        if not head.startswith(b"HTTP/1.1 200 ") or b'"status":"completed"' not in body:
            self._load.failures.append(self._received.decode(errors="replace"))
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self._load.failures.append(f"the connection was closed: {error}")
            self.ended.set_result(None)

    def _send(self) -> None:
        self._received = b""
        self._sent_at = perf_counter()
        self._transport.write(self._load.request)

    def _next(self) -> None:
        if perf_counter() < self._load.stop_at:
            self._send()
        else:
            self.ended.set_result(None)
            self._transport.close()


async def run(url: str, concurrency: int, seconds: float) -> dict[str, object]:
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    body = json.dumps({"initial_context": CONTEXT}).encode()
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    load = Load(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, seconds)
    loop, start = asyncio.get_running_loop(), perf_counter()
    ended = []
    for _ in range(concurrency):
        _, connection = await loop.create_connection(lambda: Connection(load), host, port)
        ended.append(connection.ended)
    await asyncio.wait_for(asyncio.gather(*ended), seconds + GIVE_UP_SECONDS)
    return {"seconds": load.last - start, "latencies": load.latencies, "failures": load.failures}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
