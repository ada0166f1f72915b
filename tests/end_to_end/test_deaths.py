"""Members of a deployment are told to end, freeze, lose their broker: what they were doing goes on elsewhere, once."""

import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.end_to_end.fleet import END_SECONDS, PATIENCE_SECONDS, Fleet, Member, Web, fleet
from tests.runtime.building import call, eventually, graph

STEPS = [f"step{number}" for number in range(12)]
STEP_SECONDS = 0.15
NAPS = graph(
    ", ".join(f"{source} -> {target}" for source, target in pairwise(["start", *STEPS, "end"])),
    **{step: call("nap") for step in STEPS},
)
GATED = graph("start -> first, first -> hold, hold -> last, last -> end",
    first=call("tell_process"), hold=call("wait_at_gate"), last=call("tell_process"))  # fmt: skip
QUICK = graph("start -> work, work -> more, more -> end", work=call("work"), more=call("work"))
LONGEST_PAUSE_SECONDS = 2.0
"""Between two nodes of a run that changes its runner."""


class Deployment:
    """Two web processes, two workers, a Redis that can be taken away. Who has gone is started again for the next."""

    def __init__(self, members: Fleet, redis_port: int) -> None:
        self.members = members
        self._redis_port = redis_port
        self._redis: servers.Process | None = None
        self._living: dict[str, Member] = {}
        self._ids: dict[str, int] = {}

    def complete(self) -> None:
        if self._redis is None:
            self.start_redis()
        for name in ("web", "other", "first", "second"):
            if name not in self._living or not self._living[name].lives():
                self._living[name] = self._start(name)
        self.members.wait_until_ready()
        eventually(lambda: self.web.call("/health/celery").status == 200, seconds=END_SECONDS, what="health")

    def _start(self, name: str) -> Member:
        return self.members.web(name) if name in ("web", "other") else self.members.worker(name)

    @property
    def web(self) -> Web:
        web = self._living["web"]
        assert isinstance(web, Web)
        return web

    @property
    def other(self) -> Web:
        web = self._living["other"]
        assert isinstance(web, Web)
        return web

    @property
    def workers(self) -> tuple[Member, Member]:
        return self._living["first"], self._living["second"]

    def start_redis(self) -> None:
        self._redis = servers.start_redis(self._redis_port)

    def stop_redis(self) -> None:
        if self._redis is not None:
            self._redis.stop()
            self._redis = None

    def enqueue(self, name: str, definition: object, context: object, *, count: int) -> list[int]:
        workflow_id = self.id_of(name, definition)
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(lambda _: self.web.enqueue(workflow_id, context), range(count)))

    def id_of(self, name: str, definition: object) -> int:
        if name not in self._ids:
            self._ids[name] = self.web.save(name, definition)
        return self._ids[name]

    def effects(self, execution_id: int) -> dict[str, int]:
        return dict(self.members.installation.effects(execution_id))

    def await_effect(self, execution_id: int, node_id: str) -> None:
        eventually(
            lambda: self.effects(execution_id).get(node_id),
            seconds=PATIENCE_SECONDS,
            what=f"the start of {node_id} of execution {execution_id}",
        )

    def await_completion(self, ids: list[int], *, seconds: float = PATIENCE_SECONDS) -> None:
        def are_complete() -> bool:
            known = self.members.installation.executions()
            return all(known[each] == "completed" for each in ids)

        eventually(are_complete, seconds=seconds, what="their ends")
        assert [self.web.call(f"/executions/{each}").body["error"] for each in ids] == [None] * len(ids)

    def let_bells_be_old(self, ids: list[int]) -> None:
        """So that they are rung for again at the next sweep, and not in ten seconds."""
        self.members.query(
            "UPDATE executions SET rung_at = rung_at - interval '1 minute' WHERE id = ANY(:ids) RETURNING id", ids=ids
        )

    def reasons(self, execution_id: int) -> list[str]:
        return [data["reason"] for data in self.members.events(execution_id, "handed_off")]

    def modes(self, ids: list[int]) -> set[str]:
        rows = self.members.query("SELECT id, mode FROM executions")
        return {row["mode"] for row in rows if row["id"] in ids}

    def longest_pause(self, execution_id: int) -> float:
        """Seconds between the end of a node and the start of the next."""
        statement = "SELECT started_at, execution_time FROM chain_of_work WHERE execution_id = :id ORDER BY id"
        rows = self.members.query(statement, id=execution_id)
        return float(
            max(
                (later["started_at"] - earlier["started_at"]).total_seconds() - earlier["execution_time"]
                for earlier, later in pairwise(rows)
            )
        )

    def close(self) -> None:
        self.stop_redis()


