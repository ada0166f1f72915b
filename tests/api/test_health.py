"""`/health` tells that the process lives, `/health/ready` that it can run workflows."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from unittest.mock import ANY

from sqlalchemy import make_url
from starlette.testclient import TestClient

from tests import servers
from tests.api.door import execute, line, save, serving, transform


def test_a_process_that_lives_is_healthy(client: TestClient) -> None:
    answer = client.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_process_with_a_migrated_database_is_ready(client: TestClient, database_url: str) -> None:
    answer = client.get("/health/ready")

    assert answer.status_code == 200
    kind = "sqlite" if database_url.startswith("sqlite") else "postgresql"
    assert answer.json() == {"status": "ready", "database": kind, "sandbox": ANY}
    assert answer.json()["sandbox"] in ("full", "seccomp", "weak"), "whatever holds on this machine"


def test_the_door_names_what_there_is(client: TestClient) -> None:
    links = client.get("/").json()["links"]

    assert [client.get(path).status_code for path in links.values()] == [200] * len(links)


@contextmanager
def taken_away(postgres: servers.Postgres, url: str) -> Iterator[None]:
    """The database cannot be reached under its name; it comes back afterwards."""
    name = make_url(url).database
    postgres.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        yield
    finally:
        postgres.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_without_its_postgres_it_is_not_ready_and_says_so(postgres: servers.Postgres, postgres_url: str) -> None:
    with serving(postgres_url) as client:
        with taken_away(postgres, postgres_url):
            gone, alive = client.get("/health/ready"), client.get("/health")
        back = client.get("/health/ready")

    assert gone.status_code == 503
    assert gone.headers["content-type"] == "application/problem+json"
    assert "Retry-After" in gone.headers
    assert "does not answer" in gone.json()["detail"]
    assert (alive.status_code, back.status_code) == (200, 200)


def test_without_its_postgres_every_route_answers_503(postgres: servers.Postgres, postgres_url: str) -> None:
    with serving(postgres_url, database_patience_seconds=1.0) as client:
        workflow_id = save(client, line(transform(x=1)))
        with taken_away(postgres, postgres_url):
            answers = [
                client.get("/workflows"),
                client.get(f"/workflows/{workflow_id}"),
                client.get("/executions"),
                client.post("/workflows", json=line(transform(x=1), name="other")),
                execute(client, workflow_id),
            ]

    assert [answer.status_code for answer in answers] == [503] * len(answers)
    assert all("Retry-After" in answer.headers for answer in answers)


def test_with_another_schema_it_is_not_ready_and_says_what_to_do(sqlite_url: str) -> None:
    with serving(sqlite_url) as client:
        with closing(sqlite3.connect(str(make_url(sqlite_url).database))) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")

        answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert "python -m src migrate" in answer.json()["detail"]
