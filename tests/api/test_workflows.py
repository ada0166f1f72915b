"""`/workflows`: definitions are saved in versions, changed only by who has read them, and archived, never lost."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import action, decision, execute, function, line, rows, save, transform

Json = dict[str, Any]


def pointers(answer: Any) -> set[str]:
    return {found["pointer"] for found in answer.json()["errors"]}


# Saving.


def test_a_workflow_is_created_at_version_one(client: TestClient) -> None:
    document = line(transform(x=1), name="orders", description="Counts.", initial_context={"a": 1})

    answer = client.post("/workflows", json=document)

    assert answer.status_code == 201
    workflow = answer.json()
    assert answer.headers["Location"] == f"/workflows/{workflow['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert workflow.keys() == {
        "id", "name", "description", "client_id", "version", "graph_definition", "initial_context", "created_at",
        "updated_at", "paused_at",
    }  # fmt: skip
    assert (workflow["name"], workflow["description"], workflow["version"]) == ("orders", "Counts.", 1)
    assert workflow["initial_context"] == {"a": 1}
    assert workflow["graph_definition"] == document["graph_definition"]


def test_what_is_read_is_what_was_saved(client: TestClient) -> None:
    created = client.post("/workflows", json=line(transform(x=1)))

    read = client.get(created.headers["Location"])

    assert read.json() == created.json()
    assert read.headers["ETag"] == created.headers["ETag"]


def test_a_definition_may_come_bare_and_as_react_flow(client: TestClient) -> None:
    bare = {**line(transform(x=1))["graph_definition"], "name": "bare"}
    flow = {
        "name": "flow",
        "nodes": [
            {"id": "a", "type": "input", "position": {"x": 0, "y": 0}, "data": {"label": "In"}},
            {"id": "b", "type": "transform", "position": {"x": 1, "y": 0}, "data": {"set": {"x": 1}}},
            {"id": "c", "type": "output", "position": {"x": 2, "y": 0}, "data": {}},
        ],
        "edges": [{"id": "1", "source": "a", "target": "b"}, {"id": "2", "source": "b", "target": "c"}],
        "viewport": {"x": 0, "y": 0, "zoom": 1},
    }

    results = [execute(client, save(client, document)).json()["result"] for document in (bare, flow)]

    assert results == [{"x": 1}, {"x": 1}]


def test_what_was_read_in_another_sense_is_told_as_a_warning(client: TestClient) -> None:
    document = line(action("context['x'] = 1", prompt="Find x"))

    answer = client.post("/workflows", json=document)

    assert answer.status_code == 201
    assert [found["pointer"] for found in answer.json()["warnings"]] == ["/graph_definition/nodes/1/prompt"]


def test_a_call_of_a_workflow_that_is_not_there_yet_is_told_as_a_warning(client: TestClient) -> None:
    callee = {"id": "call", "type": "workflow", "workflow": "later"}
    inner = line({"id": "deep", "type": "map", "items": "[]", "workflow": "deeper"})["graph_definition"]
    document = line(
        callee,
        {"id": "each", "type": "map", "items": "[]", "graph": inner},
        {"id": "by id", "type": "workflow", "workflow": 10**30},
        {"id": "self", "type": "workflow", "workflow": "caller"},
        {"id": "any", "type": "workflow", "workflow": "{{ context.which }}"},
        name="caller",
    )

    before = client.post("/workflows/validate", json=document).json()["warnings"]
    save(client, line(name="later"))
    saved = client.post("/workflows", json=document)

    nodes = "/graph_definition/nodes"
    later, deeper, by_id = (
        f"{nodes}/1/workflow", f"{nodes}/2/graph/nodes/1/workflow", f"{nodes}/3/workflow",
    )  # fmt: skip
    assert [each["pointer"] for each in before] == [later, deeper, by_id]
    assert before[0]["detail"] == "there is no workflow 'later': until there is one, this node fails"
    assert saved.status_code == 201
    assert [each["pointer"] for each in saved.json()["warnings"]] == [deeper, by_id]


@pytest.mark.parametrize("kind", ["llm", "agent"])
def test_a_tool_that_is_not_there_is_warned_of(client: TestClient, kind: str) -> None:
    node = {"id": "ask", "type": kind, "prompt": "Well?", "tools": ["later", {"workflow": "never"}]}

    warnings = client.post("/workflows/validate", json=line(node)).json()["warnings"]

    tools = "/graph_definition/nodes/1/tools"
    assert {f"{tools}/0", f"{tools}/1/workflow"} <= {each["pointer"] for each in warnings}


def test_a_number_that_no_id_can_be_is_refused_where_it_stands(client: TestClient) -> None:
    workflow_id = save(client, line())
    document = line({"id": "call", "type": "workflow", "workflow": -(10**30)})

    answers = [
        client.post("/workflows", json=document),
        client.put(f"/workflows/{workflow_id}", json=document, headers={"If-Match": "*"}),
        client.post("/workflows/validate", json=document),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 200]
    told = [answer.json()["errors"] for answer in answers]
    assert [[each["pointer"] for each in errors] for errors in told] == [["/graph_definition/nodes/1/workflow"]] * 3


@pytest.mark.parametrize(
    "name",
    ["x", "x" * 200, "Größe 😀", "\u202eabc\u200f", "'; DROP TABLE workflows; --", "<script>alert(1)</script>", "../a"],
)
def test_a_name_is_any_text_of_up_to_200_characters(client: TestClient, name: str) -> None:
    workflow_id = save(client, line(transform(x=1), name=name))

    assert client.get(f"/workflows/{workflow_id}").json()["name"] == name


def test_a_name_that_is_taken_is_refused(client: TestClient, database_url: str) -> None:
    save(client, line(transform(x=1), name="twice"))
    before = rows(database_url)

    answer = client.post("/workflows", json=line(transform(x=2), name="twice"))

    assert (answer.status_code, answer.json()["type"]) == (400, "urn:nova:problem:duplicate_name")
    assert rows(database_url) == before


# Changing.


def test_saving_what_stands_there_makes_no_version(client: TestClient, database_url: str) -> None:
    workflow_id = save(client, line(transform(x=1)))
    before = rows(database_url)

    answer = client.put(f"/workflows/{workflow_id}", json=line(transform(x=1)), headers={"If-Match": '"1"'})

    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    assert rows(database_url) == before


@pytest.mark.parametrize(("old", "new"), [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_values_that_only_python_takes_for_equal_are_a_change(client: TestClient, old: Any, new: Any) -> None:
    workflow_id = save(client, line(transform(x=old)))

    client.put(f"/workflows/{workflow_id}", json=line(transform(x=new)), headers={"If-Match": '"1"'})

    result = execute(client, workflow_id).json()["result"]
    assert json.dumps(result) == json.dumps({"x": new})


def test_saving_again_makes_another_version(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))

    answer = client.put(f"/workflows/{workflow_id}", json=line(transform(x=2)), headers={"If-Match": '"1"'})

    assert answer.status_code == 200
    assert (answer.json()["version"], answer.headers["ETag"]) == (2, '"2"')
    listed = client.get(f"/workflows/{workflow_id}/versions").json()
    assert listed["total"] == 2
    assert [version["version"] for version in listed["versions"]] == [2, 1]
    assert listed["versions"][1]["graph_definition"] == line(transform(x=1))["graph_definition"]
    assert len({version["sha256"] for version in listed["versions"]}) == 2


def test_a_version_keeps_the_name_where_the_document_has_none(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1), name="kept"))
    document = line(transform(x=2))
    del document["name"]

    answer = client.put(f"/workflows/{workflow_id}", json=document, headers={"If-Match": "*"})

    assert answer.json()["name"] == "kept"


def test_a_workflow_cannot_take_the_name_of_another(client: TestClient, database_url: str) -> None:
    save(client, line(transform(x=1), name="mine"))
    workflow_id = save(client, line(transform(x=1), name="yours"))
    before = rows(database_url)

    document = line(transform(x=1), name="mine")
    answer = client.put(f"/workflows/{workflow_id}", json=document, headers={"If-Match": "*"})

    assert answer.status_code == 400
    assert rows(database_url) == before


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 428, "if_match_needed"),
        ({"If-Match": '"2"'}, 412, "version_mismatch"),
        ({"If-Match": '"0"'}, 412, "version_mismatch"),
        ({"If-Match": "1"}, 412, "version_mismatch"),
        ({"If-Match": "nonsense"}, 412, "version_mismatch"),
        ({"If-Match": ""}, 412, "version_mismatch"),
        ({"If-Match": '"' + "9" * 500 + '"'}, 412, "version_mismatch"),
        ({"If-Match": '"\u0661"'.encode()}, 412, "version_mismatch"),
    ],
)
def test_a_change_needs_the_etag_that_was_read(
    door: Any, method: str, headers: dict[str, str], status: int, code: str
) -> None:
    name = f"guarded {method} {status} {headers!r}"[:200]
    workflow_id = save(door.client, line(transform(x=1), name=name))
    before = rows(door.database_url)

    answer = door.client.request(
        method, f"/workflows/{workflow_id}", json=line(transform(x=2), name=name), headers=headers
    )

    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:nova:problem:{code}")
    assert rows(door.database_url) == before
    assert door.client.get(f"/workflows/{workflow_id}").headers["ETag"] == '"1"'


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', ' "1" ', "*"])
def test_the_etag_that_was_read_lets_a_change_through(client: TestClient, tag: str) -> None:
    workflow_id = save(client, line(transform(x=1)))

    answer = client.put(f"/workflows/{workflow_id}", json=line(transform(x=2)), headers={"If-Match": tag})

    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_workflow_is_not_found_before_its_etag_is_asked_for(door: Any, method: str) -> None:
    answer = door.client.request(method, "/workflows/987654", json=line(transform(x=1)))

    assert answer.status_code == 404


# Archiving.


def test_an_archived_workflow_is_gone_and_its_name_free(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1), name="again"))

    answer = client.delete(f"/workflows/{workflow_id}", headers={"If-Match": '"1"'})

    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"/workflows/{workflow_id}").status_code == 404
    assert client.get(f"/workflows/{workflow_id}/versions").status_code == 404
    assert execute(client, workflow_id).status_code == 404
    assert client.get("/workflows").json() == {"workflows": [], "total": 0}
    assert save(client, line(transform(x=1), name="again")) != workflow_id


def test_the_executions_of_an_archived_workflow_stay(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    execution = execute(client, workflow_id).json()

    client.delete(f"/workflows/{workflow_id}", headers={"If-Match": "*"})

    assert client.get(f"/executions/{execution['id']}").json() == execution
    assert client.get(f"/executions/{execution['id']}/chain").json()["total"] == 3


def test_archiving_twice_is_not_found(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    client.delete(f"/workflows/{workflow_id}", headers={"If-Match": "*"})

    answer = client.delete(f"/workflows/{workflow_id}", headers={"If-Match": "*"})

    assert answer.status_code == 404


# Listing.


def test_workflows_are_listed_newest_first_without_their_graphs(client: TestClient) -> None:
    for name in ("one", "two", "three"):
        save(client, line(transform(x=1), name=name))

    page = client.get("/workflows", params={"limit": 2}).json()
    rest = client.get("/workflows", params={"limit": 2, "skip": 2}).json()

    assert [workflow["name"] for workflow in page["workflows"]] == ["three", "two"]
    assert [workflow["name"] for workflow in rest["workflows"]] == ["one"]
    assert page["total"] == rest["total"] == 3
    assert "graph_definition" not in page["workflows"][0]


# Validating.


def test_validating_saves_nothing(client: TestClient, database_url: str) -> None:
    before = rows(database_url)

    answer = client.post("/workflows/validate", json=line(transform(x=1)))

    assert answer.json() == {"valid": True, "errors": [], "warnings": []}
    assert rows(database_url) == before


def test_validating_needs_no_name(client: TestClient) -> None:
    document = line(transform(x=1))["graph_definition"]

    assert client.post("/workflows/validate", json=document).json()["valid"] is True


def test_validating_answers_with_every_problem(client: TestClient) -> None:
    document = line(function("unknown"), action("x = ("))

    answer = client.post("/workflows/validate", json=document)

    assert answer.status_code == 200
    assert answer.json()["valid"] is False
    assert pointers(answer) == {"/graph_definition/nodes/1/function", "/graph_definition/nodes/2/code"}


# Refusing: every problem at once, each with its place in the document as it was sent.

BROKEN: Json = {
    "nodes": [
        {"id": "start", "type": "start", "colour": "red"},
        {"id": "again", "type": "start"},
        {"id": "again", "type": "end"},
        {"id": "think", "type": "dream"},
        {"id": "work", "type": "action", "code": "a = 1\nb = (", "timeout": -1},
        {"id": "call", "type": "function", "function": "unknown"},
        {"id": "compute", "type": "transform", "set": {"x": "{{ contxt.x }}"}},
        {"id": "ask", "type": "decision"},
        {"id": "", "type": "end"},
        {"id": "far", "type": "end", "retry": {"max_attempts": 0}},
    ],
    "edges": [
        {"from": "start", "to": "nowhere"},
        {"from": "start", "to": "work", "condition": 7},
        {"from": "work"},
        {"from": "call", "to": "far", "colour": "red"},
    ],
}
BROKEN_AT = {
    "/nodes/0/colour",
    "/nodes/1",
    "/nodes/2/id",
    "/nodes/3/type",
    "/nodes/4/code",
    "/nodes/4/timeout",
    "/nodes/5/function",
    "/nodes/6/set/x",
    "/nodes/7",
    "/nodes/8/id",
    "/nodes/9/retry/max_attempts",
    "/edges/0/to",
    "/edges/1/condition",
    "/edges/2/to",
    "/edges/3/colour",
}


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_every_problem_of_a_definition_is_listed_where_it_stands(door: Any, method: str) -> None:
    workflow_id = save(door.client, line(transform(x=1), name=f"to break by {method}"))
    before = rows(door.database_url)
    path = "/workflows" if method == "POST" else f"/workflows/{workflow_id}"

    answer = door.client.request(
        method, path, json={"name": "broken", "graph_definition": BROKEN}, headers={"If-Match": "*"}
    )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:nova:problem:invalid_definition"
    assert pointers(answer) >= {f"/graph_definition{pointer}" for pointer in BROKEN_AT}
    assert rows(door.database_url) == before


def test_problems_of_a_bare_definition_point_into_the_bare_document(door: Any) -> None:
    answer = door.client.post("/workflows", json={"name": "broken", **BROKEN})

    assert pointers(answer) >= BROKEN_AT


def test_problems_of_a_react_flow_document_point_into_it(door: Any) -> None:
    flow = {
        "name": "flow",
        "nodes": [
            {"id": "a", "type": "input", "data": {}},
            {"id": "b", "type": "action", "data": {"code": "x = ("}},
            {"id": "c", "type": "transform", "data": {"set": {"x": "{{ }}"}, "tiemout": 1}},
            {"id": "d", "type": "output", "data": {}},
        ],
        "edges": [
            {"source": "a", "target": "b"},
            {"source": "b", "target": "c"},
            {"source": "c", "target": "nowhere"},
            {"source": "a", "target": "d", "sourceHandle": "true"},
        ],
        "viewport": {},
    }

    answer = door.client.post("/workflows", json=flow)

    assert pointers(answer) >= {
        "/nodes/1/data/code",
        "/nodes/2/data/set/x",
        "/nodes/2/data/tiemout",
        "/edges/2/target",
        "/edges/3/sourceHandle",
    }


def test_every_bad_template_of_a_node_is_listed(door: Any) -> None:
    document = line(transform(one="{{ foo }}", two="fine", three="{{ bar() }}"), name="templates")

    answer = door.client.post("/workflows", json=document)

    details = " ".join(found["detail"] for found in answer.json()["errors"])
    assert answer.status_code == 422
    assert "foo" in details
    assert "can be called" in details


def test_a_cycle_is_named_node_by_node(door: Any) -> None:
    document = line(transform("a", x=1), transform("b", x=1))
    document["graph_definition"]["edges"].append({"from": "b", "to": "a"})

    answer = door.client.post("/workflows", json=document)

    assert answer.status_code == 422
    assert any(
        "a -> b -> a" in found["detail"] or "b -> a -> b" in found["detail"] for found in answer.json()["errors"]
    )


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"name": "x"}, ""),
        ({"name": "x", "graph_definition": []}, "/graph_definition"),
        ({"name": "x", "graph_definition": {"nodes": {}, "edges": []}}, "/graph_definition/nodes"),
        ({"name": "x", "graph_definition": {"nodes": [], "edges": []}}, "/graph_definition/nodes"),
        ({"name": "x", "graph_definition": {"nodes": [1]}}, "/graph_definition/nodes/0"),
        ({**line(transform(x=1)), "initial_context": []}, "/initial_context"),
        ({**line(transform(x=1)), "description": 1}, "/description"),
        ({**line(transform(x=1)), "name": ""}, "/name"),
        ({**line(transform(x=1)), "name": " \u2003"}, "/name"),
        ({**line(transform(x=1)), "name": "x" * 10_000}, "/name"),
        ({**line(transform(x=1)), "name": None}, "/name"),
        ({**line(transform(x=1)), "name": 5}, "/name"),
        ({**line(transform(x=1)), "name": "a\x00b"}, "/name"),
        ({**line(transform(x=1)), "name": "\ud800"}, "/name"),
        (line(transform("n" * 201, x=1)), "/graph_definition/nodes/1/id"),
        (line(transform("a\x00", x=1)), "/graph_definition/nodes/1/id"),
        (line({"id": "compute", "type": "transform", "set": {"a\x00": 1}}), "/graph_definition/nodes/1/set/a\x00"),
        (line(decision("1 +")), "/graph_definition/nodes/1/expression"),
        (line({**decision("1"), "code": "1"}), "/graph_definition/nodes/1"),
        (line(action("pass", memory_mb=1)), "/graph_definition/nodes/1/memory_mb"),
        (line(action("pass", timeout=1e9)), "/graph_definition/nodes/1/timeout"),
        (line(action("pass", label=5)), "/graph_definition/nodes/1/label"),
    ],
)
def test_a_document_that_is_no_workflow_is_refused_where_it_is_wrong(door: Any, document: Json, pointer: str) -> None:
    before = rows(door.database_url)

    answer = door.client.post("/workflows", content=encoded(document), headers={"Content-Type": "application/json"})

    assert answer.status_code == 422, answer.text
    assert pointer in pointers(answer)
    assert rows(door.database_url) == before


def test_an_answer_lists_no_more_than_a_hundred_problems(door: Any) -> None:
    document = {"name": "x", "graph_definition": {"nodes": [{"id": f"{n}", "type": "?"} for n in range(5_000)]}}

    answers = [door.client.post(path, json=document) for path in ("/workflows", "/workflows/validate")]

    assert answers[0].status_code == 422
    assert all(len(answer.json()["errors"]) <= 101 for answer in answers)


def encoded(document: Json) -> bytes:
    """As JSON with every odd character escaped, lone surrogates too."""
    return json.dumps(document).encode()
