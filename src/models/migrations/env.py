"""Alembic's entry: where the database is, and how its schema is compared and changed."""

from alembic import context
from sqlalchemy import create_engine, pool

from src.database import normalise
from src.models import Base


def database_url() -> str:
    """The URL that the caller gave, or else the one of the settings."""
    url = context.config.attributes.get("url")
    if url is None:
        from src.settings import Settings  # noqa: PLC0415 -- only the alembic command itself needs them

        url = Settings().database_url
    return str(url)


def run() -> None:
    engine = create_engine(normalise(database_url()), poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if is_sqlite:
            for pragma in ("busy_timeout=60000", "auto_vacuum=INCREMENTAL", "journal_mode=WAL"):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
        # One process migrates, the others that start with it wait; and one that dies in the middle has done nothing.
        connection.exec_driver_sql("BEGIN EXCLUSIVE" if is_sqlite else "BEGIN")
        if not is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('nova migrations'))")
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
        context.run_migrations()
        connection.exec_driver_sql("COMMIT")


run()
