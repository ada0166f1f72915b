"""Databases that keep what they are told, and the two web servers as real processes."""

import os
import pwd
import shlex
import sqlite3
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import servers

ROOT = Path(__file__).resolve().parent.parent
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
UNCONSTRAINED = {"max_wal_size": "1GB"}
"""PostgreSQL's own default: with the little of the tests a checkpoint would run in every round."""


@dataclass(frozen=True)
class Databases:
    """One kind of database; `fresh` makes an empty one and answers its URL."""

    name: str
    version: str
    fresh: Callable[[], AbstractContextManager[str]]


@contextmanager
def postgresql() -> Iterator[Databases]:
    with ExitStack() as stack:
        if given := os.environ.get("TEST_DATABASE_URL"):
            cluster = servers.given_postgres(given)
            stack.callback(cluster.drop_all)
        else:
            cluster, process = start_durable_postgres(servers.find_postgres())
            stack.callback(process.stop)
        cluster.wait_until_ready()
        for setting, wanted in DURABLE.items():
            [(found,)] = cluster.execute(f"SHOW {setting}")
            if found != wanted:
                raise SystemExit(f"This PostgreSQL has {setting}={found}: figures without durability say nothing.")
        yield Databases("postgresql", cluster.description, cluster.fresh_database)


def start_durable_postgres(program: servers.Program) -> tuple[servers.Postgres, servers.Process]:
    """As the tests start theirs, but on the disk, and with the settings of a server that may lose nothing."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    folder = servers.new_folder("postgres")
    readable = account is None or servers.may_run(account, program.path)
    bin_folder = program.path.parent if readable else servers.copy_of_wheel(program.path.parent, folder)
    (folder / "password").write_text("benchmarks")
    if account:
        servers.hand_over(folder, account)
    port = servers.free_port()
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in (DURABLE | UNCONSTRAINED).items()]
    postgres = f"{servers.postgres_command(bin_folder, folder, port)} {shlex.join(settings)}"  # the last one counts
    process = servers.start(f"{servers.initdb_command(bin_folder)} && exec {postgres}", folder, account)
    url = f"postgresql+psycopg2://postgres:benchmarks@127.0.0.1:{port}/postgres"
    return servers.Postgres(url, servers.new_prefix(), str(program), str(folder)), process


@contextmanager
def sqlite() -> Iterator[Databases]:
    with tempfile.TemporaryDirectory(prefix="nova-benchmarks-") as folder:

        @contextmanager
        def fresh() -> Iterator[str]:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                yield f"sqlite:///{own}/benchmark.db"

        yield Databases("sqlite", f"SQLite {sqlite3.sqlite_version}", fresh)


@contextmanager
def serving(app: list[str], environment: dict[str, str]) -> Iterator[str]:
    """`uvicorn` with `app` in a process of its own, as the Procfile starts it; answers the URL."""
    port = servers.free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--app-dir", str(ROOT)]
    given = {"API_KEYS": "off", **environment}
    command = ["exec", "env", *(f"{name}={value}" for name, value in given.items())]
    command += [sys.executable, "-m", "uvicorn", *app, *options]
    process = servers.start(shlex.join(command), servers.new_folder("uvicorn"))
    url = f"http://127.0.0.1:{port}"
    try:
        servers.wait_until(lambda: _answers(f"{url}/health/ready"), process.folder)
        yield url
    finally:
        process.stop()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5.0).close()
    except OSError:
        return False
    return True
