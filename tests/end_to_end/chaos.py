"""Everything dies at random moments, from one seed, and nothing may be lost, stuck or done again.

python -m tests.end_to_end.chaos --seed 1 --executions 1000
python -m tests.end_to_end.chaos --seed 1 --executions 1000 --faults restart_redis freeze_redis flush reset
python -m tests.end_to_end.chaos --seed 1 --executions 1000 --database sqlite

Two web processes and two workers on a PostgreSQL and a Redis of their own; or one web process on a SQLite file, and
nothing else. Executions are asked for over HTTP, two of three asynchronously, each with a key under which it is asked
for again until there is an answer.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from redis import Redis, RedisError

from src.database import migrate
from tests import servers
from tests.end_to_end.fleet import LEASE_SECONDS, Fleet, Member, Web, fleet
from tests.runtime.building import call, graph
from tests.runtime.clusters import Cluster, cluster
from tests.runtime.proxy import Proxy

STEPS = [f"step{number}" for number in range(6)]
LINE = graph(
    ", ".join(f"{source} -> {target}" for source, target in pairwise(["start", *STEPS, "end"])),
    **{step: call("stamp") for step in STEPS},
)
FAULTS = {
    "kill_child": 6,
    "kill_worker": 1,
    "kill_web": 1,
    "freeze_worker": 1,
    "restart_redis": 1,
    "freeze_redis": 1,
    "flush": 2,
    "reset": 2,
    "stop_postgres": 1,
}
"""How often each comes, relative to the others."""
FAULTS_ALONE = {"kill_web": 4, "freeze_web": 1}
"""Of one process without a broker."""
PER_SECOND = 12.0
"""Executions that are asked for."""
USUAL_ANSWERS = {"200", "202", "503", "none"}
"""`none` is a request that met a dead process."""
CALM_SECONDS = 180.0
"""After the last fault: whatever has not ended then is stuck."""
TICK_SECONDS = 0.001
"""Between the clocks of a node and of the commit."""


@dataclass(frozen=True)
class Fault:
    at_seconds: float
    name: str
    chance: float
    """Decides whom it meets, and for how long."""


def schedule(seed: int, seconds: float, weights: Mapping[str, int]) -> list[Fault]:
    random, at, faults = Random(seed), 1.0, []
    while at < seconds:
        [name] = random.choices(list(weights), list(weights.values()))
        faults.append(Fault(at, name, random.random()))
        at += random.uniform(0.3, 1.2)
    return faults


@dataclass
class Report:
    executions: int = 0
    lost: int = 0
    """Acknowledged, and not there."""
    stuck: int = 0
    failed: int = 0
    run_again: int = 0
    """Nodes that were started after their checkpoint had been committed."""
    wrong: int = 0
    """Histories in which the checker finds something."""
    repeated: int = 0
    """Nodes in flight that were started once more: allowed."""
    recovered: int = 0
    handed_off: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def is_sound(self) -> bool:
        is_kept = not (self.lost or self.stuck or self.failed or self.run_again or self.wrong)
        return is_kept and self.answers.keys() <= USUAL_ANSWERS

    def __str__(self) -> str:
        injected = ", ".join(f"{count} x {name}" for name, count in sorted(self.faults.items()))
        answers = ", ".join(f"{count} x {name}" for name, count in sorted(self.answers.items()))
        return (
            f"{self.executions} executions in {self.seconds:.0f} s; {injected}\n"
            f"answers: {answers}\n"
            f"lost {self.lost}, stuck {self.stuck}, failed {self.failed}, completed nodes run again {self.run_again}, "
            f"histories with something wrong {self.wrong}\n"
            f"nodes in flight repeated {self.repeated}, recovered {self.recovered}, handed off {self.handed_off}"
        )


class Chaos:
    """Of several processes on PostgreSQL and Redis."""

    faults: Mapping[str, int] = FAULTS
    names: tuple[str, ...] = ("web 1", "web 2", "worker1", "worker2")
    committed_at = "extract(epoch FROM pg_xact_commit_timestamp(xmin))"
    """The moment from which on a node must not be started any more."""

    def __init__(self, folder: Path, resources: ExitStack) -> None:
        self.report = Report()
        self._resources = resources
        self._members: Fleet = resources.enter_context(fleet(*self._open(folder), folder))
        self._living: dict[str, Member] = {}
        self._frozen: list[threading.Timer] = []
        self._acknowledged: dict[int, int] = {}

    def _open(self, _: Path) -> tuple[str, str]:
        """What the processes share: the database and the broker."""
        self._postgres: Cluster = self._resources.enter_context(cluster())
        self._postgres.keep_moments_of_commits()
        self._redis_port = servers.free_port()
        self._redis = servers.start_redis(self._redis_port)
        self._resources.callback(self._stop_redis)
        self._proxy = Proxy("127.0.0.1", self._redis_port)
        self._resources.callback(self._proxy.close)
        return self._postgres.url, f"redis://127.0.0.1:{self._proxy.port}/0"

    def _stop_redis(self) -> None:
        self._redis.stop()  # whichever it is by then

    def start(self) -> None:
        for name in self.names:
            self._begin(name)
        self._members.wait_until_ready()
        self._workflow_id = self._webs()[0].save("line", LINE)

    def run(self, executions: int, faults: Sequence[Fault], seed: int) -> Report:
        begun = time.monotonic()
        self.report.executions = executions
        with ThreadPoolExecutor(24) as threads:
            asked = [threads.submit(self._ask, number, seed, begun) for number in range(executions)]
            for fault in faults:
                time.sleep(max(0.0, begun + fault.at_seconds - time.monotonic()))
                getattr(self, f"_{fault.name}")(fault.chance)
                self.report.faults[fault.name] += 1
            self._calm_down()
            for future in asked:
                future.result()
        self._judge()
        self.report.seconds = time.monotonic() - begun
        return self.report

    # Asking.

    def _ask(self, number: int, seed: int, begun: float) -> None:
        time.sleep(max(0.0, begun + number / PER_SECOND - time.monotonic()))
        random = Random(f"{seed} {number}")
        pauses = {step: random.uniform(0.005, 0.06) for step in STEPS}
        context = {"order": number, "effects": str(self._stamps), "pauses": pauses}
        query = "" if number % 3 == 0 else "?async_mode=true"
        give_up_at = time.monotonic() + CALM_SECONDS
        while time.monotonic() < give_up_at:
            status, body = self._post(random, number, context, query)
            self.report.answers[str(status or "none")] += 1
            if status in (200, 202):
                self._acknowledged[number] = int(body["id"])
                return
            time.sleep(0.2)

    def _post(self, random: Random, number: int, context: Any, query: str) -> tuple[int, Any]:
        web = random.choice(self._webs())
        with suppress(OSError, HTTPException):
            answer = web.execute(self._workflow_id, context, query=query, timeout=20, Idempotency_Key=f"order {number}")
            return answer.status, answer.body
        return 0, None

    @property
    def _stamps(self) -> Path:
        return self._members.folder / "stamps"

    def _webs(self) -> list[Web]:
        return [member for member in self._living.values() if isinstance(member, Web)]

    def _workers(self) -> list[Member]:
        return [member for member in self._living.values() if not isinstance(member, Web)]

    def _begin(self, name: str) -> None:
        start = self._members.web if name.startswith("web") else self._members.worker
        self._living[name] = start(name)

    # Faults.

    def _kill_child(self, chance: float) -> None:
        """One of the processes of a worker's pool."""
        worker = _one_of(self._workers(), chance)
        with suppress(ProcessLookupError):
            if children := list(_children(worker.process.pid)):
                os.kill(_one_of(children, chance), signal.SIGKILL)

    def _kill_worker(self, chance: float) -> None:
        self._kill(_one_of(self._workers(), chance))

    def _kill_web(self, chance: float) -> None:
        self._kill(_one_of(self._webs(), chance))

    def _kill(self, member: Member) -> None:
        member.kill()
        self._begin(member.name)

    def _freeze_worker(self, chance: float) -> None:
        self._freeze(_one_of(self._workers(), chance), chance)

    def _freeze(self, member: Member, chance: float) -> None:
        """For longer than its leases last."""
        member.freeze()
        self._later(LEASE_SECONDS + 1 + chance, member.go_on)

    def _restart_redis(self, chance: float) -> None:
        self._redis.stop()
        time.sleep(chance)
        self._redis = servers.start_redis(self._redis_port)

    def _freeze_redis(self, chance: float) -> None:
        group = self._redis.keeper.pid
        os.killpg(group, signal.SIGSTOP)
        time.sleep(1 + 3 * chance)
        os.killpg(group, signal.SIGCONT)

    def _flush(self, _: float) -> None:
        with suppress(RedisError), Redis(port=self._redis_port) as client:
            client.flushall()

    def _reset(self, _: float) -> None:
        self._proxy.cut()

    def _stop_postgres(self, chance: float) -> None:
        self._postgres.stop_at_once()
        time.sleep(2 * chance)
        self._postgres.start_again()

    def _later(self, seconds: float, what: Any) -> None:
        timer = threading.Timer(seconds, what)
        timer.start()
        self._frozen.append(timer)

    # The end.

    def _calm_down(self) -> None:
        for timer in self._frozen:
            timer.join()

    def _judge(self) -> None:
        ids, give_up_at = list(self._acknowledged.values()), time.monotonic() + CALM_SECONDS
        self._members.wait_until_ready()
        while self._unfinished() and time.monotonic() < give_up_at:
            time.sleep(0.1)
        known = self._members.installation.executions()
        report = self.report
        report.lost = report.executions - len({each for each in ids if each in known})
        report.stuck = self._unfinished()
        report.failed = sum(status == "failed" for status in known.values())
        _, told = self._members.installation.here("verify", "--all")
        report.wrong = int(told.rsplit(",", 1)[-1].split()[0])
        report.repeated, report.run_again = self._repeated()
        counts = self._members.query("SELECT kind, count(*) AS count FROM execution_events GROUP BY kind")
        kinds = {row["kind"]: row["count"] for row in counts}
        report.recovered, report.handed_off = kinds.get("recovered", 0), kinds.get("handed_off", 0)

    def _unfinished(self) -> int:
        [row] = self._members.query("SELECT count(*) AS count FROM executions WHERE completed_at IS NULL")
        return int(row["count"])

    def _repeated(self) -> tuple[int, int]:
        """Effects beyond the first of each node, and those that came when the checkpoint had been committed."""
        statement = f"SELECT execution_id, node_id, {self.committed_at} AS at FROM chain_of_work"
        kept = {(row["execution_id"], row["node_id"]): float(row["at"]) for row in self._members.query(statement)}
        lines = [line.split() for line in self._stamps.read_text().splitlines()]
        effects = [((int(execution_id), node_id), float(at)) for execution_id, node_id, at in lines]
        too_late = [node for node, at in effects if at > kept[node] + TICK_SECONDS]
        return len(effects) - len({node for node, _ in effects}), len(too_late)


