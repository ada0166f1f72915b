"""Engines and connections. SQLite and PostgreSQL differ only here (and in the clock of `models/columns.py`)."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from src.core.errors import NotReady
from src.core.failpoint import failpoint

PIECE = 1_000
"""Ids in one statement: SQLite takes 32,766 at most, and there may be more of them."""
PAUSE_SECONDS = 1.0
"""A connection that was not used for longer is asked whether it still is one."""
OPENED_WITH = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "tcp_user_timeout": 10_000,
    "options": "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=60s",
}
"""Connections to PostgreSQL: nothing waits for ever, on either side."""
MIGRATIONS = Path(__file__).parent / "models" / "migrations"


def normalise(url: str) -> URL:
    """The URL with the driver that Nova uses: Heroku and Railway hand out `postgres://` and `postgresql://`.

    Raises:
        ValueError: neither SQLite nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second: a port that is no number
        raise ValueError("expected a URL such as sqlite:///nova.db or postgresql://user:password@host/name") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg2"):
        return parsed.set(drivername="postgresql+psycopg2")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite") and parsed.database:
        return parsed.set(drivername="sqlite+pysqlite")
    raise ValueError(f"expected a sqlite:/// or postgresql:// URL, got {parsed.drivername}://")


class Database:
    """The one door to SQL. Nothing is opened before the first use.

    Connections commit each statement by itself; `write` begins and ends a transaction in so many words.
    """

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.url = normalise(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(self.url, pool_size) if self.is_sqlite else _postgresql_engine(self.url, pool_size)
        self.turn: AbstractContextManager[Any] = threading.Lock() if self.is_sqlite else nullcontext()
        """Held while writing. SQLite's own busy handler lets some of fifty threads starve; a lock does not."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with: no transaction, no lock. Raises NotReady where the database does not answer."""
        with _answering(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def cursor(self) -> Iterator[DBAPICursor]:
        """A cursor of the driver itself to read with, for what is read so often that it counts. Raises NotReady."""
        driver, connection = self.engine.dialect.loaded_dbapi, None
        try:
            with _answering():
                connection = self.engine.raw_connection()
            yield connection.cursor()
        except driver.Error as error:
            is_vague = isinstance(error, driver.OperationalError) or type(error) is driver.DatabaseError
            if self._has_gone(connection, error) or is_vague:
                raise _not_ready(error) from error
            raise
        finally:
            if connection is not None:
                connection.close()

    def _has_gone(self, connection: PoolProxiedConnection | None, error: Exception) -> bool:
        """Then nobody is given this connection again."""
        if connection is None:
            return True
        is_gone = self.engine.dialect.is_disconnect(error, connection.driver_connection, None)  # type: ignore[arg-type]
        if is_gone:
            connection.invalidate(error)
        return is_gone

    @contextmanager
    def write(self, name: str = "write") -> Iterator[Connection]:
        """A transaction, committed at the end of the block, between two failpoints that bear its name.

        Raises:
            NotReady: the database does not answer.
        """
        with _answering(), self.turn, self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")
            try:
                yield connection
                failpoint(f"{name}.before_commit")
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                with suppress(SQLAlchemyError):
                    connection.exec_driver_sql("ROLLBACK")
                raise
        failpoint(f"{name}.after_commit")

    def close(self) -> None:
        self.engine.dispose()


def pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + PIECE] for start in range(0, len(ids), PIECE))


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (DatabaseError, InterfaceError, PoolTimeout, OSError) as error:
        if not isinstance(error, OperationalError | OSError | PoolTimeout) and type(error) is not DatabaseError:
            raise  # a constraint, a mistake of ours: the database does answer
        raise _not_ready(getattr(error, "orig", None) or error) from error


def _not_ready(error: BaseException) -> NotReady:
    return NotReady(f"The database does not answer: {str(error).partition(chr(10))[0]}")


def _postgresql_engine(url: URL, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_recycle=300,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # an error that is logged must not quote a context
        connect_args=OPENED_WITH,
    )

    @event.listens_for(engine, "checkout")
    def _ping_after_a_pause(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
        """SQLAlchemy's own ping asks before every use; under load that is a third of what a read costs."""
        now = time.monotonic()
        used_at = record.info.get("used_at", now)
        record.info["used_at"] = now
        if now - used_at > PAUSE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error:
                raise DisconnectionError from None

    return engine


def _sqlite_engine(url: URL, pool_size: int) -> Engine:
    engine = create_engine(url, pool_size=pool_size, max_overflow=pool_size, hide_parameters=True)

    @event.listens_for(engine, "do_connect")
    def _before_connect(*_: object) -> None:
        _make_folder(url)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions by its own idea of when
        connection.execute("PRAGMA busy_timeout=15000")
        if connection.execute("PRAGMA page_count").fetchone() == (0,):  # later it takes a lock, and changes nothing
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _make_folder(url: URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema, whatever is in it. Raises NotReady where it does not answer."""
    from alembic import command  # noqa: PLC0415 -- 0.3 s that a start with an up-to-date schema does not pay
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    with _answering():
        _make_folder(normalise(url))
        command.upgrade(config, "head")


def prepare(database: Database) -> None:
    """Make the schema fit: the embedded SQLite file is migrated at start, a PostgreSQL is only looked at.

    Raises:
        NotReady: PostgreSQL has not been migrated, or is not there.
    """
    found = _revision(database)
    if database.is_sqlite and (found is None or found < newest_revision()):
        migrate(database.url.render_as_string(hide_password=False))
    check_schema(database)


def check_schema(database: Database) -> None:
    """Raises NotReady where the database does not answer or has another schema than this release."""
    found, needed = _revision(database), newest_revision()
    if found != needed:
        raise NotReady(f"The database is at revision {found}, Nova needs {needed}: run python -m src migrate")


@cache
def newest_revision() -> str:
    """The name of the last migration: their files are numbered."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(database: Database) -> str | None:
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return revision
