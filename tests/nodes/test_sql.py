"""`sql` against a real PostgreSQL and real SQLite files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from src.core.outcome import ErrorClass
from src.outside.guard import Allowed
from src.outside.outside import Outside
from tests.nodes.visits import failed, problems_of, succeeded

Json = dict[str, Any]


@pytest.fixture
def postgresql(postgres_url: str) -> tuple[Json, Outside]:
    """The fields of a node for this test's own database, and the way there."""
    url = make_url(postgres_url)
    place = f"db.internal:{url.port}"
    fields = {"type": "sql", "url": f"postgresql://{place}/{url.database}", "username": url.username}
    password = {"password": url.password} if url.password else {}
    return fields | password, Outside(Allowed.read([place]), resolve=lambda *_: [str(url.host)])


@pytest.fixture
def shop(tmp_path: Path) -> tuple[Json, Outside]:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.executescript("CREATE TABLE goods (name TEXT, price REAL); INSERT INTO goods VALUES ('tea', 4.5)")
    return {"type": "sql", "url": "sqlite:///shop.db"}, Outside(sqlite_folder=str(tmp_path))


def test_values_come_back_as_json(postgresql: tuple[Json, Outside]) -> None:
    fields, outside = postgresql
    query = """SELECT 1 AS whole, 1.5::numeric AS part, 7::numeric AS round, 'ü' AS word, true AS is, NULL AS none,
        '2026-12-01T08:00:00Z'::timestamptz AT TIME ZONE 'UTC' AS moment, '2026-12-01'::date AS day,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id, '\\x00ff'::bytea AS raw, '{"a": [1]}'::jsonb AS doc,
        ARRAY[1, 2] AS list"""

    [row] = succeeded({**fields, "query": query}, outside=outside).output["node"]["rows"]

    assert row == {
        "whole": 1, "part": 1.5, "round": 7, "word": "ü", "is": True, "none": None, "moment": "2026-12-01T08:00:00",
        "day": "2026-12-01", "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "raw": "AP8=", "doc": {"a": [1]},
        "list": [1, 2],
    }  # fmt: skip


def test_parameters_are_bound_and_never_part_of_the_statement(postgresql: tuple[Json, Outside]) -> None:
    fields, outside = postgresql
    evil = "'; DROP TABLE workflows; --"
    parameters = {"a": "{{ context.evil }}", "b": {"x": "{{ context.evil }}"}, "c": [1, 2]}
    node = {**fields, "query": "SELECT :a AS a, :b AS b, :c AS c", "parameters": parameters}

    [row] = succeeded(node, {"evil": evil}, outside=outside).output["node"]["rows"]

    assert row == {"a": evil, "b": f'{{"x": "{evil}"}}', "c": [1, 2]}


def test_nothing_is_changed_unless_it_is_said(postgresql: tuple[Json, Outside]) -> None:
    fields, outside = postgresql
    insert = {
        **fields,
        "query": "INSERT INTO clients (slug, name, is_active, created_at) VALUES ('a', 'A', true, now())",
    }

    for before in ("", "COMMIT; "):
        error = failed({**insert, "query": f"{before}{insert['query']}"}, outside=outside).error
        assert "read-only transaction" in error.message
        assert error.error_class is ErrorClass.PERMANENT
    done = succeeded({**insert, "write": True}, outside=outside).output["node"]
    count = succeeded({**fields, "query": "SELECT count(*) AS n FROM clients"}, outside=outside).output["node"]

    assert (done["row_count"], count["rows"]) == (1, [{"n": 1}])


def test_a_statement_that_may_run_twice_has_a_key_that_is_the_same(postgresql: tuple[Json, Outside]) -> None:
    fields, outside = postgresql

    for attempt in (1, 2):
        node = {**fields, "query": "SELECT :idempotency_key AS key"}
        rows = succeeded(node, outside=outside, attempt=attempt).output["node"]["rows"]
        assert rows == [{"key": "task/node"}]


def test_no_more_rows_are_taken_than_asked_for(postgresql: tuple[Json, Outside]) -> None:
    fields, outside = postgresql
    node = {**fields, "query": "SELECT * FROM generate_series(1, 100) AS n", "max_rows": 3}

    answer = succeeded(node, outside=outside).output["node"]

    assert answer == {"rows": [{"n": 1}, {"n": 2}, {"n": 3}], "row_count": 3, "truncated": True}


@pytest.mark.parametrize(
    ("more", "error_class"),
    [
        ({"query": "SELEKT 1"}, ErrorClass.PERMANENT),
        ({"query": "SELECT * FROM nowhere"}, ErrorClass.PERMANENT),
        ({"query": "SELECT :a"}, ErrorClass.PERMANENT),
        ({"query": "SELECT 1 / 0"}, ErrorClass.PERMANENT),
        ({"query": "SELECT pg_sleep(20)", "timeout": 0.3}, ErrorClass.TRANSIENT),
        ({"query": "SELECT 1", "username": "nobody-here"}, ErrorClass.PERMANENT),
    ],
)
def test_what_the_database_says_is_an_error_of_its_class(
    postgresql: tuple[Json, Outside], more: Json, error_class: ErrorClass
) -> None:
    fields, outside = postgresql

    assert failed({**fields, **more}, outside=outside).error.error_class is error_class


