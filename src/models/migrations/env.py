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
    engine = create_engine(normalise(database_url()), poolclass=pool.NullPool)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()


run()
