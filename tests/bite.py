"""`python -m tests.bite`: do the tests bite? Breaks a copy of Nova in one place at a time: some test must fail.

Prints a table: what was broken, and the first test that noticed. Exits with 1 if a mutation survives or does not fit.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("src", "tests", "examples", "pyproject.toml", "alembic.ini")
OUTCOME = re.compile(r"^(?:FAILED|ERROR) (\S+?::.+?)(?: - .*)?$", re.MULTILINE)
ALL_PASSED, SOME_FAILED = 0, 1
"""What pytest exits with."""

CONTRACT = "tests/runtime/test_store_contract.py"
LEDGER = "tests/runtime/test_ledger.py"
LEASES = "tests/runtime/test_leases.py"
EXECUTIONS = "tests/runtime/test_executions.py"
GROUPS = "tests/runtime/test_group_commit.py"
MIGRATIONS = "tests/models/test_migrations.py"


@dataclass(frozen=True)
class Edit:
    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    what: str
    tests: str
    edits: Sequence[Edit]


def mutation(what: str, tests: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(what, tests, [Edit(file, old, new)])


STATEMENTS, SESSION, STORE, RENEWAL = (f"src/runtime/{name}.py" for name in ("statements", "ledger", "store", "leases"))
MODEL, FIRST_TABLES = "src/models/executions.py", "src/models/migrations/versions/0001_first_tables.py"
ENGINE = "src/core/engine.py"
WITHOUT_TOKEN = "executions.status = 'running'"
UNIQUE = (
    '        sa.UniqueConstraint("execution_id", "node_id", "attempt", '
    'name="uq_chain_of_work_execution_id_node_id_attempt"),\n'
)

MUTATIONS = [
    mutation(
        "a checkpoint does not look at the token",
        CONTRACT,
        STATEMENTS,
        'executions.id = r.execution_id AND {RUNNING} "',
        f'executions.id = r.execution_id AND {WITHOUT_TOKEN} "',
    ),
    mutation(
        "an end does not look at the token",
        CONTRACT,
        STATEMENTS,
        "WHERE executions.id = r.id AND {RUNNING} {sql",
        f"WHERE executions.id = r.id AND {WITHOUT_TOKEN} {{sql",
    ),
    mutation(
        "neither looks whether the execution is running",
        CONTRACT,
        STATEMENTS,
        "executions.status = '{Status.RUNNING}' AND ",
        "",
    ),
    mutation("a checkpoint does not lock its execution", LEDGER, STATEMENTS, "FOR SHARE OF executions", ""),
    mutation(
        "a claim does not raise the token",
        CONTRACT,
        STORE,
        '"lease_token": Execution.lease_token + 1,',
        '"lease_token": Execution.lease_token,',
    ),
    mutation(
        "a claim takes what another holds",
        CONTRACT,
        STORE,
        "update(Execution).where(Execution.id == execution_id, Execution.status.in_(may_become(Status.RUNNING)))",
        "update(Execution).where(Execution.id == execution_id)",
    ),
    mutation(
        "nobody counts the rows that were written",
        CONTRACT,
        SESSION,
        "if len(requested) != len(entry.attempts) or (entry.settlement and key not in settled):",
        "if entry.settlement and key not in settled:",
    ),
    mutation(
        "a write that was refused is answered as if it had been done",
        CONTRACT,
        SESSION,
        "        return LeaseLost(entry.execution_id)",
        "        return entry.execution_id",
    ),
    mutation(
        "a run goes on after its lease is lost",
        LEASES,
        ENGINE,
        "        if unsaved and self._store.checkpoint(run.claim, unsaved):\n            run.pause()\n",
        "        try:\n            if unsaved and self._store.checkpoint(run.claim, unsaved):\n"
        "                run.pause()\n        except LeaseLost:\n            pass\n",
    ),
    mutation(
        "a node that was cancelled with its lease fails its run",
        LEASES,
        ENGINE,
        "if run.claim.lost.is_set() and isinstance(attempt.outcome, Failed):",
        "if False:",
    ),
    mutation(
        "a transaction that broke is left open",
        LEDGER,
        SESSION,
        '            with suppress(self.errors):\n                cursor.execute("ROLLBACK")\n',
        "",
    ),
    Mutation(
        "the same attempt can stand twice",
        f"{MIGRATIONS} {CONTRACT}",
        [
            Edit(MODEL, '        UniqueConstraint("execution_id", "node_id", "attempt"),\n', ""),
            Edit(FIRST_TABLES, UNIQUE, ""),
        ],
    ),
    Mutation(
        "an execution is run before it is committed",
        EXECUTIONS,
        [
            Edit(SESSION, "if len(texts) == 1:", 'if len(texts) == 1 and "create" not in texts:'),
            Edit(
                SESSION,
                '        cursor.execute("COMMIT")\n',
                '        if "create" not in texts:\n            cursor.execute("COMMIT")\n',
            ),
        ],
    ),
    mutation(
        "nodes without effects leave no row",
        EXECUTIONS,
        "src/core/run.py",
        "        self._unsaved.append(attempt)\n",
        "        if not self.plan.graph.nodes[attempt.node_id].effect_free:\n"
        "            self._unsaved.append(attempt)\n",
    ),
    mutation(
        "a commit whose answer was lost is done again",
        LEDGER,
        SESSION,
        "return None if execution_id is None else Written(execution_id)",
        "return None",
    ),
    mutation(
        "a row that is refused fails its whole group",
        LEDGER,
        SESSION,
        "            if len(entries) == 1:\n                return [error]\n",
        "            if entries:\n                return [error] * len(entries)\n",
    ),
    mutation(
        "lost prepared statements are an error",
        LEDGER,
        SESSION,
        'LOST_STATEMENT = ("26000", "42P05")',
        'LOST_STATEMENT = ("never",)',
    ),
    mutation(
        "every write has a commit of its own",
        GROUPS,
        "src/runtime/group_commit.py",
        "MAX_GROUP = 64",
        "MAX_GROUP = 1",
    ),
    mutation(
        "recovery takes leases that have not run out",
        LEASES,
        RENEWAL,
        "gone = Execution.lease_until < moment(0.0)",
        "gone = Execution.lease_until < moment(3600.0)",
    ),
    mutation(
        "a claim that was forgotten is renewed for ever",
        LEASES,
        RENEWAL,
        "                del self._held[claim.execution_id]\n",
        "                pass\n",
    ),
    mutation(
        "who starts takes a living process for dead",
        LEASES,
        "src/runtime/presence.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
    ),
    mutation(
        "a value that looks like a mark is kept as it is",
        CONTRACT,
        "src/runtime/blobs.py",
        "if len(text) < BIG_BYTES and not _is_mark(value):",
        "if len(text) < BIG_BYTES:",
    ),
]


def main(wanted: Sequence[str]) -> int:
    chosen = [each for each in MUTATIONS if not wanted or any(word in each.what for word in wanted)]
    misfits = [misfit for each in chosen for misfit in misfits_of(each)]
    if misfits:
        print("The code has moved; these mutations have to be written anew:\n  " + "\n  ".join(misfits))
        return 1
    with servers.postgres_cluster() as postgres:
        postgres.wait_until_ready()
        os.environ["TEST_DATABASE_URL"] = postgres.url
        broken = failures_without_mutation(sorted({file for each in chosen for file in each.tests.split()}))
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            noticed = list(threads.map(lambda each: first_to_notice(each, broken), chosen))
    return report(chosen, noticed, broken)


def misfits_of(mutation: Mutation) -> Iterator[str]:
    for edit in mutation.edits:
        count = (ROOT / edit.file).read_text().count(edit.old)
        if count != 1:
            yield f"{mutation.what}: {edit.file} has its text {count} times, expected once: {edit.old.strip()!r}"


def failures_without_mutation(tests: Sequence[str]) -> list[str]:
    """Tests that fail anyway show nothing; they are left out, and reported."""
    with copy() as folder:
        code, printed = run_tests(folder, tests)
    if code not in (ALL_PASSED, SOME_FAILED):
        sys.exit(f"The tests do not run in a copy:\n{printed}")
    return OUTCOME.findall(printed)


def first_to_notice(mutation: Mutation, broken: Sequence[str]) -> str | None:
    with copy() as folder:
        for edit in mutation.edits:
            path = folder / edit.file
            path.write_text(path.read_text().replace(edit.old, edit.new))
        left_out = [word for test in broken for word in ("--deselect", test)]
        code, printed = run_tests(folder, [*mutation.tests.split(), "--exitfirst", *left_out])
    noticed = OUTCOME.findall(printed)
    if code == SOME_FAILED and noticed:
        return str(noticed[0])
    return None if code == ALL_PASSED else f"pytest ended with {code}:\n{printed[-2000:]}"


@contextmanager
def copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nova-bite-") as name:
        folder = Path(name)
        for part in COPIED:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, folder / part)
        yield folder


def run_tests(folder: Path, arguments: Sequence[str]) -> tuple[int, str]:
    options = ["-q", "-rfE", "--tb=no", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=folder,
        env=os.environ | {"COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def report(chosen: Sequence[Mutation], noticed: Sequence[str | None], broken: Sequence[str]) -> int:
    width = max(len(each.what) for each in chosen)
    for each, test in zip(chosen, noticed, strict=True):
        print(f"{each.what:<{width}}  {test or 'SURVIVED'}")
    survived = sum(test is None or "::" not in test.splitlines()[0] for test in noticed)
    print(f"\n{len(chosen)} mutations, {survived} survived")
    for test in broken:
        print(f"fails without any mutation: {test}")
    return 1 if survived or broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
