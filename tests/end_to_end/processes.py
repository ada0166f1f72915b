"""Nova's own commands as real processes, a workflow to kill them in, and what must be true afterwards."""

import itertools
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import NullPool, create_engine, text

from src.__main__ import cli
from tests.runtime.building import call, eventually, graph

ROOT = Path(__file__).resolve().parent.parent.parent
LIVES = itertools.count(1)
"""For the names of logs."""
KILLED = 137
"""What a shell calls the exit of a process that `kill -9` ended; a failpoint leaves with it."""
PATIENCE_SECONDS = 100.0
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload([__name__])
"""Commands are forked from a process that has imported Nova and done nothing else: its imports are most of a start."""

WORKFLOW = graph(
    "start -> receive, receive -> score, score -> sum, sum -> choose, "
    "choose -high-> reserve, choose -high-> charge, choose -high-> label, choose -low-> refuse, "
    "reserve -> pack, charge -> pack, label -> pack, pack -> ship, ship -> tell, refuse -> tell, "
    "tell -> large, large -true-> archive, large -false-> shred, archive -> audit, shred -> audit, "
    "audit -> thank, thank -> file, file -> close, close -> end",
    receive=call("work"),
    score={"type": "action", "code": "context['score'] = context['order'] * 2"},
    sum={"type": "transform", "set": {"total": "{{ context.score + context.order }}"}},
    choose={"type": "decision", "code": "'high' if context['total'] > 10 else 'low'"},
    reserve=call("work_slowly"),
    charge=call("work_slowly"),
    label=call("work_slowly"),
    refuse=call("work"),
    pack={"type": "transform", "set": {"parcel": "{{ context.label }} and {{ context.charge }}"}},
    ship=call("work"),
    tell=call("work"),
    large={"type": "decision", "expression": "context.total > 20"},
    archive=call("work"),
    shred=call("work"),
    audit={"type": "action", "code": "context['audited'] = sorted(context)"},
    thank=call("work"),
    file=call("work"),
    close=call("work"),
)
"""Branches of both kinds, a join, siblings, and nodes that need no commit of their own between those that do."""

ORDER = 7
"""Takes the branches `high` and `true`."""
EFFECTS = ["receive", "reserve", "charge", "label", "ship", "tell", "archive", "thank", "file", "close"]
"""The nodes that leave a line, on those branches."""
PAUSES = {"charge": 0.05, "label": 0.1}
CHECKPOINTS = 11
"""receive, score, choose, each of the three siblings, ship, tell, archive, audit, thank, file: all but the last node
that has effects, whose row is written with the end; one less where two siblings end together.
"""

COMPARED = (
    "node_id, node_type, attempt, status, output_result, decision_result, path_taken, "
    "error_type, error_class, error_message, logs"
)
Rows = list[dict[str, Any]]


