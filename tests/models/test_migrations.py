"""The migrations give the tables of the models, with the names that people query, and leave what is in them alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, NullPool, create_engine, inspect, text

from src.database import MIGRATIONS, migrate
from tests import servers

COLUMNS = {
    "workflows": "id name description client_id version graph_definition created_at updated_at archived_at",
    "workflow_versions": "workflow_id version graph_definition sha256 created_at",
    "executions": "id task_id workflow_id workflow_version client_id status waiting_for mode queue initial_context "
    "result error idempotency_key parent_id parent_node_id origin_id origin_node_id lease_owner lease_token "
    "lease_until wake_at requested created_at started_at completed_at execution_time",
    "chain_of_work": "id execution_id node_id node_type attempt status output_result code_executed decision_result "
    "path_taken error_type error_class error_message logs execution_time started_at timestamp",
    "execution_events": "execution_id kind actor data at",
    "clients": "slug is_active",
    "processes": "id role seen_at last_bell_at",
}
"""What people's queries name. Tables may get more columns, and lose none of these."""

ROWS: dict[str, dict[str, Any]] = {
    "clients": {"id": 1, "slug": "acme", "name": "Acme", "is_active": True, "created_at": "2024-01-01 00:00:00"},
    "workflows": {
        "id": 1,
        "name": "invoice",
        "client_id": 1,
        "version": 1,
        "graph_definition": '{"nodes": [], "edges": []}',
        "created_at": "2024-01-01 00:00:00",
        "updated_at": "2024-01-01 00:00:00",
    },
    "workflow_versions": {
        "workflow_id": 1,
        "version": 1,
        "graph_definition": '{"nodes": [], "edges": []}',
        "sha256": "0" * 64,
        "created_at": "2024-01-01 00:00:00",
    },
    "executions": {
        "id": 1,
        "task_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "workflow_id": 1,
        "workflow_version": 1,
        "client_id": 1,
        "status": "completed",
        "mode": "inline",
        "initial_context": '{"z": 1, "a": 2.50}',
        "result": '{"z": 1, "a": 2.50}',
        "lease_token": 1,
        "created_at": "2024-01-01 00:00:00",
    },
    "chain_of_work": {
        "id": 1,
        "execution_id": 1,
        "lease_token": 1,
        "node_id": "start",
        "node_type": "start",
        "attempt": 1,
        "status": "success",
        "output_result": "{}",
        "execution_time": 0.25,
        "started_at": "2024-01-01 00:00:00",
        "timestamp": "2024-01-01 00:00:00",
    },
    "execution_events": {"id": 1, "execution_id": 1, "kind": "recovered", "data": "{}", "at": "2024-01-01 00:00:00"},
    "blobs": {"sha256": "0" * 64, "content": '"x"', "created_at": "2024-01-01 00:00:00"},
}
"""A row for each table of the first revision, with the columns it had: what an installation of that release holds."""

FIRST = "0001"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/nova.db"
        return
    cluster: servers.Postgres = request.getfixturevalue("postgres")
    with cluster.fresh_database() as url:
        yield url


def config_for(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def engine_for(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool)


def insert_rows(url: str) -> None:
    with engine_for(url).begin() as connection:
        for table, row in ROWS.items():
            names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def read_rows(url: str) -> dict[str, dict[str, str]]:
    """The rows as text, of the columns that were written."""
    found = {}
    with engine_for(url).connect() as connection:
        for table, row in ROWS.items():
            names = ", ".join(f"CAST({name} AS varchar) AS {name}" for name in row)
            found[table] = dict(connection.execute(text(f"SELECT {names} FROM {table}")).mappings().one())
    return found


def test_the_migrations_give_exactly_the_tables_of_the_models(empty_url: str) -> None:
    migrate(empty_url)

    command.check(config_for(empty_url))  # raises where a migration would be needed


def test_migrating_what_is_migrated_changes_nothing(empty_url: str) -> None:
    migrate(empty_url)
    insert_rows(empty_url)
    before = read_rows(empty_url)

    migrate(empty_url)

    assert read_rows(empty_url) == before


def test_what_an_installation_of_any_release_holds_is_there_after_an_upgrade(empty_url: str) -> None:
    revisions = [each.revision for each in ScriptDirectory.from_config(config_for(empty_url)).walk_revisions()][::-1]
    assert revisions[0] == FIRST
    command.upgrade(config_for(empty_url), FIRST)
    insert_rows(empty_url)
    before = read_rows(empty_url)

    for revision in revisions[1:]:
        command.upgrade(config_for(empty_url), revision)
        assert read_rows(empty_url) == before
    migrate(empty_url)

    assert read_rows(empty_url) == before
    command.check(config_for(empty_url))


def test_the_first_revision_can_be_taken_back(empty_url: str) -> None:
    migrate(empty_url)

    command.downgrade(config_for(empty_url), "base")

    assert set(inspect(engine_for(empty_url)).get_table_names()) <= {"alembic_version"}


@pytest.mark.parametrize("table", COLUMNS)
def test_the_names_that_people_query_stand(database_url: str, table: str) -> None:
    columns = {column["name"] for column in inspect(engine_for(database_url)).get_columns(table)}

    assert set(COLUMNS[table].split()) <= columns


def test_an_attempt_can_stand_only_once(database_url: str) -> None:
    unique = inspect(engine_for(database_url)).get_unique_constraints("chain_of_work")

    assert ["execution_id", "node_id", "attempt"] in [each["column_names"] for each in unique]


def test_documents_are_json_that_postgresql_can_look_into(postgres_url: str) -> None:
    insert_rows(postgres_url)

    with engine_for(postgres_url).connect() as connection:
        query = text("SELECT result->>'z', output_result->>'z' FROM executions JOIN chain_of_work ON execution_id = 1")
        looked_into = connection.execute(query).one()

    assert tuple(looked_into) == ("1", None)


def test_what_travels_is_kept_as_it_was_written(database_url: str) -> None:
    insert_rows(database_url)

    assert read_rows(database_url)["executions"]["initial_context"] == '{"z": 1, "a": 2.50}'


def test_ids_are_never_given_twice(sqlite_url: str) -> None:
    insert_rows(sqlite_url)
    with engine_for(sqlite_url).begin() as connection:
        for table in ("execution_events", "chain_of_work", "executions"):
            connection.execute(text(f"DELETE FROM {table}"))

        row = {name: value for name, value in ROWS["executions"].items() if name != "id"}
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO executions ({names}) VALUES ({values})"), row)
        [execution_id] = connection.execute(text("SELECT id FROM executions")).scalars()

    assert execution_id == 2
