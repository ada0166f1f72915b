"""What every test may ask for: a fresh database of either kind, a Redis, and a report header that says which ran."""

import dataclasses
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from src.database import migrate
from tests import browsers, servers

os.environ.setdefault("API_KEYS", "off")
"""Of the servers that tests start, but for those of the tests of keys: PostgreSQL alone would make them ask for one."""
os.environ.setdefault("SANDBOX_PACKAGES", "")
"""Likewise: loading `pypdf` ahead is half of what a sandbox needs to start. Tests whose code imports it say so."""
POSTGRES = pytest.StashKey[servers.Postgres]()

WITHOUT_POSTGRES = "--without-postgres was given"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-postgres",
        action="store_true",
        help="skip the tests that need PostgreSQL, and count them in the summary; refused on CI",
    )


# One cluster for all test workers: the process that starts the workers starts it and tells them where it is.


def pytest_configure(config: pytest.Config) -> None:
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        if "postgres" in worker_input:
            config.stash[POSTGRES] = servers.Postgres(**worker_input["postgres"])
    elif config.getoption("--without-postgres"):
        if os.environ.get("CI"):
            raise pytest.UsageError("--without-postgres is refused on CI, where nothing may go untested.")
    else:
        provide_postgres(config)


def provide_postgres(config: pytest.Config) -> None:
    resources = ExitStack()
    config.add_cleanup(resources.close)
    try:
        config.stash[POSTGRES] = resources.enter_context(servers.postgres_cluster())
    except servers.ServerError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by pytest-xdist before it starts a worker."""
    if POSTGRES in node.config.stash:
        node.workerinput["postgres"] = dataclasses.asdict(node.config.stash[POSTGRES])


SLOW = (
    "test_kill",
    "test_openapi",
    "test_chaos",
    "test_conformance",
    "test_deaths",
    "test_corpus",
    "test_switch",
    "browser",
)
"""Modules, or folders of them, whose tests take many seconds."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long goes first: the last to end is then something short, and no processor waits for it."""
    items.sort(key=lambda item: not any(name in item.path.parts or name == item.path.stem for name in SLOW))


def pytest_report_header(config: pytest.Config) -> list[str]:
    postgres = config.stash.get(POSTGRES, None)
    return [
        f"PostgreSQL: {postgres.description if postgres else f'none, {WITHOUT_POSTGRES}'}",
        f"Redis: {servers.describe_redis()}",
        f"Browser: {browsers.describe_browser()}",
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    if count := sum(WITHOUT_POSTGRES in str(report.longrepr) for report in reports):
        terminalreporter.write_line(f"{count} tests that need PostgreSQL did not run: {WITHOUT_POSTGRES}.", yellow=True)


# PostgreSQL.


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> servers.Postgres:
    """The cluster, for tests that need more than one database of it."""
    cluster = pytestconfig.stash.get(POSTGRES, None)
    if cluster is None:
        pytest.skip(WITHOUT_POSTGRES)
    cluster.wait_until_ready()
    return cluster


@pytest.fixture(scope="session")
def postgres_template(postgres: servers.Postgres) -> str:
    return postgres.migrated_template(migrate)


@pytest.fixture
def postgres_url(postgres: servers.Postgres, postgres_template: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database of this test's own."""
    with postgres.fresh_database(postgres_template) as url:
        yield url


# SQLite.


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # one file is copied, so everything must be in it
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated, empty SQLite file of this test's own."""
    path = shutil.copyfile(sqlite_template, tmp_path / "nova.db")
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The same test on both databases: a store that is right on one of them only is wrong."""
    fixture = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    return str(request.getfixturevalue(fixture))


# Redis.


@pytest.fixture
def redis_url() -> Iterator[str]:
    """An empty Redis (or Valkey) of this test's own; with TEST_REDIS_URL, the one that all tests share."""
    with servers.redis_server() as url:
        yield url
