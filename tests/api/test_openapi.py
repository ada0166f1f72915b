"""Requests made from the OpenAPI document, right and wrong: no server error, no answer that it does not document."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from schemathesis import GenerationMode

from tests import servers
from tests.api.conftest import Door
from tests.api.door import Json, execute, line, rows, save, serving, transform
from tests.api.fuzz import BOTH, Case, Requests, check, save_something, send

EXAMPLES = 8
"""For each operation and each way of making requests: about 20 s in all. `python -m tests.api.fuzz` sends more."""
EXAMPLES_WITH_KEYS = 3
"""For each operation; on SQLite alone, for no key is asked about a database."""
FIRST_KEY = "the-first-key-of-these-tests"


@pytest.fixture(scope="module")
def doors(
    sqlite_template: Path,
    postgres: servers.Postgres,
    postgres_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Door]]:
    """The same application on either database: a request costs more to make up than to send."""
    sqlite = f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path_factory.mktemp('doors') / 'nova.db')}"
    with (
        postgres.fresh_database(postgres_template) as url,
        serving(sqlite) as on_sqlite,
        serving(url) as on_postgres,
    ):
        yield [Door(on_sqlite, sqlite), Door(on_postgres, url)]


@pytest.mark.parametrize("mode", BOTH)
def test_no_request_makes_a_server_error_or_an_undocumented_answer(doors: list[Door], mode: GenerationMode) -> None:
    for door in doors:
        save_something(door.client)

    def tried(case: Case) -> None:
        for door in doors:
            check(case, send(door.client, case))

    Requests(document(doors[0]), [mode], EXAMPLES).try_all(tried)


def document(door: Door) -> Json:
    found: Json = door.client.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def closed(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """With two clients, each with a workflow that has run."""
    url = f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path_factory.mktemp('closed') / 'nova.db')}"
    with serving(url, api_keys="required", nova_api_key=FIRST_KEY, key_requests_per_minute=0) as client:
        for slug in ("acme", "bolt"):
            client.headers["Authorization"] = f"Bearer {FIRST_KEY}"
            client.post("/clients", json={"slug": slug})
            order = {"name": slug, "scopes": ["read", "run", "write"], "client_slug": slug}
            client.headers["Authorization"] = f"Bearer {client.post('/keys', json=order).json()['key']}"
            execute(client, save(client, line(transform(x=f"of {slug}"), name=f"of {slug}")))
        del client.headers["Authorization"]
        yield Door(client, url)


def test_no_request_without_a_right_key_does_anything(closed: Door) -> None:
    before = rows(closed.database_url)
    secured = set()

    def tried(case: Case) -> None:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = send(closed.client, case, headers)

            check(case, answer)
            if "security" in case.operation.definition.raw:
                secured.add(case.operation.label)
                assert answer.status_code in (401, 405, 413, 429), f"{case.as_curl_command()}: {answer.text}"

    Requests(document(closed), BOTH, EXAMPLES_WITH_KEYS).try_all(tried)
    assert len(secured) > 30  # so many that it is about all of them
    assert rows(closed.database_url) == before


def test_no_request_with_a_narrow_key_does_more_than_it_may(closed: Door) -> None:
    keys = {slug: narrow_key(closed, slug) for slug in (None, "acme")}
    before = rows(closed.database_url)

    def tried(case: Case) -> None:
        for client_slug, key in keys.items():
            answer = send(closed.client, case, {"Authorization": f"Bearer {key}"})

            check(case, answer)
            assert client_slug is None or "of bolt" not in answer.text, case.as_curl_command()

    Requests(document(closed), BOTH, EXAMPLES_WITH_KEYS).try_all(tried)
    assert rows(closed.database_url) == before


def narrow_key(closed: Door, client_slug: str | None) -> str:
    order = {"name": "narrow", "scopes": ["read"], "client_slug": client_slug}
    made = closed.client.post("/keys", json=order, headers={"Authorization": f"Bearer {FIRST_KEY}"})
    return str(made.json()["key"])


def test_every_status_that_routes_answer_is_documented(door: Door) -> None:
    statuses = {
        (method, path): set(operation["responses"]) for path, item in document(door)["paths"].items()
        for method, operation in item.items()
    }  # fmt: skip
    assert statuses["post", "/workflows/{workflow_id}/execute"] >= {"200", "404", "413", "422", "503"}
    assert statuses["put", "/workflows/{workflow_id}"] >= {"200", "404", "412", "422", "428"}
    assert statuses["get", "/health/ready"] >= {"200", "503"}


def test_the_example_of_the_document_can_be_saved_and_run(door: Door) -> None:
    body = document(door)["paths"]["/workflows"]["post"]["requestBody"]["content"]["application/json"]
    before = rows(door.database_url)

    answer = door.client.post("/workflows/validate", json=body["examples"]["hello"]["value"])

    assert answer.json()["valid"] is True
    assert rows(door.database_url) == before
