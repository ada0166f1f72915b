"""Web and worker processes on one database and one broker, as in a deployment: started, told to end, frozen, killed."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from tests.end_to_end.processes import ROOT, Installation, Rows
from tests.runtime.building import eventually
from tests.servers import free_port

START_SECONDS = 90.0
END_SECONDS = 60.0
PATIENCE_SECONDS = 60.0
"""For what takes well under a second on a machine that is not busy."""
LEASE_SECONDS = 3.0
SWEEP_SECONDS = 0.5
GRACE_SECONDS = 1.0
LIVES = count(1)
"""For the names of logs: each life of a member has its own."""
WORKER = (
    "-m", "celery", "-A", "src.workers.celery_app", "worker", "--pool", "prefork", "--without-gossip",
    "--without-mingle", "--without-heartbeat", "-l", "INFO",
)  # fmt: skip

BEAT = ("-m", "celery", "-A", "src.workers.celery_app", "beat", "-l", "INFO")


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Message


def call(url: str, body: object = None, *, timeout: float = 100, **headers: str) -> Answer:
    """A POST where there is a body, otherwise a GET."""
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **named})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Answer(answer.status, json.load(answer), answer.headers)
    except urllib.error.HTTPError as refused:
        told = refused.read()
        return Answer(refused.code, json.loads(told) if told.startswith(b"{") else told, refused.headers)


class Member:
    """A process with all that it has started: they are told, frozen and killed together, or only their leader."""

    def __init__(self, name: str, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name} {next(LIVES)}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def lives(self) -> bool:
        return self.process.poll() is None

    def is_ready(self) -> bool:
        assert self.lives(), self.printed
        return f"{self.name}@" in self.printed and " ready." in self.printed

    def tell_all(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def freeze(self) -> None:
        self.tell_all(signal.SIGSTOP)

    def go_on(self) -> None:
        self.tell_all(signal.SIGCONT)

    def end(self, *, all_of_it: bool = True) -> int:
        """SIGTERM, to all of it, as Heroku does, or to its leader, as others do. Answers the exit code."""
        self.tell_all(signal.SIGTERM) if all_of_it else self.process.terminate()
        return self.process.wait(END_SECONDS)

    def kill(self) -> None:
        self.tell_all(signal.SIGKILL)
        self.process.wait(END_SECONDS)


class Web(Member):
    def __init__(self, name: str, folder: Path, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(name, ("-m", "uvicorn", "src.api.main:app", "--port", str(self.port)), folder, environment)

    def is_ready(self) -> bool:
        assert self.lives(), self.printed
        with suppress(OSError):
            return self.call("/health/ready").status == 200
        return False

    def call(self, path: str, body: object = None, **options: Any) -> Answer:
        return call(self.url + path, body, **options)

    def save(self, name: str, definition: object) -> int:
        answer = self.call("/workflows", {"name": name, "graph_definition": definition})
        assert answer.status == 201, answer.body
        return int(answer.body["id"])

    def execute(self, workflow_id: int, context: object = None, *, query: str = "", **options: Any) -> Answer:
        return self.call(f"/workflows/{workflow_id}/execute{query}", {"initial_context": context or {}}, **options)

    def enqueue(self, workflow_id: int, context: object = None, **options: Any) -> int:
        """The id of an execution that goes straight into the queue."""
        answer = self.execute(workflow_id, context, query="?async_mode=true", **options)
        assert answer.status == 202, answer.body
        return int(answer.body["id"])

    def end_of(self, execution_id: int, *, seconds: float = PATIENCE_SECONDS) -> Any:
        """The execution when it is final."""
        found: list[Any] = []

        def is_final() -> bool:
            found[:] = [self.call(f"/executions/{execution_id}?wait=5").body]
            return found[0]["completed_at"] is not None

        eventually(is_final, seconds=seconds, what=f"the end of execution {execution_id}")
        return found[0]


@dataclass
class Fleet:
    """Members come and go; what they share stays."""

    url: str
    redis_url: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)

    @property
    def installation(self) -> Installation:
        return Installation(self.url, self.folder)

    def web(self, name: str = "web", **settings: str) -> Web:
        web = Web(name, self.folder, self._environment(settings))
        self.members.append(web)
        return web

    def worker(self, name: str = "worker", *options: str, concurrency: int = 2, **settings: str) -> Member:
        arguments = (*WORKER, "-c", str(concurrency), "-n", f"{name}@%h", *options)
        worker = Member(name, arguments, self.folder, self._environment(settings))
        self.members.append(worker)
        return worker

    def beat(self, **settings: str) -> Member:
        beat = Member("beat", BEAT, self.folder, self._environment(settings))
        self.members.append(beat)
        return beat

    def wait_until_ready(self) -> None:
        for member in [member for member in self.members if member.lives()]:
            eventually(member.is_ready, seconds=START_SECONDS, what=f"the start of {member.name}")

    def query(self, statement: str, **values: object) -> Rows:
        return self.installation.query(statement, **values)

    def events(self, execution_id: int, kind: str) -> list[Any]:
        """What the events of a kind tell, in their order."""
        statement = "SELECT data FROM execution_events WHERE execution_id = :id AND kind = :kind ORDER BY id"
        return [row["data"] for row in self.query(statement, id=execution_id, kind=kind)]

    def close(self) -> None:
        for member in self.members:
            member.go_on()
            member.kill()

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        return {
            "DATABASE_URL": self.url,
            "REDIS_URL": self.redis_url,
            "NOVA_FUNCTIONS": "tests.end_to_end.functions",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SWEEP_SECONDS": str(SWEEP_SECONDS),
            "SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
            "DATABASE_POOL_SIZE": "5",
            "REMAP_SIGTERM": "SIGQUIT",
            "API_KEYS": "off",
            "TMPDIR": str(self.folder),
            **self.settings,
            **settings,
        }


@contextmanager
def fleet(url: str, redis_url: str, folder: Path, **settings: str) -> Iterator[Fleet]:
    made = Fleet(url, redis_url, folder, settings)
    try:
        yield made
    finally:
        made.close()
