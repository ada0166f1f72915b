"""A `Lookup` is a query like any other, and bears what can happen to one."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select, text

from src.core.errors import NotReady
from src.database import Database
from src.models import Execution
from src.runtime.lookup import Lookup
from tests.runtime.building import eventually, parts

QUERY = select(*Execution.__table__.columns).where(Execution.id == bindparam("which"))
CONTEXT = {"z": 1.0, "a": ["ü", None, 10**30], "nested": {"b": True}}


def test_it_gives_every_column_as_sqlalchemy_gives_it(database_url: str) -> None:
    with parts(database_url) as made:
        execution_id, lookup = made.create(CONTEXT), Lookup(QUERY)

        found = lookup.one_or_none(made.database, execution_id)

        with made.database.read() as connection:
            row = connection.execute(QUERY, {"which": execution_id}).one()
        assert found._asdict() == dict(row._mapping)
        assert [type(value) for value in found] == [type(value) for value in row]
        assert list(found.initial_context) == list(CONTEXT)
        assert lookup.one_or_none(made.database, execution_id) == found
        assert lookup.one_or_none(made.database, execution_id + 1) is None


def test_one_lookup_serves_both_databases(sqlite_url: str, postgres_url: str) -> None:
    lookup = Lookup(QUERY)
    for url in (sqlite_url, postgres_url, sqlite_url):
        with parts(url) as made:
            assert lookup.one_or_none(made.database, made.create(CONTEXT)).initial_context == CONTEXT


def test_a_connection_that_postgresql_has_ended_is_given_to_nobody_again(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database, closing(Database(postgres_url)) as admin:
        lookup = Lookup(QUERY)
        assert lookup.one_or_none(database, 1) is None
        with admin.read() as connection:
            others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM {others}"))
            eventually(lambda: connection.execute(text(f"SELECT count(*) = 0 FROM {others}")).scalar())

        with suppress(NotReady):  # nobody asks a connection that was used a moment ago whether it still answers
            lookup.one_or_none(database, 1)

        assert lookup.one_or_none(database, 1) is None


def test_a_database_that_is_not_there_is_not_ready() -> None:
    with closing(Database("postgresql://nobody@127.0.0.1:1/none")) as database, pytest.raises(NotReady):
        Lookup(QUERY).one_or_none(database, 1)


def test_a_table_that_is_damaged_is_not_ready(sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'executions'")
        [[size]] = connection.execute("PRAGMA page_size")
    content = path.read_bytes()
    path.write_bytes(content[: (page - 1) * size] + bytes(size) + content[page * size :])

    with closing(Database(sqlite_url)) as database, pytest.raises(NotReady):
        Lookup(QUERY).one_or_none(database, 1)
