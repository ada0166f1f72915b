"""How long an event takes to who watches: from the end of an attempt, its commit included, to the client.

python -m benchmarks.live                         one watcher and 500, in process, through Redis, and by looking at SQL
python -m benchmarks.live --watchers 100          another crowd

`start` is not counted: it has no effects, so its row waits for the checkpoint of the first function. The last events of
the crowd have a line of their own: ten runs end within some hundredths of a second, and 500 connections with them.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.servers import ROOT, postgresql, serving
from src.database import migrate
from tests import servers

EXECUTIONS = 10
FUNCTIONS = "benchmarks.functions"


class Case(NamedTuple):
    """So many watch so many runs, spread evenly; each run is a line of functions that each take a while."""

    watchers: int
    executions: int
    nodes: int
    seconds: float


ALONE = Case(1, 1, nodes=300, seconds=0.02)
WARM_UP = Case(20, EXECUTIONS, nodes=5, seconds=0.02)
"""Connections of the pool, threads and code that is run for the first time are no matter of events."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watchers", type=int, default=500)
    crowd = Case(parser.parse_args().watchers, EXECUTIONS, nodes=10, seconds=0.1)
    print(f"{'':<44}{'events':>8}{'p50 ms':>9}{'p99 ms':>9}{'last ms':>9}")
    with postgresql() as databases, servers.redis_server() as redis:
        for name, environment in (
            ("in process, without Redis", {}),
            ("on a worker, through Redis", {"REDIS_URL": redis}),
        ):
            with databases.fresh() as database_url:
                migrate(database_url)
                given = {"DATABASE_URL": database_url, "NOVA_FUNCTIONS": FUNCTIONS, **environment}
                with serving(["src.api.main:app"], given) as url, workers(given):
                    latencies(url, WARM_UP)
                    report(f"{name}, 1 watching", latencies(url, ALONE))
                    found = latencies(url, crowd)
                    report(f"{name}, {crowd.watchers} watching", found[: -2 * crowd.watchers])
                    report("   the last two of each", found[-2 * crowd.watchers :])
        with databases.fresh() as database_url:
            migrate(database_url)
            given = {"DATABASE_URL": database_url, "NOVA_FUNCTIONS": FUNCTIONS}
            with serving(["src.api.main:app"], given) as runner, serving(["src.api.main:app"], given) as other:
                report("elsewhere, by looking at SQL, 1 watching", latencies(runner, ALONE, seen_by=other))


@contextmanager
def workers(environment: dict[str, str]) -> Iterator[None]:
    """A worker with a thread for each execution, where there is a broker."""
    if "REDIS_URL" not in environment:
        yield
        return
    command = ["-m", "celery", "-A", "src.workers.celery_app", "worker", "--pool=threads", "-c", str(EXECUTIONS)]
    process = subprocess.Popen(
        [sys.executable, *command, "--loglevel=ERROR", "--without-gossip", "--without-mingle"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def latencies(url: str, case: Case, *, seen_by: str = "") -> list[float]:
    """In milliseconds, the first event of everybody first. The runs are held back until everybody watches."""
    workflow_id = call(url, "/workflows", document(case.nodes))["id"]
    hold(url, workflow_id, paused=True)
    order = {"initial_context": {"seconds": case.seconds}}
    path = f"/workflows/{workflow_id}/execute?async_mode=true"
    ids = [call(url, path, order)["id"] for _ in range(case.executions)]
    watched = [ids[place % case.executions] for place in range(case.watchers)]
    return asyncio.run(watch_all(seen_by or url, watched, lambda: hold(url, workflow_id, paused=False)))


def report(title: str, found: list[float]) -> None:
    ordered = sorted(found)
    parts = [ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.99, 1.0)]
    print(f"{title:<44}{len(ordered):>8}{''.join(f'{part:>9.1f}' for part in parts)}", flush=True)


def document(nodes: int) -> dict[str, Any]:
    ids = ["start", *(f"n{place}" for place in range(nodes)), "end"]
    return {
        "name": f"watched {time.time_ns()}",
        "nodes": [
            {"id": "start", "type": "start"},
            *({"id": node_id, "type": "function", "function": "pause"} for node_id in ids[1:-1]),
            {"id": "end", "type": "end"},
        ],
        "edges": [{"from": source, "to": target} for source, target in pairwise(ids)],
    }


def hold(url: str, workflow_id: int, *, paused: bool) -> None:
    call(url, f"/workflows/{workflow_id}", {"paused": paused}, method="PATCH")


async def watch_all(url: str, execution_ids: list[int], begin: Callable[[], None]) -> list[float]:
    watching = [await connected(url, execution_id) for execution_id in execution_ids]
    await asyncio.gather(*(each.is_there for each in watching))
    await asyncio.to_thread(begin)
    await asyncio.gather(*(each.has_ended for each in watching))
    found = [list(each.latencies()) for each in watching]
    return [milliseconds for event in zip(*found, strict=True) for milliseconds in event]


async def connected(url: str, execution_id: int) -> "Watching":
    host, port = urlsplit(url).netloc.split(":")
    path = f"/executions/{execution_id}/stream"
    _, watching = await asyncio.get_running_loop().create_connection(lambda: Watching(path, host), host, int(port))
    return watching


class Watching(asyncio.Protocol):
    """Only notes what came when: what a client does with it would compete with the server for the cores."""

    def __init__(self, path: str, host: str) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        self._came: list[tuple[float, bytes]] = []
        loop = asyncio.get_running_loop()
        self.is_there: asyncio.Future[None] = loop.create_future()
        self.has_ended: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._came.append((time.time(), data))
        if b"event: " in data and not self.is_there.done():
            self.is_there.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's
        for waited_for in (self.is_there, self.has_ended):
            if not waited_for.done():
                waited_for.set_result(None)

    def latencies(self) -> Iterator[float]:
        rest = b""
        for at, data in self._came:
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                _, is_node, text = event.partition(b"event: node\ndata: ")
                row = json.loads(text.partition(b"\n")[0]) if is_node else {"node_type": "start"}
                if row["node_type"] != "start":
                    yield (at - datetime.fromisoformat(row["timestamp"]).timestamp()) * 1000
        if not any(b"event: done" in data for _, data in self._came):
            raise ConnectionError("the stream broke off")


def call(url: str, path: str, body: object, method: str = "POST") -> Any:
    request = urllib.request.Request(
        f"{url}{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
