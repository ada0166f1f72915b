"""A router as platforms put before a server: it gives a request up when no answer has begun after some seconds.

python -m tests.end_to_end.router     a run of 40 s behind a router that waits 30 s, on a web process and a worker
"""

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from src.database import migrate
from tests import servers
from tests.end_to_end.fleet import Answer, call, fleet
from tests.runtime.building import call as calls
from tests.runtime.building import graph

GIVEN_UP = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
STEPS = [f"step{number}" for number in range(8)]
NAPS = graph(
    ", ".join(f"{source} -> {target}" for source, target in pairwise(["start", *STEPS, "end"])),
    **{step: calls("nap") for step in STEPS},
)


class Router:
    def __init__(self, port: int, *, seconds: float) -> None:
        self._port = port
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._route, args=[client], daemon=True).start()

    def _route(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            threading.Thread(target=_pump, args=[client, server], daemon=True).start()
            server.settimeout(self._seconds)
            try:
                client.sendall(server.recv(65_536))
            except TimeoutError:
                client.sendall(GIVEN_UP)
                return
            server.settimeout(None)
            _pump(server, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)


@contextmanager
def router(port: int, *, seconds: float) -> Iterator[Router]:
    made = Router(port, seconds=seconds)
    try:
        yield made
    finally:
        made.close()


def execute(url: str, workflow_id: int, context: dict[str, Any], **headers: str) -> Answer:
    return call(f"{url}/workflows/{workflow_id}/execute", {"initial_context": context}, timeout=100, **headers)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--run-seconds", type=float, default=40)
    options.add_argument("--router-seconds", type=float, default=30)
    options.add_argument("--budget-seconds", type=float, default=25)
    given = options.parse_args()
    with ExitStack() as resources:
        postgres = resources.enter_context(servers.postgres_cluster())
        postgres.wait_until_ready()
        migrate(postgres.url)
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        redis_url = resources.enter_context(servers.redis_server())
        budget = str(given.budget_seconds)
        members = resources.enter_context(fleet(postgres.url, redis_url, folder, INLINE_BUDGET_SECONDS=budget))
        web = members.web()
        members.worker()
        members.wait_until_ready()
        way = resources.enter_context(router(web.port, seconds=given.router_seconds))
        context = {"effects": str(members.installation.effects_file), "seconds": given.run_seconds / len(STEPS)}
        workflow_id, begun = web.save("naps", NAPS), time.monotonic()
        answer = execute(way.url, workflow_id, context)
        print(f"{answer.status} after {time.monotonic() - begun:.1f} s: {answer.headers['Location']}")
        ended = web.end_of(answer.body["id"], seconds=2 * given.run_seconds + 60)
        effects = members.installation.effects(ended["id"])
        print(f"{ended['status']} after {time.monotonic() - begun:.1f} s on a {ended['mode']} runner")
        print(f"nodes run: {effects.total()} of {len(STEPS)}, none twice: {set(effects.values()) == {1}}")
        print(f"handed off: {[data['reason'] for data in members.events(ended['id'], 'handed_off')]}")


if __name__ == "__main__":
    main()
