"""Requests made from the OpenAPI document, right and wrong: no server error, no answer that it does not document."""

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
from tests.api.door import execute, function, line, rows, save, transform

Case = schemathesis.Case[Any]
EXAMPLES = 15
"""For each operation, each way of making requests and each database: about 20 s in all."""


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_makes_a_server_error_or_an_undocumented_answer(door: Door, mode: GenerationMode) -> None:
    save_something(door)
    schema = schemathesis.openapi.from_dict(door.client.get("/openapi.json").json())
    operations: list[Any] = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    strategies = [operation.as_strategy(generation_mode=mode) for operation in operations]

    @hypothesis.given(case=st.one_of(strategies))
    @hypothesis.settings(
        max_examples=EXAMPLES * len(strategies),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Case) -> None:
        answer = send(door, case)

        assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"
        if answer.status_code != 405:  # a route that there is not cannot be documented
            case.operation.validate_response(answer)

    check()


def send(door: Door, case: Case) -> Any:
    body: Any = {} if case.body is NOT_SET else {"content" if isinstance(case.body, bytes) else "json": case.body}
    headers = {name.encode(): str(value).encode(errors="replace") for name, value in (case.headers or {}).items()}
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
