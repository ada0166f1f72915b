"""The Procfile, run for real: honcho starts its processes as a platform does, and tells all of each of their end."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, inspect, text

from src.database import normalise
from tests import servers
from tests.deploy.files import ROOT
from tests.runtime.building import call, eventually, graph

START_SECONDS = 90.0
GRACE_SECONDS = 1
KILL_SECONDS = 25
"""honcho itself kills after 5 s, which is less than what platforms grant, and little on a busy machine."""
HONCHO = f"import honcho.command, honcho.manager; honcho.manager.KILL_WAIT = {KILL_SECONDS}; honcho.command.main()"

QUICK = graph(
    "start -> greet, greet -> count, count -> end", greet=call("greet"), count={"type": "action", "code": "1"}
)
SLOW = graph("start -> sleep, sleep -> end", sleep={"type": "action", "code": "import time; time.sleep(60)"})


class Honcho:
    def __init__(self, folder: Path, *names: str, **environment: str) -> None:
        self.port = servers.free_port()
        self._log = folder / "honcho.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HONCHO, "start", "--no-prefix", *names],
                cwd=ROOT,
                env=os.environ | self._environment(folder) | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, folder: Path) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(self.port),
            "NOVA_FUNCTIONS": "tests.deploy.functions",
            "SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
            "SWEEP_SECONDS": "1",
            "WORKER_CONCURRENCY": "1",
            "TMPDIR": str(folder),
        }

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def call(self, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            refused.add_note(refused.read().decode())
            raise

    def is_there(self, path: str) -> bool:
        assert self.process.poll() is None, self.printed
        try:
            self.call(path)
        except OSError:
            return False
        return True

    def execute(self, name: str, definition: object) -> Any:
        workflow = self.call("/workflows", {"name": name, "graph_definition": definition})
        return self.call(f"/workflows/{workflow['id']}/execute?async_mode=true", {})

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(KILL_SECONDS + 10)


@contextmanager
def running(folder: Path, *names: str, **environment: str) -> Iterator[Honcho]:
    honcho = Honcho(folder, *names, **environment)
    try:
        yield honcho
    finally:
        if honcho.process.poll() is None:
            honcho.end()


def query(url: str, statement: str, **values: object) -> list[Any]:
    engine = create_engine(normalise(url), poolclass=NullPool)
    with engine.connect() as connection:
        found = list(connection.execute(text(statement), values))
    engine.dispose()
    return found


def test_the_release_brings_an_empty_database_to_the_newest_schema(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'nova.db'}"
    with running(tmp_path, "release", DATABASE_URL=url) as honcho:
        ended = honcho.process.wait(START_SECONDS)

    assert ended == 0, honcho.printed
    engine = create_engine(normalise(url), poolclass=NullPool)
    assert "executions" in inspect(engine).get_table_names()
    engine.dispose()


def test_a_worker_that_can_run_nothing_ends_with_a_sentence_and_takes_no_bell(tmp_path: Path, redis_url: str) -> None:
    """Its platform starts it again: this happens to one that is faster than the migrations."""
    url = f"sqlite:///{tmp_path / 'nova.db'}"
    with running(tmp_path, "worker", DATABASE_URL=url, REDIS_URL=redis_url, NOVA_FUNCTIONS="no.such.module") as honcho:
        ended = honcho.process.wait(START_SECONDS)

    assert ended == 1, honcho.printed
    assert "This worker ends: NOVA_FUNCTIONS names 'no.such.module'" in honcho.printed


@pytest.mark.timeout(300)
def test_web_worker_and_beat_run_what_is_asked_for_and_end_in_time(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with running(tmp_path, "web", "worker", "beat", DATABASE_URL=postgres_url, REDIS_URL=redis_url) as honcho:
        eventually(lambda: honcho.is_there("/health/celery"), seconds=START_SECONDS, what="an answer of the worker")

        quick = honcho.execute("quick", QUICK)
        ended = honcho.call(f"/executions/{quick['id']}?wait=20")
        eventually(lambda: "Task sweep_task[" in honcho.printed, what="a sweep that Beat asked for")
        slow = honcho.execute("slow", SLOW)
        eventually(lambda: status_of(honcho, slow) == "running", what="the start of the slow one")
        code = honcho.end()

    printed = honcho.printed
    assert (ended["status"], ended["mode"]) == ("completed", "celery"), printed
    assert ended["result"]["greeting"] == "hello"
    assert f"Task execute_workflow_task[{quick['task_id']}] succeeded" in printed
    assert {line["service"] for line in lines_of(printed)} == {"web", "worker", "beat"}
    [told] = [
        line for line in lines_of(printed) if line["event"] == "run ended" and line["task_id"] == quick["task_id"]
    ]
    assert (told["service"], told["task_name"]) == ("worker", "execute_workflow_task")
    assert code == 128 + signal.SIGTERM
    assert "SIGKILL" not in printed
    assert left_behind(honcho) == []
    # What was in flight is nobody's at once: who comes next takes it, and no lease has to run out.
    assert query(postgres_url, "SELECT status, lease_owner FROM executions WHERE id = :id", id=slow["id"]) == [
        ("queued", None)
    ]


def lines_of(printed: str) -> list[Any]:
    """What was logged; Celery greets in pictures, and honcho speaks too."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def status_of(honcho: Honcho, execution: Any) -> str:
    return str(honcho.call(f"/executions/{execution['id']}")["status"])


def left_behind(honcho: Honcho) -> list[str]:
    """Processes that still have this honcho's port in their environment."""
    mark = f"PORT={honcho.port}".encode()
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if mark in _environment_of(path)]


def _environment_of(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return []