@pytest.fixture(scope="module")
def installed(
    postgres: servers.Postgres, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    port = servers.free_port()
    folder = tmp_path_factory.mktemp("deployment")
    with (
        postgres.fresh_database(postgres_template) as url,
        fleet(url, f"redis://127.0.0.1:{port}/0", folder) as members,
    ):
        made = Deployment(members, port)
        yield made
        made.close()


@pytest.fixture
def deployment(installed: Deployment) -> Deployment:
    installed.complete()
    return installed


@pytest.fixture
def context(installed: Deployment, tmp_path: Path) -> Iterator[dict[str, Any]]:
    gate = tmp_path / "gate"
    effects = str(installed.members.installation.effects_file)
    yield {"order": 1, "seconds": STEP_SECONDS, "effects": effects, "gate": str(gate)}
    gate.touch()


@pytest.fixture
def open_gate(context: dict[str, Any]) -> Callable[[], None]:
    return Path(context["gate"]).touch


@pytest.mark.parametrize("all_of_it", [True, False], ids=["all of its processes", "its leader"])
def test_a_worker_that_is_told_to_end_hands_its_runs_on(
    deployment: Deployment, context: dict[str, Any], all_of_it: bool
) -> None:
    ids = deployment.enqueue("naps", NAPS, context, count=4)
    for each in ids:
        deployment.await_effect(each, "step2")

    code = deployment.workers[0].end(all_of_it=all_of_it)

    deployment.await_completion(ids)
    assert code in (0, 128 + signal.SIGTERM)
    assert {reason for each in ids for reason in deployment.reasons(each)} == {"drain"}
    for each in ids:
        assert deployment.effects(each) == dict.fromkeys(STEPS, 1)


def test_a_web_process_that_is_told_to_end_hands_its_run_on(deployment: Deployment, context: dict[str, Any]) -> None:
    workflow_id = deployment.id_of("naps", NAPS)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(lambda: deployment.other.execute(workflow_id, context))
        eventually(lambda: newest(deployment), seconds=PATIENCE_SECONDS, what="the execution")
        execution_id = newest(deployment)
        deployment.await_effect(execution_id, "step2")
        deployment.other.end()
        answer = asked.result()

    deployment.await_completion([execution_id])
    assert (answer.status, answer.body["id"]) == (202, execution_id)
    assert deployment.reasons(execution_id) == ["drain"]
    assert deployment.effects(execution_id) == dict.fromkeys(STEPS, 1)
    assert deployment.longest_pause(execution_id) < LONGEST_PAUSE_SECONDS


def newest(deployment: Deployment) -> int:
    """The execution that is being run inside a request; 0 where none is."""
    running = deployment.members.query("SELECT id FROM executions WHERE status = 'running' AND mode = 'inline'")
    return max((int(row["id"]) for row in running), default=0)


def test_a_zombie_writes_nothing(
    deployment: Deployment, context: dict[str, Any], open_gate: Callable[[], None]
) -> None:
    """Frozen in the middle of a node until its lease has run out, a worker finds that the execution is another's."""
    [execution_id] = deployment.enqueue("gated", GATED, context, count=1)
    deployment.await_effect(execution_id, "hold")
    [held] = deployment.members.query("SELECT lease_owner FROM executions WHERE id = :id", id=execution_id)
    zombie = next(each for each in deployment.workers if int(held["lease_owner"].split(":")[1]) in pids_of(each))

    zombie.freeze()
    eventually(lambda: deployment.effects(execution_id)["hold"] == 2, seconds=PATIENCE_SECONDS, what="the takeover")
    open_gate()
    deployment.await_completion([execution_id])
    before = rows_of(deployment, execution_id)
    zombie.go_on()

    eventually(lambda: "is no longer this runner's" in zombie.printed, seconds=PATIENCE_SECONDS)
    assert rows_of(deployment, execution_id) == before
    assert deployment.effects(execution_id) == {"first": 1, "hold": 2, "last": 1}
    assert len(deployment.members.events(execution_id, "recovered")) == 1


def pids_of(member: Member) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "-s", str(member.process.pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in found.stdout.split()]


def rows_of(deployment: Deployment, execution_id: int) -> list[Any]:
    return [
        *deployment.members.query("SELECT * FROM executions WHERE id = :id", id=execution_id),
        *deployment.members.query("SELECT * FROM chain_of_work WHERE execution_id = :id ORDER BY id", id=execution_id),
    ]


def test_a_flushed_broker_loses_nothing_and_frozen_workers_are_unhealthy(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    for worker in deployment.workers:
        worker.freeze()
    ids = deployment.enqueue("quick", QUICK, context, count=10)
    frozen = deployment.web.call("/health/celery")
    flush(deployment.members.redis_url)
    for worker in deployment.workers:
        worker.go_on()

    deployment.let_bells_be_old(ids)
    deployment.await_completion(ids)
    assert (frozen.status, frozen.body["detail"]) == (503, "No worker answers.")
    assert frozen.body["queues"]["nova"]["waiting"] == 10
    assert deployment.modes(ids) == {"celery"}
    assert [deployment.effects(each) for each in ids] == [{"work": 1, "more": 1}] * 10


def flush(redis_url: str) -> None:
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        client.flushall()


def test_without_its_broker_work_is_accepted_and_done_by_the_web_processes(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    deployment.stop_redis()
    without = deployment.enqueue("quick", QUICK, context, count=5)
    deployment.await_completion(without)
    unhealthy = deployment.web.call("/health/celery")
    deployment.start_redis()
    eventually(lambda: deployment.web.call("/health/celery").status == 200, seconds=PATIENCE_SECONDS, what="health")

    def comes_to_a_worker() -> bool:
        """The web process leaves a broker that did not answer alone for a while."""
        again = deployment.enqueue("quick", QUICK, context, count=1)
        deployment.await_completion(again)
        return deployment.modes(again) == {"celery"}

    eventually(comes_to_a_worker, seconds=PATIENCE_SECONDS, what="the way back to the workers")
    assert deployment.modes(without) == {"background"}
    assert unhealthy.status == 503
    assert [deployment.effects(each) for each in without] == [{"work": 1, "more": 1}] * 5


def test_a_worker_that_comes_back_finds_everything_that_was_queued(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    end_all(deployment.workers)
    ids = deployment.enqueue("quick", QUICK, context, count=10)

    deployment.complete()

    deployment.let_bells_be_old(ids)
    deployment.await_completion(ids)
    assert [deployment.effects(each) for each in ids] == [{"work": 1, "more": 1}] * 10


def end_all(members: Iterable[Member]) -> None:
    with ThreadPoolExecutor() as threads:
        list(threads.map(Member.end, members))


def test_the_way_back_runs_in_the_web_processes_what_was_queued_for_workers(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    end_all([*deployment.workers, deployment.other])
    deployment.web.kill()
    waiting = deployment.members.web("waiting", QUEUE_FALLBACK="wait")
    deployment.members.wait_until_ready()
    workflow_id = waiting.save("for workers", QUICK | {"queue": "analyst"})
    ids = [waiting.enqueue(workflow_id, context) for _ in range(5)]
    waiting.end()

    back = deployment.members.web("back", USE_CELERY="false")
    deployment.members.wait_until_ready()
    disabled = back.call("/health/celery")
    for each in ids:
        assert back.end_of(each)["status"] == "completed"
    back.end()

    assert (disabled.status, disabled.body) == (200, {"status": "disabled"})
    assert deployment.modes(ids) == {"background"}


def test_every_history_is_sound(installed: Deployment) -> None:
    code, printed = installed.members.installation.here("verify", "--all")

    assert code == 0, printed
