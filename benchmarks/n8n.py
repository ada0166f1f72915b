"""Ten nodes of an author's code on n8n and on Nova: over HTTP, in turns, each on a PostgreSQL database of its own.

python -m benchmarks.n8n PROGRAM ...    PROGRAM: the `n8n` of an installation, as `npm install n8n` leaves it in
                                        node_modules/.bin; its `node` has to stand beside it or be in PATH. Several
                                        installations are measured in turns, too.

n8n runs as it comes: JavaScript in its Code nodes, successful executions kept, no checkpoint between nodes.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks import nova, report
from benchmarks.cases import HTTP, NODES, requests
from benchmarks.measure import CONTEXT, Figures, alternate, figures
from benchmarks.servers import postgresql, serving
from src.database import migrate
from tests import servers

OURS = "nova"
ROUNDS, SECONDS = 5, 4.0
WORKFLOW_ID, PATH = "benchmark0000001", "benchmark"
CODE = "const item = $input.first().json; return [{json: {status: 'completed', total: (item.total || 118.5) + 1}}];"
KEY = "of no secret, since nothing is encrypted"
QUIET = ("DIAGNOSTICS_ENABLED", "VERSION_NOTIFICATIONS_ENABLED", "TEMPLATES_ENABLED", "PERSONALIZATION_ENABLED")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.n8n", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("programs", type=Path, nargs="+", metavar="PROGRAM")
    programs = {_version(program): program for program in parser.parse_args(arguments).programs}
    failures: list[str] = []
    with ExitStack() as stack:
        databases = stack.enter_context(postgresql())
        urls = {OURS: stack.enter_context(our_url(stack.enter_context(databases.fresh())))}
        for name, program in programs.items():
            urls[name] = stack.enter_context(their_url(program, stack.enter_context(databases.fresh())))
        print("\n".join(f"{name:<10} {value}" for name, value in report.machine([databases.version]).items()))
        print(f"\n{'':<28}{'runs/s':>8}{'p50 ms':>10}{'p99 ms':>10}{'nova is':>12}")
        for place, concurrency in HTTP.items():
            subjects = {name: requests(url, concurrency) for name, url in urls.items()}
            rounds = alternate(subjects, rounds=ROUNDS, seconds=SECONDS, warm_up=True)
            failures += [told for found in rounds.values() for each in found for told in each.failures]
            for name, found in rounds.items():
                _say(f"{place} {name}", figures(rounds[OURS], found, nodes=NODES), figures(found, None, nodes=NODES))
    report.say_failures(failures)
    return 1 if failures else 0


def _say(name: str, against: Figures, found: Figures) -> None:
    times = f"{against.ratio:>9.1f} x" if not name.endswith(OURS) else ""
    print(f"{name:<28}{found.per_second:>8.1f}{found.p50_ms:>10.1f}{found.p99_ms:>10.1f}{times:>12}", flush=True)


@contextmanager
def our_url(database_url: str) -> Iterator[str]:
    migrate(database_url)
    with nova.built(database_url) as built:
        workflow_id = nova.save(built, nova.line("action", NODES))
    with serving(["src.api.main:app"], {"DATABASE_URL": database_url}) as url:
        yield f"{url}/workflows/{workflow_id}/execute"


@contextmanager
def their_url(program: Path, database_url: str) -> Iterator[str]:
    port, folder = servers.free_port(), servers.new_folder("n8n")
    environment = _environment(program, database_url, port, folder)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([_workflow()], file)
        file.flush()
        saved = ("import:workflow", f"--input={file.name}")
        active = ("update:workflow", f"--id={WORKFLOW_ID}", "--active=true")
        for command in (saved, active):
            subprocess.run([program, *command], env=environment, check=True, stdout=subprocess.DEVNULL)
    given = [f"{name}={value}" for name, value in environment.items()]
    process = servers.start(shlex.join(["exec", "env", "-i", *given, str(program), "start"]), folder)
    url = f"http://127.0.0.1:{port}/webhook/{PATH}"
    try:
        servers.wait_until(lambda: _answers(url), folder)
        yield url
    finally:
        process.stop()


def _environment(program: Path, database_url: str, port: int, folder: Path) -> Mapping[str, str]:
    found = urlsplit(database_url)
    database = {
        "HOST": found.hostname or "",
        "PORT": str(found.port),
        "DATABASE": found.path.lstrip("/"),
        "USER": found.username or "",
        "PASSWORD": unquote(found.password or ""),
    }
    return {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "DB_TYPE": "postgresdb",
        **{f"DB_POSTGRESDB_{name}": value for name, value in database.items()},
        "N8N_USER_FOLDER": str(folder),
        "N8N_ENCRYPTION_KEY": KEY,
        "N8N_LISTEN_ADDRESS": "127.0.0.1",
        "N8N_PORT": str(port),
        **{f"N8N_{name}": "false" for name in QUIET},
    }


def _workflow() -> dict[str, Any]:
    webhook = {"httpMethod": "POST", "path": PATH, "responseMode": "lastNode", "options": {}}
    nodes = [_node("webhook", webhook, 0) | {"webhookId": PATH}]
    nodes += [_node("code", {"jsCode": CODE}, place) for place in range(1, NODES + 1)]
    edges = pairwise(node["name"] for node in nodes)
    return {
        "id": WORKFLOW_ID,
        "name": "benchmark",
        "nodes": nodes,
        "connections": {one: {"main": [[{"node": other, "type": "main", "index": 0}]]} for one, other in edges},
        "settings": {"executionOrder": "v1"},
    }


def _node(kind: str, parameters: dict[str, Any], place: int) -> dict[str, Any]:
    known = {"id": f"{kind}-{place}", "name": f"{kind} {place}", "type": f"n8n-nodes-base.{kind}", "typeVersion": 2}
    return known | {"parameters": parameters, "position": [200 * place, 0]}


def _version(program: Path) -> str:
    told = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return f"n8n {told.split()[-1]}"


def _answers(url: str) -> bool:
    """While it starts it answers that it starts, with status 200, and then that it knows no such workflow."""
    try:
        asked = urllib.request.Request(url, json.dumps({"initial_context": CONTEXT}).encode(), method="POST")
        with urllib.request.urlopen(asked, timeout=30.0) as answer:
            return b'"status":"completed"' in answer.read()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