def test_an_error_shows_no_parameter(postgresql: tuple[Json, Outside]) -> None:
    fields, outside = postgresql
    node = {**fields, "query": "SELECT * FROM nowhere WHERE a = :a", "parameters": {"a": "t0psecret"}}

    error = failed(node, outside=outside).error

    assert "t0psecret" not in error.message + error.traceback


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://127.0.0.1/x",
        "postgresql://169.254.169.254/x",
        "postgresql://localhost:22/x",
        "postgresql:///x",
        "postgresql:///x?host=/var/run/postgresql",
        "postgresql://db.example/x?host=127.0.0.1",
        "postgresql://db.example/x?hostaddr=127.0.0.1",
        "postgresql://db.example/x?service=prod",
        "postgresql://db.example,127.0.0.1/x",
        "mysql://db.example/x",
        "sqlite:///nova.db",
        "sqlite:////etc/passwd",
        "sqlite://",
        "db.example",
        "",
    ],
)
def test_a_database_that_is_not_for_nodes_is_refused_for_good(url: str) -> None:
    outside = Outside(resolve=lambda host, _: ["127.0.0.1" if host == "localhost" else host])

    error = failed({"type": "sql", "url": url, "query": "SELECT 1"}, outside=outside).error

    assert (error.type, error.error_class) == ("Refused", ErrorClass.PERMANENT)


def test_a_database_that_is_away_may_come_back() -> None:
    outside = Outside(Allowed.read(["127.0.0.1:1"]))

    error = failed({"type": "sql", "url": "postgresql://127.0.0.1:1/x", "query": "SELECT 1"}, outside=outside).error

    assert error.error_class is ErrorClass.TRANSIENT


# SQLite.


def test_a_file_in_the_operators_folder_can_be_read(shop: tuple[Json, Outside]) -> None:
    fields, outside = shop

    rows = succeeded({**fields, "query": "SELECT * FROM goods"}, outside=outside).output["node"]["rows"]

    assert rows == [{"name": "tea", "price": 4.5}]


def test_a_file_is_changed_only_where_it_is_said(shop: tuple[Json, Outside]) -> None:
    fields, outside = shop
    insert = {**fields, "query": "INSERT INTO goods VALUES (:name, 1)", "parameters": {"name": "salt"}}

    assert "readonly" in failed(insert, outside=outside).error.message
    assert succeeded({**insert, "write": True}, outside=outside).output["node"]["row_count"] == 1


@pytest.mark.parametrize("query", ["ATTACH DATABASE '{}' AS other", "VACUUM INTO '{}'", "ATTACH '{}' || '' AS other"])
@pytest.mark.parametrize("write", [False, True])
def test_no_statement_opens_or_writes_another_file(
    shop: tuple[Json, Outside], tmp_path: Path, query: str, write: bool
) -> None:
    fields, outside = shop
    other = tmp_path / "other.db"

    error = failed({**fields, "query": query.format(other), "write": write}, outside=outside).error

    assert error.error_class is ErrorClass.PERMANENT
    assert not other.exists()
    assert succeeded({**fields, "query": "VACUUM", "write": True}, outside=outside)


def test_a_statement_that_runs_on_is_ended_in_time(shop: tuple[Json, Outside]) -> None:
    fields, outside = shop
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"

    error = failed({**fields, "query": endless, "timeout": 0.2}, outside=outside).error

    assert (error.error_class, error.message) == (ErrorClass.TRANSIENT, "no answer within 0.2 s")


@pytest.mark.parametrize("name", ["../shop.db", "/etc/passwd", "sub/../../shop.db", "", "?mode=rwc", ":memory:"])
def test_no_other_file_can_be_reached(shop: tuple[Json, Outside], name: str) -> None:
    fields, outside = shop

    error = failed({**fields, "url": f"sqlite:///{name}", "query": "SELECT * FROM goods"}, outside=outside).error

    assert error.error_class is ErrorClass.PERMANENT


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"url": "sqlite:///a", "query": "SELECT {{ context.x }}"}, "/query"),
        ({"url": "sqlite:///a", "query": ""}, "/query"),
        ({"query": "SELECT 1"}, "/url"),
        ({"url": "sqlite:///a", "query": "SELECT 1", "max_rows": 0}, "/max_rows"),
        ({"url": "sqlite:///a", "query": "SELECT 1", "parameters": {"a": "{{ nobody }}"}}, "/parameters/a"),
    ],
)
def test_a_definition_with_a_problem_is_refused_at_it(fields: Json, pointer: str) -> None:
    assert problems_of({"id": "n", "type": "sql", **fields}).keys() == {pointer}
