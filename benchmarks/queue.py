"""Through the queue: what it takes from an order to its start on a worker, and what leaving a runner costs.

python3 dev.py bench --queue     beside a bare Celery task, on the same Redis, in the same run
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from celery import Celery
from sqlalchemy import select

from benchmarks import bare, nova, report, servers
from benchmarks.measure import CONTEXT
from src.bootstrap import build
from src.database import migrate
from src.models import Execution
from src.nova import Nova
from src.runtime.broker import Broker, make_celery
from src.settings import Settings
from tests.end_to_end.fleet import WORKER, Member, fleet
from tests.runtime.building import eventually
from tests.servers import redis_server

ONE_BY_ONE, AT_ONCE = 200, 400
STEPS = 10
RUNS = 20
CONCURRENCY = "2"
PATIENCE_SECONDS = 120.0


def main() -> int:
    with ExitStack() as stack:
        databases = stack.enter_context(servers.postgresql())
        url, redis_url = stack.enter_context(databases.fresh()), stack.enter_context(redis_server())
        migrate(url)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        given = {"NOVA_FUNCTIONS": nova.FUNCTIONS, "LEASE_SECONDS": "30", "SWEEP_SECONDS": "5"}
        members = stack.enter_context(fleet(url, redis_url, folder, **given))
        members.worker("nova")
        members.worker("often", "-Q", "often", SLICE_NODES="1")
        members.members.append(_bare_worker(folder, redis_url))
        members.wait_until_ready()
        here = stack.enter_context(closing(build(given_to(url, redis_url))))
        here.start()
        print("\n".join(f"{name:<10} {value}" for name, value in report.machine([databases.version]).items()), "\n")
        _say("bare Celery task", *_bare(make_celery(Broker(redis_url)), folder / "told"))
        _say("run of one function", *_ours(here))
        print(f"a hand-off from one process of a worker to the next: {_hand_off_ms(here):.1f} ms")
    return 0


def given_to(url: str, redis_url: str) -> Settings:
    return Settings(database_url=url, redis_url=redis_url, nova_functions=[nova.FUNCTIONS])


def _bare_worker(folder: Path, redis_url: str) -> Member:
    arguments = ["benchmarks.bare" if word == "src.workers.celery_app" else word for word in WORKER]
    options = ("-c", CONCURRENCY, "-n", "bare@%h", "-Q", bare.QUEUE)
    return Member("bare", (*arguments, *options), folder, {"REDIS_URL": redis_url})


def _say(name: str, starts: list[float], per_second: float) -> None:
    hundredths = quantiles(starts, n=100)
    p50, p99 = 1e3 * hundredths[49], 1e3 * hundredths[98]
    print(f"{name:<24} starts after {p50:.1f} ms (p50), {p99:.1f} ms (p99); {per_second:.0f} a second")


def _bare(app: Celery, told: Path) -> tuple[list[float], float]:
    def moments() -> list[float]:
        return [float(line) for line in told.read_text().splitlines()] if told.exists() else []

    def send() -> float:
        sent_at = time.time()
        app.send_task(bare.TASK, args=(str(told),), queue=bare.QUEUE)
        return sent_at

    starts = []
    for count in range(1, ONE_BY_ONE + 1):
        sent_at = send()
        _await(lambda count=count: len(moments()) == count)  # type: ignore[misc]
        starts.append(moments()[-1] - sent_at)
    first = time.time()
    for _ in range(AT_ONCE):
        send()
    _await(lambda: len(moments()) == ONE_BY_ONE + AT_ONCE)
    return starts, AT_ONCE / (max(moments()) - first)


def _ours(here: Nova) -> tuple[list[float], float]:
    workflow_id = _save(here, nova.line("function", 1))
    alone = [_through_the_queue(here, workflow_id, 1)[0] for _ in range(ONE_BY_ONE)]
    rows = _through_the_queue(here, workflow_id, AT_ONCE)
    took = (max(row.completed_at for row in rows) - min(row.created_at for row in rows)).total_seconds()
    return [(row.started_at - row.created_at).total_seconds() for row in alone], AT_ONCE / took


def _hand_off_ms(here: Nova) -> float:
    """The same line, in one go and handed off before every node."""
    document = nova.line("function", STEPS)
    whole = _save(here, document)
    elsewhere = document["graph_definition"] | {"queue": "often"}
    often = _save(here, document | {"graph_definition": elsewhere, "name": "often"})
    times = {
        workflow_id: median(float(_through_the_queue(here, workflow_id, 1)[0].execution_time) for _ in range(RUNS))
        for workflow_id in (whole, often)
    }
    return 1e3 * (times[often] - times[whole]) / (STEPS - 1)


def _through_the_queue(here: Nova, workflow_id: int, count: int) -> list[Any]:
    ids = [here.dispatcher.enqueue(here.executions.order(workflow_id, CONTEXT)) for _ in range(count)]
    query = select(Execution).where(Execution.id.in_(ids), Execution.completed_at.is_not(None))
    found: list[Any] = []

    def have_ended() -> bool:
        with here.database.read() as connection:
            found[:] = connection.execute(query).all()
        return len(found) == count

    _await(have_ended)
    return found


def _save(here: Nova, document: dict[str, Any]) -> int:
    return nova.save(here, document)


def _await(condition: Callable[[], object]) -> None:
    eventually(condition, seconds=PATIENCE_SECONDS)
