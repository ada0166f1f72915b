"""How long an event takes to who watches: from the end of an attempt, its commit included, to the client.

python -m benchmarks.live                         one watcher and 500, in process, through Redis, and by looking at SQL
python -m benchmarks.live --watchers 100          another crowd
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

from benchmarks.servers import ROOT, postgresql, serving
from src.database import migrate
from tests import servers

NODES = 10
EXECUTIONS = 10
FUNCTIONS = "benchmarks.functions"
DOCUMENT = {
    "name": "watched",
    "nodes": [
        {"id": "start", "type": "start"},
        *({"id": f"n{place}", "type": "function", "function": "pause"} for place in range(NODES)),
        {"id": "end", "type": "end"},
    ],
    "edges": [
        {"from": source, "to": target}
        for source, target in zip(
            ["start", *(f"n{place}" for place in range(NODES))], [*(f"n{place}" for place in range(NODES)), "end"],
            strict=True,
        )
    ],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--watchers", type=int, default=500)
    crowd = parser.parse_args().watchers
    print(f"{'':<44}{'events':>8}{'p50 ms':>9}{'p99 ms':>9}")
    with postgresql() as databases, servers.redis_server() as redis:
        for name, environment in (
            ("in process, without Redis", {}),
            ("on a worker, through Redis", {"REDIS_URL": redis}),
        ):
            with databases.fresh() as database_url:
                migrate(database_url)
                given = {"DATABASE_URL": database_url, "NOVA_FUNCTIONS": FUNCTIONS, **environment}
                with serving(["src.api.main:app"], given) as url, workers(given):
                    workflow_id = call(url, "/workflows", DOCUMENT)["id"]
                    measure(name, url, workflow_id, watchers=1, executions=1)
                    measure(name, url, workflow_id, watchers=crowd, executions=EXECUTIONS)
        with databases.fresh() as database_url:
            migrate(database_url)
            given = {"DATABASE_URL": database_url, "NOVA_FUNCTIONS": FUNCTIONS}
            with serving(["src.api.main:app"], given) as runner, serving(["src.api.main:app"], given) as other:
                workflow_id = call(runner, "/workflows", DOCUMENT)["id"]
                measure(
                    "another process, by looking at SQL", runner, workflow_id, watchers=1, executions=1, seen_by=other
                )


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


def measure(name: str, url: str, workflow_id: int, *, watchers: int, executions: int, seen_by: str = "") -> None:
    """The runs are held back until everybody watches."""
    hold(url, workflow_id, paused=True)
    path = f"/workflows/{workflow_id}/execute?async_mode=true"
    ids = [call(url, path, {})["id"] for _ in range(executions)]
    watched = [ids[place % executions] for place in range(watchers)]
    found = sorted(asyncio.run(watch_all(seen_by or url, watched, lambda: hold(url, workflow_id, paused=False))))
    parts = quantiles(found, n=100)
    print(f"{f'{name}, {watchers} watching':<44}{len(found):>8}{parts[49]:>9.1f}{parts[98]:>9.1f}", flush=True)


def hold(url: str, workflow_id: int, *, paused: bool) -> None:
    call(url, f"/workflows/{workflow_id}", {"paused": paused}, method="PATCH")


async def watch_all(url: str, execution_ids: list[int], begin: Callable[[], None]) -> list[float]:
    are_there = asyncio.Semaphore(0)
    watching = [asyncio.create_task(watch(url, execution_id, are_there)) for execution_id in execution_ids]
    for _ in watching:
        await are_there.acquire()
    await asyncio.to_thread(begin)
    return [milliseconds for one in await asyncio.gather(*watching) for milliseconds in one]


async def watch(url: str, execution_id: int, is_there: asyncio.Semaphore) -> list[float]:
    """The milliseconds that each event took."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(f"GET /executions/{execution_id}/stream HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    kind, found = b"", []
    while not kind.startswith(b"event: done"):
        line = await reader.readline()
        now = datetime.now(UTC)
        if not line:
            raise ConnectionError("the stream broke off")
        if line.startswith(b"event: "):
            if not kind:
                is_there.release()
            kind = line
        elif line.startswith(b"data: ") and kind.startswith(b"event: node"):
            ended_at = datetime.fromisoformat(json.loads(line[6:])["timestamp"])
            found.append((now - ended_at).total_seconds() * 1000)
    writer.close()
    return found


def call(url: str, path: str, body: object, method: str = "POST") -> Any:
    request = urllib.request.Request(
        f"{url}{path}", data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