class ChaosAlone(Chaos):
    """Of one web process on a SQLite file."""

    faults = FAULTS_ALONE
    names = ("web",)
    committed_at = "(julianday(timestamp) - 2440587.5) * 86400"
    """There is no moment of the commit. The end of the attempt is earlier, and nobody else starts nodes meanwhile."""

    def _open(self, folder: Path) -> tuple[str, str]:
        url = f"sqlite:///{folder}/nova.db"
        migrate(url)
        return url, ""

    def _kill_web(self, chance: float) -> None:
        self._members.wait_until_ready()  # killed while it starts, it would never do anything
        time.sleep(chance)
        super()._kill_web(chance)

    def _freeze_web(self, chance: float) -> None:
        self._members.wait_until_ready()
        self._freeze(_one_of(self._webs(), chance), chance)
        self._calm_down()


DATABASES: dict[str, type[Chaos]] = {"postgresql": Chaos, "sqlite": ChaosAlone}


def _one_of(things: Sequence[Any], chance: float) -> Any:
    return things[int(chance * len(things))]


def _children(leader: int) -> Iterator[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(leader)], capture_output=True, text=True, check=False
    )
    for line in listed.stdout.splitlines():
        if "celery" in line:
            yield int(line.split()[0])


def play(seed: int, executions: int, kind: type[Chaos] = Chaos, names: Collection[str] = ()) -> Report:
    """`names`: of the faults that there may be; where it is empty, all."""
    weights = {name: weight for name, weight in kind.faults.items() if not names or name in names}
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        chaos = kind(folder, resources)
        chaos.start()
        return chaos.run(executions, schedule(seed, executions / PER_SECOND, weights), seed)


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--executions", type=int, default=1000)
    options.add_argument("--faults", nargs="+", choices=FAULTS | FAULTS_ALONE, default=[])
    options.add_argument("--database", choices=DATABASES, default="postgresql")
    given = options.parse_args(arguments)
    kind = DATABASES[given.database]
    if strange := set(given.faults) - kind.faults.keys():
        options.error(f"there is no {', '.join(sorted(strange))} on {given.database}: take {', '.join(kind.faults)}")
    report = play(given.seed, given.executions, kind, given.faults)
    print(f"seed {given.seed}: {report}")
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
