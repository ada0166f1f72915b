"""`inputs` of a definition: a JSON Schema of what a run is given."""

import pytest
from starlette.testclient import TestClient

from tests.api.door import Json, execute, line, save, transform


def asking(**schema: object) -> Json:
    document = line(transform(seen="{{ context.pages }}"))
    document["graph_definition"]["inputs"] = schema
    return document


PAGES = asking(type="object", required=["pages"], properties={"pages": {"type": "integer", "minimum": 1}})


def test_a_context_that_is_what_the_workflow_asks_for_is_run(client: TestClient) -> None:
    answer = execute(client, save(client, PAGES), {"pages": 3})

    assert answer.json()["result"]["seen"] == 3


@pytest.mark.parametrize("context", [{}, {"pages": 0}, {"pages": "3"}])
def test_another_context_is_refused_and_nothing_is_written(client: TestClient, context: Json) -> None:
    workflow_id = save(client, PAGES)

    answer = execute(client, workflow_id, context)

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:nova:problem:inputs_refused"
    assert answer.json()["errors"][0]["pointer"].startswith("/initial_context")
    assert client.get("/executions").json()["total"] == 0


@pytest.mark.parametrize("inputs", [7, {"type": "nonsense"}, {"properties": {"a": {"pattern": "(a+)+$"}}}])
def test_a_schema_that_is_none_is_refused_at_its_place(client: TestClient, inputs: object) -> None:
    document = line(transform(x=1))
    document["graph_definition"]["inputs"] = inputs

    answer = client.post("/workflows/validate", json=document).json()

    assert [problem["pointer"] for problem in answer["errors"]] == ["/graph_definition/inputs"]