class Command:
    """One of Nova's commands as a process of its own: it can be killed at any moment."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._process = FORKING.Process(target=_become, args=(arguments, environment, log), daemon=True)
        self._process.start()

    def lives(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def ended(self) -> tuple[int, str]:
        """Its exit code, and what it printed, when it has come to its end."""
        self._process.join(PATIENCE_SECONDS)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode, self._log.read_text(errors="replace")


def _become(arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with log.open("wb") as output:
        for descriptor in (1, 2):
            os.dup2(output.fileno(), descriptor)
    cli.main(arguments, prog_name="nova")


@dataclass(frozen=True)
class Installation:
    """A database, a folder, and the command line that works on them."""

    url: str
    folder: Path

    @property
    def effects_file(self) -> Path:
        return self.folder / "effects"

    @property
    def definition_file(self) -> Path:
        path = self.folder / "workflow.json"
        if not path.exists():
            path.write_text(json.dumps({"name": "to be killed", "graph_definition": WORKFLOW}))
        return path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.url,
            "NOVA_FUNCTIONS": "tests.end_to_end.functions",
            "TMPDIR": str(self.folder),  # a process that is killed cannot clear away
        }

    def here(self, *arguments: str) -> tuple[int, str]:
        """The same command in this process, where nobody is to be killed: a start costs more than all its work."""
        ended = CliRunner().invoke(cli, arguments, env=self.environment)
        return ended.exit_code, ended.output

    def start(self, *arguments: str, failpoint: str = "") -> Command:
        environment = os.environ | self.environment | {"FAILPOINT": failpoint}
        return Command(arguments, environment, self.folder / f"{next(LIVES)}.log")

    def command(self, *arguments: str, failpoint: str = "") -> tuple[int, str]:
        """Run a command to its end; its exit code, and what it printed."""
        return self.start(*arguments, failpoint=failpoint).ended()

    def run_arguments(self) -> list[str]:
        values = {"order": ORDER, "effects": str(self.effects_file), "pauses": PAUSES}
        return [
            "run",
            str(self.definition_file),
            *(f"--set={key}={json.dumps(value)}" for key, value in values.items()),
        ]

    def run(self, *, failpoint: str = "") -> tuple[int, str]:
        return self.command(*self.run_arguments(), failpoint=failpoint)

    def resume(self, *, failpoint: str = "") -> tuple[int, str]:
        """Continue whatever no process drives any more."""
        self.end_leases_of_the_dead()
        return self.command("resume", failpoint=failpoint)

    def end_leases_of_the_dead(self) -> None:
        """As if their time were over: that it passes by itself is for the tests of leases.

        On SQLite who starts alone need not wait: whatever is held is a dead process'.
        """
        if self.url.startswith("sqlite"):
            return
        others = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        eventually(lambda: not self.query(others), seconds=PATIENCE_SECONDS, what="the end of dead processes' sessions")
        self.query("UPDATE executions SET lease_until = clock_timestamp() WHERE status = 'running' RETURNING id")

    def query(self, statement: str, **values: object) -> Rows:
        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            found = [dict(row) for row in connection.execute(text(statement), values).mappings()]
        engine.dispose()
        return found

    def executions(self) -> dict[int, str]:
        return {row["id"]: row["status"] for row in self.query("SELECT id, status FROM executions ORDER BY id")}

    def kept(self, execution_id: int) -> set[str]:
        """The nodes whose checkpoints are committed."""
        query = "SELECT node_id FROM chain_of_work WHERE execution_id = :id AND status = 'success'"
        return {row["node_id"] for row in self.query(query, id=execution_id)}

    def effects(self, execution_id: int) -> Counter[str]:
        """How often each node has left its line."""
        if not self.effects_file.exists():
            return Counter()
        lines = [line.split() for line in self.effects_file.read_text().splitlines()]
        assert len({(each, node, key) for each, node, key in lines}) == len({(each, node) for each, node, _ in lines})
        return Counter(node for each, node, _ in lines if each == str(execution_id))

    def history(self, execution_id: int) -> tuple[Rows, Rows]:
        """The rows of an execution, without what differs from one run to the next: times, tokens, ids, and the order
        of siblings.
        """
        chain = f"SELECT {COMPARED} FROM chain_of_work WHERE execution_id = :id"
        execution = "SELECT status, mode, workflow_version, initial_context, result, error, lease_owner FROM executions"
        attempts = [parsed(row) for row in self.query(chain, id=execution_id)]
        return (
            sorted(attempts, key=lambda row: (row["node_id"], row["attempt"])),
            [parsed(row) for row in self.query(f"{execution} WHERE id = :id", id=execution_id)],
        )


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """SQLite gives JSON as text, PostgreSQL as values."""
    documents = ("output_result", "initial_context", "result", "error")
    return {
        name: json.loads(value) if name in documents and isinstance(value, str) else value
        for name, value in row.items()
    }


def check(installation: Installation, undisturbed: int, before: dict[int, list[set[str]]]) -> None:
    """All executions are completed, with the rows of the undisturbed one, and no node ran that was committed before.

    Args:
        before: for each execution that was killed, the nodes that were committed at each of its deaths.
    """
    assert set(installation.executions().values()) == {"completed"}
    code, printed = installation.here("verify", "--all")
    assert (code, printed.rsplit(",", 1)[-1].strip()) == (0, "0 with something wrong")
    expected = installation.history(undisturbed)
    for execution_id, deaths in before.items():
        assert installation.history(execution_id) == expected
        check_effects(installation.effects(execution_id), deaths)


def check_effects(effects: Counter[str], deaths: list[set[str]]) -> None:
    assert set(effects) == set(EFFECTS)
    for node_id, count in effects.items():
        uncommitted = sum(node_id not in kept for kept in deaths)
        assert count <= 1 + uncommitted, f"{node_id} ran {count} times, and was not committed at {uncommitted} deaths"
