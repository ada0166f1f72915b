"""What retention costs: nine tenths of a million rows of `chain_of_work` are old, and go as the sweep deletes them.

python -m benchmarks.retention                    both databases, a few minutes
python -m benchmarks.retention --runs 1000        fewer; a run is ten rows
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

from benchmarks import report
from benchmarks.servers import postgresql, sqlite
from src.core.status import AttemptStatus, Mode, Status
from src.database import Database, migrate
from src.runtime.housekeeping import Housekeeping

NODES = 10
OLD = "2020-01-01 00:00:00.000000"
NEW = "2100-01-01 00:00:00.000000"
NUMBERS = "WITH RECURSIVE runs(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM runs WHERE i < {last})"
VERSIONED = (
    "INSERT INTO workflows (id, name, version, graph_definition, created_at, updated_at)"
    " VALUES (1, 'one', 1, '{}', :at, :at)",
    "INSERT INTO workflow_versions (workflow_id, version, graph_definition, sha256, created_at)"
    " VALUES (1, 1, '{}', '', :at)",
)
RUNS = """
INSERT INTO executions (id, task_id, workflow_id, workflow_version, status, mode, initial_context, result, lease_token,
    created_at, started_at, completed_at, execution_time)
{numbers} SELECT i, 'task ' || i, 1, 1, :status, :mode, '{{}}', '{{}}', 1, :at, :at, :at, 0.1 FROM runs"""
ATTEMPTS = """
INSERT INTO chain_of_work (execution_id, lease_token, node_id, node_type, attempt, status, output_result,
    execution_time, started_at, timestamp, seal)
{numbers}, nodes(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM nodes WHERE n < {nodes})
SELECT i, 1, 'node ' || n, 'function', 1, :status, :output, 0.01, :at, :at, :seal FROM runs CROSS JOIN nodes"""
SIZE = "SELECT pg_total_relation_size('chain_of_work') + pg_total_relation_size('executions')"


class Timed(Database):
    """Remembers its longest transaction: for so long its locks are held."""

    longest_seconds = 0.0

    @contextmanager
    def write(self, name: str = "write") -> Iterator[Connection]:
        begun = time.perf_counter()
        with super().write(name) as connection:
            yield connection
        self.longest_seconds = max(self.longest_seconds, time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    runs = parser.parse_args().runs
    with postgresql() as postgres, sqlite() as embedded:
        for name, value in report.machine([postgres.version, embedded.version]).items():
            print(f"{name:<10} {value}")
        for databases in (postgres, embedded):
            with databases.fresh() as url:
                migrate(url)
                database = Timed(url)
                try:
                    measure(databases.name, database, runs)
                finally:
                    database.close()


def measure(name: str, database: Timed, runs: int) -> None:
    fill(database, runs)
    before, database.longest_seconds = size(database), 0.0
    keeping = Housekeeping(database, runs_days=90, events_days=30)
    begun, deleted = time.perf_counter(), 0
    while batch := keeping.delete_runs():
        deleted += batch
    seconds, after = time.perf_counter() - begun, size(database)
    begun, steps = time.perf_counter(), give_back(database, keeping)
    print(f"\n{name}: {deleted} of {runs} runs, {deleted * NODES} of {runs * NODES} rows, deleted in {seconds:.1f} s")
    print(f"  {deleted / seconds:.0f} runs a second; longest transaction {database.longest_seconds * 1000:.0f} ms")
    print(f"  {before} MB before, {after} MB after, {size(database)} MB when what is free was given back")
    print(f"  ({steps} steps of housekeeping, or one VACUUM: {time.perf_counter() - begun:.1f} s)", flush=True)


def fill(database: Database, runs: int) -> None:
    old = runs * 9 // 10
    with database.write() as connection:
        for statement in VERSIONED:
            connection.execute(text(statement.replace("'{}'", "'{\"nodes\": []}'")), {"at": OLD})
        for first, last, at in ((1, old, OLD), (old + 1, runs, NEW)):
            numbers = NUMBERS.format(first=first, last=last)
            ended = {"status": Status.COMPLETED.value, "mode": Mode.INLINE.value, "at": at}
            connection.execute(text(RUNS.format(numbers=numbers)), ended)
            row = {"status": AttemptStatus.SUCCESS.value, "output": '{"x": 1}', "seal": "0" * 64, "at": at}
            connection.execute(text(ATTEMPTS.format(numbers=numbers, nodes=NODES)), row)
    if not database.is_sqlite:
        vacuum(database)


def size(database: Database) -> int:
    """In MB. Of a SQLite file, when its log is written back."""
    with database.read() as connection:
        if not database.is_sqlite:
            return int(connection.execute(text(SIZE)).scalar_one()) // 10**6
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(str(database.url.database)).stat().st_size // 10**6


def give_back(database: Database, keeping: Housekeeping) -> int:
    """How many steps it took: the sweep takes one after each round of deleting."""
    if not database.is_sqlite:
        vacuum(database)
        return 1
    steps = 0
    while free_pages(database):
        keeping.shrink()
        steps += 1
    return steps


def free_pages(database: Database) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def vacuum(database: Database) -> None:
    """What autovacuum does by and by."""
    with database.read() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE chain_of_work")
        connection.exec_driver_sql("VACUUM ANALYZE executions")


if __name__ == "__main__":
    main()
