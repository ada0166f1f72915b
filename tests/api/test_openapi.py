"""Requests made from the OpenAPI document, right and wrong: no server error, no answer that it does not document."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core import NOT_SET
from schemathesis.core.result import Ok

from tests.api.conftest import Door
from tests.api.door import Json, execute, function, line, rows, save, serving, transform

Case = schemathesis.Case[Any]
EXAMPLES = 15
"""For each operation, each way of making requests and each database: about 20 s in all."""
EXAMPLES_WITH_KEYS = 3
"""For each operation and each key; on SQLite alone, for no key is asked about a database."""
FIRST_KEY = "the-first-key-of-these-tests"


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_makes_a_server_error_or_an_undocumented_answer(door: Door, mode: GenerationMode) -> None:
    save_something(door)

    for_all_requests(door, [mode], EXAMPLES, lambda case: check(case, send(door, case)))


def for_all_requests(door: Door, modes: list[GenerationMode], examples: int, tried: Callable[[Case], None]) -> None:
    schema = schemathesis.openapi.from_dict(door.client.get("/openapi.json").json())
    operations: list[Any] = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    strategies = [operation.as_strategy(generation_mode=mode) for operation in operations for mode in modes]

    @hypothesis.given(case=st.one_of(strategies))
    @hypothesis.settings(
        max_examples=examples * len(operations),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def each(case: Case) -> None:
        tried(case)

    each()


def check(case: Case, answer: Any) -> None:
    assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"
    if answer.status_code != 405:  # a route that there is not cannot be documented
        case.operation.validate_response(answer)


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


BOTH = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["no key", "a wrong key"])
def test_no_request_without_a_right_key_does_anything(closed: Door, headers: Json) -> None:
    before = rows(closed.database_url)
    secured = set()

    def tried(case: Case) -> None:
        answer = send(closed, case, headers)

        check(case, answer)
        if "security" in case.operation.definition.raw:
            secured.add(case.operation.label)
            assert answer.status_code in (401, 405, 413, 429), f"{case.as_curl_command()}: {answer.text}"

    for_all_requests(closed, BOTH, EXAMPLES_WITH_KEYS, tried)
    assert len(secured) > 30  # so many that it is about all of them
    assert rows(closed.database_url) == before


@pytest.mark.parametrize("client_slug", [None, "acme"])
def test_no_request_with_a_narrow_key_does_more_than_it_may(closed: Door, client_slug: str | None) -> None:
    order = {"name": "narrow", "scopes": ["read"], "client_slug": client_slug}
    made = closed.client.post("/keys", json=order, headers={"Authorization": f"Bearer {FIRST_KEY}"}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    before = rows(closed.database_url)

    def tried(case: Case) -> None:
        answer = send(closed, case, headers)

        check(case, answer)
        assert client_slug is None or "of bolt" not in answer.text, case.as_curl_command()

    for_all_requests(closed, BOTH, EXAMPLES_WITH_KEYS, tried)
    assert rows(closed.database_url) == before


def send(door: Door, case: Case, given: Json | None = None) -> Any:
    body: Any = {} if case.body is NOT_SET else {"content" if isinstance(case.body, bytes) else "json": case.body}
    headers = {name.encode(): str(value).encode(errors="replace") for name, value in (case.headers or {}).items()}
    if given is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != b"authorization"}
        headers |= {name.encode(): value.encode() for name, value in given.items()}
    return door.client.request(case.method, case.formatted_path, params=case.query or None, headers=headers, **body)


def save_something(door: Door) -> None:
    listed = door.client.get("/workflows").json()["total"]
    if not listed:
        execute(door.client, save(door.client, line(transform(x=1), function("greet"))))


def test_every_status_that_routes_answer_is_documented(door: Door) -> None:
    document = door.client.get("/openapi.json").json()

    statuses = {
        (method, path): set(operation["responses"]) for path, item in document["paths"].items()
        for method, operation in item.items()
    }  # fmt: skip
    assert statuses["post", "/workflows/{workflow_id}/execute"] >= {"200", "404", "413", "422", "503"}
    assert statuses["put", "/workflows/{workflow_id}"] >= {"200", "404", "412", "422", "428"}
    assert statuses["get", "/health/ready"] >= {"200", "503"}


def test_the_example_of_the_document_can_be_saved_and_run(door: Door) -> None:
    document = door.client.get("/openapi.json").json()
    body = document["paths"]["/workflows"]["post"]["requestBody"]["content"]["application/json"]
    before = rows(door.database_url)

    answer = door.client.post("/workflows/validate", json=body["examples"]["hello"]["value"])

    assert answer.json()["valid"] is True
    assert rows(door.database_url) == before
