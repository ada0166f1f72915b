"""The servers behind the other tests are real, separate, and gone as soon as nobody needs them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, NullPool, create_engine, inspect, make_url, text

from tests import servers

ROOT = Path(__file__).resolve().parent.parent


def test_a_real_postgres_answers(postgres: servers.Postgres) -> None:
    with postgres.fresh_database() as url, connected(url) as connection:
        answer = connection.scalar(text("SELECT version()"))

    assert str(answer).startswith("PostgreSQL ")


def test_two_fresh_databases_do_not_see_each_other(postgres: servers.Postgres) -> None:
    with postgres.fresh_database() as one, postgres.fresh_database() as other:
        with connected(one) as connection:
            connection.execute(text("CREATE TABLE mine (id integer)"))

        assert tables(one) == ["mine"]
        assert tables(other) == []


def test_a_fresh_database_is_dropped_even_while_somebody_is_connected(postgres: servers.Postgres) -> None:
    with postgres.fresh_database() as url:
        idle = create_engine(url, poolclass=NullPool).connect()

    idle.invalidate()
    name = make_url(url).database
    assert postgres.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []


def test_the_template_is_migrated_once_and_copied_by_everybody(postgres: servers.Postgres) -> None:
    migrated = []
    cluster = servers.Postgres(postgres.url, prefix=servers.new_prefix())

    def migrate(url: str) -> None:
        migrated.append(url)
        with connected(url) as connection:
            connection.execute(text("CREATE TABLE workflows (id integer)"))

    names = {cluster.migrated_template(migrate) for _ in range(3)}
    with cluster.fresh_database(*names) as url:
        copied = tables(url)
    cluster.drop_all()

    assert len(migrated) == 1
    assert copied == ["workflows"]


def test_every_test_database_has_the_tables(database_url: str) -> None:
    assert {"workflows", "executions", "chain_of_work", "clients"} <= set(tables(database_url))


def test_a_real_redis_answers(redis_url: str) -> None:
    url = make_url(redis_url)

    assert servers.redis_answers(url.port or 6379, url.host or "127.0.0.1")


@pytest.fixture
def owner_of_a_redis() -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """A process that started a Redis of its own and then waits, with that Redis's port and folder."""
    port = servers.free_port()
    code = f"from tests import servers; print(servers.start_redis({port}).folder, flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        yield owner, port, Path(owner.stdout.readline().strip())
        owner.kill()


def test_a_server_ends_when_its_owner_is_killed(owner_of_a_redis: tuple[subprocess.Popen[str], int, Path]) -> None:
    owner, port, folder = owner_of_a_redis
    assert servers.redis_answers(port)

    owner.kill()

    assert comes_true(lambda: not servers.redis_answers(port))
    assert comes_true(lambda: not folder.exists())


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    process = servers.start("echo out of luck; exit 1", folder)

    with pytest.raises(servers.ServerError, match="out of luck"):
        servers.wait_until(lambda: False, folder)
    process.stop()


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        yield connection


def tables(url: str) -> list[str]:
    with connected(url) as connection:
        return inspect(connection).get_table_names()


def comes_true(condition: Callable[[], bool], within_seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + within_seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()
