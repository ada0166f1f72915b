"""Many runs at once on one real web process: none fails, none is lost, and SQLite never says that it is locked."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.processes import ROOT
from tests.runtime.building import call, eventually, graph
from tests.servers import free_port

STEPS = [f"step{number}" for number in range(10)]
LINE = graph(
    ", ".join(f"{source} -> {target}" for source, target in zip(["start", *STEPS], [*STEPS, "end"], strict=True)),
    **{step: call("work") for step in STEPS},
)


@dataclass(frozen=True)
class Server:
    url: str
    log: Path

    def ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=100) as answer:
            return json.load(answer)

    def is_ready(self) -> bool:
        with suppress(OSError):
            return bool(self.ask("/health/ready")["status"] == "ready")
        return False


@contextmanager
def serving(database_url: str, folder: Path) -> Iterator[Server]:
    port, log = free_port(), folder / "log"
    environment = {"DATABASE_URL": database_url, "NOVA_FUNCTIONS": "tests.end_to_end.functions"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "src.api.main:app", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://127.0.0.1:{port}", log)
    try:
        eventually(lambda: process.poll() is not None or server.is_ready(), seconds=60, what="the server")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def run_at_once(server: Server, count: int, effects: Path) -> list[dict[str, Any]]:
    """So many runs of ten nodes, whose requests arrive at the same moment."""
    workflow = server.ask("/workflows", {"name": "line", "graph_definition": LINE})
    start = threading.Barrier(count)

    def run(order: int) -> dict[str, Any]:
        start.wait()
        context = {"initial_context": {"order": order, "effects": str(effects)}}
        answer: dict[str, Any] = server.ask(f"/workflows/{workflow['id']}/execute", context)
        return answer

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def check(server: Server, runs: list[dict[str, Any]], effects: Path) -> None:
    assert Counter(run["status"] for run in runs) == {"completed": len(runs)}
    assert len({run["id"] for run in runs}) == len(runs)
    for order, run in enumerate(runs):
        assert {step: run["result"][step] for step in STEPS} == {step: f"{step} of {order}" for step in STEPS}
    assert server.ask("/executions?status=completed")["total"] == len(runs)
    lines = effects.read_text().splitlines()
    assert len(lines) == len(set(lines)) == len(runs) * len(STEPS)


def test_fifty_runs_at_once_on_sqlite_are_all_completed(sqlite_url: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"

    with serving(sqlite_url, tmp_path) as server:
        runs = run_at_once(server, 50, effects)

        check(server, runs, effects)

    log = server.log.read_text()
    assert "database is locked" not in log
    assert "Traceback" not in log


def test_a_hundred_runs_at_once_on_postgresql_are_all_completed(postgres_url: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"

    with serving(postgres_url, tmp_path) as server:
        runs = run_at_once(server, 100, effects)

        check(server, runs, effects)

    assert "Traceback" not in server.log.read_text()
