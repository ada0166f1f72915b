"""Children and control, with real processes: a web process and workers on PostgreSQL, or one web process alone.

python -m benchmarks.control map [ITEMS]         a map on one worker and on two, and the ratio (1,000 items)
python -m benchmarks.control inline [ITEMS]      a map in a request to a web process without a broker (1,000 items)
python -m benchmarks.control latency [ROUNDS]    how long pause, resume and stop take to answer (100 of each)
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import servers
from src.database import migrate
from tests.end_to_end.fleet import Fleet, Web, fleet
from tests.runtime.building import graph
from tests.servers import redis_server

FUNCTIONS = "benchmarks.functions"
NAP_SECONDS = 0.05
"""What each child waits for somebody else: a map is for work that does."""
PROCESSES = 2
"""Of each worker, as the Procfile starts it."""
CONCURRENCY = 64
PATIENCE_SECONDS = 600.0


def main(arguments: list[str]) -> int:
    what, *more = arguments or ["map"]
    measure, usual = WHAT[what]
    measure(int(more[0]) if more else usual)
    return 0


def compare_workers(items: int) -> None:
    took = {}
    for workers in (1, 2):
        with deployment(workers) as web:
            took[workers] = _map_seconds(web, items, query="?async_mode=true")
        where = f"{workers} worker(s) of {PROCESSES} processes"
        print(f"{items:,} items on {where}: {took[workers]:.1f} s, {items / took[workers]:.0f}/s")
    print(f"ratio: {took[1] / took[2]:.2f}")


def measure_inline(items: int) -> None:
    for databases in (servers.sqlite, servers.postgresql):
        with databases() as kind, kind.fresh() as url, alone(url) as web:
            took = _map_seconds(web, items)
        print(f"{items:,} items in one web process on {kind.name}: {took:.1f} s, {items / took:.0f}/s")


def measure_latency(rounds: int) -> None:
    """Each round takes a run in hand that sleeps on a worker; the answers are timed where they arrive."""
    took: dict[str, list[float]] = {"pause": [], "resume": [], "stop": []}
    with deployment(1) as web:
        waiting = graph("start -> wait, wait -> end", wait={"type": "wait", "seconds": 3600})
        workflow_id = web.save("waiting", waiting)
        for _ in range(rounds):
            execution_id = web.enqueue(workflow_id)
            for verb, times in took.items():
                start = perf_counter()
                answer = web.call(f"/executions/{execution_id}/{verb}", {})
                times.append(1000 * (perf_counter() - start))
                assert answer.status == 200, answer.body
    for verb, times in took.items():
        ordered = sorted(times)
        p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        print(f"{verb:<8} p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   slowest {ordered[-1]:6.1f} ms")


@contextmanager
def deployment(workers: int) -> Iterator[Web]:
    """A web process that takes no work of its own, and so many workers."""
    with (
        servers.postgresql() as databases,
        databases.fresh() as url,
        redis_server() as redis_url,
        members_of(url, redis_url) as members,
    ):
        web = members.web(QUEUE_FALLBACK="wait")
        for number in range(workers):
            members.worker(f"worker{number}", concurrency=PROCESSES)
        members.wait_until_ready()
        yield web


@contextmanager
def alone(url: str) -> Iterator[Web]:
    """A web process that does all of the work."""
    with members_of(url, "") as members:
        web = members.web(DATABASE_POOL_SIZE="20")
        members.wait_until_ready()
        yield web


@contextmanager
def members_of(url: str, redis_url: str) -> Iterator[Fleet]:
    migrate(url)
    settings = {"NOVA_FUNCTIONS": FUNCTIONS, "LEASE_SECONDS": "30", "SWEEP_SECONDS": "5"}
    with (
        tempfile.TemporaryDirectory(prefix="nova-benchmarks-") as folder,
        fleet(url, redis_url, Path(folder), **settings) as members,
    ):
        yield members


def _map_seconds(web: Web, items: int, query: str = "") -> float:
    nap = {"type": "function", "function": "nap"}
    inner = graph("start -> nap, nap -> end", nap=nap)
    each = {"type": "map", "items": "context.items", "graph": inner, "concurrency": CONCURRENCY}
    workflow_id = web.save("map", graph("start -> each, each -> end", each=each))
    start = perf_counter()
    answer = web.execute(workflow_id, {"items": [NAP_SECONDS] * items}, query=query)
    ended: Any = web.end_of(answer.body["id"], seconds=PATIENCE_SECONDS)
    took = perf_counter() - start
    assert ended["status"] == "completed", ended["error"]
    assert [child["index"] for child in ended["result"]["each"]] == list(range(items))
    return took


WHAT = {"map": (compare_workers, 1000), "inline": (measure_inline, 1000), "latency": (measure_latency, 100)}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
