"""How long others need to take over, with the settings as they are by default; and bells that come three times.

python -m tests.end_to_end.recovery kill       a worker is killed: when do its nodes start elsewhere?
python -m tests.end_to_end.recovery term       a worker is told to end: when is it gone, and how long does nobody run?
python -m tests.end_to_end.recovery copies     every bell of many executions, three times and shuffled
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from src.database import migrate
from src.runtime.broker import TASK, Broker, make_celery
from tests import servers
from tests.end_to_end.chaos import LINE, STEPS
from tests.end_to_end.fleet import Fleet, Web, fleet
from tests.runtime.building import call, eventually, graph

BY_DEFAULT = {"LEASE_SECONDS": "30", "SWEEP_SECONDS": "5", "SHUTDOWN_GRACE_SECONDS": "8"}
LONG = graph("start -> step0, step0 -> end", step0=call("stamp"))
RUNS = 10
COPIES = 3
PATIENCE_SECONDS = 180.0


def kill(members: Fleet, web: Web, rounds: int) -> str:
    workflow_id = web.save("long", LONG)
    survivor = members.worker("survivor", concurrency=RUNS)
    found: list[float] = []
    for number in range(rounds):
        victim = members.worker(f"victim{number}", concurrency=RUNS)
        members.wait_until_ready()
        survivor.freeze()  # so that the other takes them all
        ids = [web.enqueue(workflow_id, _context(members, 90.0)) for _ in range(RUNS)]
        eventually(lambda ids=ids: _started(members, ids, 1), seconds=PATIENCE_SECONDS)  # type: ignore[misc]
        survivor.go_on()
        victim.kill()
        killed_at = time.time()
        eventually(lambda ids=ids: _started(members, ids, 2), seconds=PATIENCE_SECONDS)  # type: ignore[misc]
        found += [_stamps(members, each)[1] - killed_at for each in ids]
        for each in ids:
            web.call(f"/executions/{each}/stop", {})
    return f"{len(found)} executions taken over after {min(found):.1f} s at best, {max(found):.1f} s at worst"


def term(members: Fleet, web: Web, rounds: int) -> str:
    workflow_id = web.save("line", LINE)
    members.worker("survivor")
    gone, pauses, again = [], [], 0
    for number in range(rounds):
        ended = members.worker(f"ended{number}")
        members.wait_until_ready()
        ids = [web.enqueue(workflow_id, _context(members, 0.4)) for _ in range(4)]
        eventually(lambda ids=ids: all(len(_stamps(members, each)) > 1 for each in ids), seconds=PATIENCE_SECONDS)  # type: ignore[misc]
        begun = time.monotonic()
        ended.end(all_of_it=number % 2 == 0)
        gone.append(time.monotonic() - begun)
        for each in ids:
            web.end_of(each)
            stamps = _stamps(members, each)
            again += len(stamps) - len(STEPS)
            pauses.append(max(later - earlier - 0.4 for earlier, later in pairwise(stamps)))
    return (
        f"{rounds} rounds: gone after {max(gone):.1f} s at worst; "
        f"the longest pause between two nodes {max(pauses):.2f} s; {again} nodes run again"
    )


def copies(members: Fleet, web: Web, rounds: int) -> str:
    workflow_id, count = web.save("line", LINE), 50 * rounds
    ids = [web.enqueue(workflow_id, _context(members, 0.005)) for _ in range(count)]
    tasks = {row["id"]: row["task_id"] for row in members.query("SELECT id, task_id FROM executions")}
    bells = [each for each in ids for _ in range(COPIES)]
    Random(1).shuffle(bells)
    app = make_celery(Broker(members.redis_url))
    for each in bells:
        app.send_task(TASK, args=(each,), task_id=tasks[each], queue="nova")
    members.worker()
    members.wait_until_ready()
    for each in ids:
        web.end_of(each, seconds=PATIENCE_SECONDS)
    once = sum(len(_stamps(members, each)) == len(STEPS) for each in ids)
    return f"{count} executions, {COPIES + 1} bells each: {once} ran each of their nodes once"


def _context(members: Fleet, seconds: float) -> dict[str, Any]:
    return {"order": 1, "effects": str(members.folder / "stamps"), "pauses": dict.fromkeys(STEPS, seconds)}


def _stamps(members: Fleet, execution_id: int) -> list[float]:
    path = members.folder / "stamps"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [float(at) for each, _, at in lines if each == str(execution_id)]


def _started(members: Fleet, ids: list[int], times: int) -> bool:
    return all(len(_stamps(members, each)) >= times for each in ids)


WHAT: dict[str, Callable[[Fleet, Web, int], str]] = {"kill": kill, "term": term, "copies": copies}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=WHAT)
    options.add_argument("--rounds", type=int, default=6)
    given = options.parse_args()
    with ExitStack() as resources:
        postgres = resources.enter_context(servers.postgres_cluster())
        postgres.wait_until_ready()
        migrate(postgres.url)
        redis_url = resources.enter_context(servers.redis_server())
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        members = resources.enter_context(fleet(postgres.url, redis_url, folder, **BY_DEFAULT))
        web = members.web()
        members.wait_until_ready()
        print(WHAT[given.what](members, web, given.rounds))


if __name__ == "__main__":
    main()
