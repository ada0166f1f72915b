"""The door to SQL: which URLs it takes, how it writes and reads, and what it says about a schema that does not fit."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from src.core.errors import NotReady
from src.database import MIGRATIONS, Database, check_schema, newest_revision, normalise, prepare
from src.models.columns import moment
from tests import servers
from tests.runtime.building import eventually


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Database]:
    with closing(Database(sqlite_url)) as database:
        yield database


def add_blob(database: Database, sha256: str) -> None:
    with database.write() as connection:
        connection.execute(
            text("INSERT INTO blobs (sha256, content, created_at) VALUES (:sha256, '1', '2024-01-01 00:00:00')"),
            {"sha256": sha256},
        )


def write_and_break(database: Database, sha256: str) -> None:
    with database.write() as connection:
        connection.execute(
            text("INSERT INTO blobs (sha256, content, created_at) VALUES (:sha256, '1', '2024-01-01 00:00:00')"),
            {"sha256": sha256},
        )
        raise ValueError("broken")


def blobs(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT sha256 FROM blobs ORDER BY sha256")).scalars())


# URLs.


@pytest.mark.parametrize(
    "given",
    [
        "postgres://user:secret@host:5433/name",
        "postgresql://user:secret@host:5433/name",
        "postgresql+psycopg2://user:secret@host:5433/name",
    ],
)
def test_every_spelling_of_a_postgresql_url_means_our_driver(given: str) -> None:
    url = normalise(given)

    rendered = url.render_as_string(hide_password=False)
    assert rendered == "postgresql+psycopg2://user:secret@host:5433/name"


def test_options_of_a_url_are_kept() -> None:
    url = normalise("postgres://host/name?sslmode=require")

    assert dict(url.query) == {"sslmode": "require"}


@pytest.mark.parametrize("given", ["sqlite:///nova.db", "sqlite:////data/nova.db", "sqlite+pysqlite:///nova.db"])
def test_a_sqlite_url_names_its_file(given: str) -> None:
    url = normalise(given)

    assert url.drivername == "sqlite+pysqlite"
    assert url.database in ("nova.db", "/data/nova.db")


@pytest.mark.parametrize("given", ["", "nova.db", "mysql://host/name", "sqlite://", "postgresql+asyncpg://host/name"])
def test_any_other_url_is_refused_with_what_was_expected(given: str) -> None:
    with pytest.raises(ValueError, match=r"expected a .*sqlite:///.*postgresql"):
        normalise(given)


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/nova.db").close()
    Database("postgresql://nobody@127.0.0.1:1/nothing").close()

    assert list(tmp_path.iterdir()) == []


# Reading and writing.


def test_a_write_is_there_for_others_at_the_end_of_its_block(database: Database, database_url: str) -> None:
    add_blob(database, "a")

    with closing(Database(database_url)) as another:
        assert blobs(another) == ["a"]


def test_a_write_that_breaks_leaves_nothing_and_the_next_goes_on(database: Database) -> None:
    add_blob(database, "a")

    with pytest.raises(ValueError, match="broken"):
        write_and_break(database, "b")

    assert blobs(database) == ["a"]
    add_blob(database, "c")
    assert blobs(database) == ["a", "c"]


def test_reading_is_possible_while_somebody_writes(database: Database) -> None:
    add_blob(database, "a")

    with ThreadPoolExecutor(1) as threads, database.write() as connection:
        connection.execute(text("DELETE FROM blobs"))
        seen = threads.submit(blobs, database)
        error = seen.exception(timeout=60)

    assert error is None, f"{error}"
    assert seen.result() == ["a"]
    assert blobs(database) == []


def test_fifty_threads_write_and_none_is_refused(database: Database) -> None:
    start = threading.Barrier(50)

    def write(n: int) -> None:
        start.wait()
        for turn in range(4):
            add_blob(database, f"{n:02}-{turn}")

    with ThreadPoolExecutor(50) as threads:
        list(threads.map(write, range(50)))

    assert len(blobs(database)) == 200


def test_two_processes_worth_of_connections_write_into_one_sqlite_file(sqlite_url: str) -> None:
    start = threading.Barrier(20)

    def write(n: int) -> None:
        start.wait()
        for turn in range(5):
            add_blob((one, other)[n % 2], f"{n:02}-{turn}")

    with closing(Database(sqlite_url)) as one, closing(Database(sqlite_url)) as other:
        with ThreadPoolExecutor(20) as threads:
            list(threads.map(write, range(20)))

        assert len(blobs(one)) == 100


def test_sqlite_is_durable_and_keeps_its_promises_about_references(on_sqlite: Database) -> None:
    with on_sqlite.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "auto_vacuum": 2}


def test_a_file_that_a_server_makes_can_shrink(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    with closing(Database(url)) as database:
        prepare(database)

        with database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar() == 2


def test_a_row_cannot_refer_to_what_is_not_there(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(
            text("INSERT INTO execution_events (execution_id, kind, at) VALUES (1, 'recovered', '2024-01-01 00:00:00')")
        )


def test_a_moment_is_the_databases_own_and_as_far_off_as_asked(database: Database) -> None:
    with database.read() as connection:
        past, now, future = connection.execute(select(moment(-1.5), moment(0.0), moment(30.0))).one()

    assert 1.0 < (now - past).total_seconds() < 2.0
    assert 29.0 < (future - now).total_seconds() < 31.0
    assert now.utcoffset() == timedelta(0)


def test_a_connection_that_postgresql_has_ended_is_replaced_at_the_second_try_at_the_latest(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database, closing(Database(postgres_url)) as admin:
        add_blob(database, "a")

        with admin.read() as connection:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            connection.execute(text(f"{end} AND pid <> pg_backend_pid()"))
            alone = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"
            eventually(lambda: connection.execute(text(alone)).scalar())
        try:
            add_blob(database, "b")
        except NotReady:  # nobody asks a connection that was used a moment ago whether it still answers
            add_blob(database, "b")

        assert blobs(database) == ["a", "b"]


# The schema.


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_heads() == [newest_revision()]


def test_a_sqlite_file_is_made_and_migrated_at_start(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path}/deep/down/nova.db")) as database:
        prepare(database)
        prepare(database)

        check_schema(database)
        assert blobs(database) == []


def test_a_postgresql_that_was_not_migrated_is_left_alone_and_the_command_is_named(
    postgres: servers.Postgres,
) -> None:
    with postgres.fresh_database() as url, closing(Database(url)) as database:
        with pytest.raises(NotReady, match=r"at revision None.*python -m src migrate"):
            prepare(database)

        with database.read() as connection:
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(text(tables)).scalar() == 0


def test_the_schema_of_another_release_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(NotReady, match="9999"):
        check_schema(database)


def test_a_sqlite_file_of_a_later_release_is_refused_and_not_touched(on_sqlite: Database) -> None:
    with on_sqlite.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(NotReady, match="9999"):
        prepare(on_sqlite)

    assert blobs(on_sqlite) == []


def test_a_database_that_does_not_answer_is_not_ready() -> None:
    url = f"postgresql://nobody@127.0.0.1:{servers.free_port()}/nothing"

    with closing(Database(url)) as database, pytest.raises(NotReady, match="does not answer"):
        check_schema(database)


def test_a_file_that_is_no_database_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "nova.db").write_text("This is a letter, and not a database. " * 100)
    url = f"sqlite:///{tmp_path}/nova.db"

    with closing(Database(url)) as database, pytest.raises(NotReady, match="not a database"):
        check_schema(database)


def test_a_file_that_somebody_else_writes_is_read_as_it_was(on_sqlite: Database) -> None:
    add_blob(on_sqlite, "a")

    with closing(sqlite3.connect(str(on_sqlite.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM blobs")
        seen = blobs(on_sqlite)
        other.execute("ROLLBACK")

    assert seen == ["a"]


def test_a_statement_that_is_wrong_does_not_spoil_the_connection(database: Database) -> None:
    for _ in range(50):  # more than the pool has
        with pytest.raises((SQLAlchemyError, NotReady)), database.read() as connection:
            connection.execute(text("SELECT no_such_column FROM blobs"))

    assert blobs(database) == []
