"""Executions run again from where they failed, or from a node of choice; and two of them compared."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import Json, decision, execute, function, line, run, save, transform
from tests.api.test_control import nodes, status

INVERSE = transform("inverse", inverse="{{ 12 // context.net }}")


def chain(client: TestClient, execution_id: int) -> list[Json]:
    entries: list[Json] = client.get(f"/executions/{execution_id}/chain").json()["entries"]
    return entries


def counted(tmp_path: Path) -> Json:
    (tmp_path / "marks").mkdir()
    return {"folder": str(tmp_path / "marks")}


def test_a_retry_is_a_new_execution_from_the_failed_node_and_repeats_nothing(
    client: TestClient, tmp_path: Path
) -> None:
    context = counted(tmp_path)
    workflow_id = save(client, line(function("note_who_runs", "before"), function("fail_once", "flaky"), transform()))
    failed = execute(client, workflow_id, context).json()
    assert failed["error"]["node_id"] == "flaky"

    answer = client.post(f"/executions/{failed['id']}/retry")

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert (answer.json()["origin_id"], answer.json()["origin_node_id"]) == (failed["id"], "flaky")
    before = {entry["node_id"]: entry["id"] for entry in chain(client, failed["id"])}
    entries = chain(client, answer.json()["id"])
    assert [(entry["node_id"], entry["origin_attempt_id"]) for entry in entries] == [
        ("start", before["start"]), ("before", before["before"]), ("flaky", None), ("compute", None), ("end", None),
    ]  # fmt: skip
    marks = [path.name for path in (tmp_path / "marks").glob("1-*")]
    assert marks == [f"1-{failed['id']}"]
    assert status(client, failed["id"]) == "failed"


def test_what_has_not_failed_cannot_be_retried(client: TestClient) -> None:
    done = run(client, line()).json()["id"]

    assert client.post(f"/executions/{done}/retry").status_code == 409
    assert client.post("/executions/4711/retry").status_code == 404


@pytest.mark.parametrize("what", ["retry", "rerun"])
def test_the_same_request_with_the_same_key_starts_one_execution(client: TestClient, what: str) -> None:
    failed = run(client, line(INVERSE), {"net": 0}).json()["id"]
    body = {"from_node": "inverse", "context": {"net": 3}} if what == "rerun" else None

    def post(path: str = what, key: str = "again", body: Json | None = body) -> Any:
        return client.post(f"/executions/{failed}/{path}", json=body, headers={"Idempotency-Key": key})

    first, second = post(), post()
    another = post(key="another")

    assert (first.status_code, second.json()) == (200, first.json())
    assert another.json()["id"] != first.json()["id"]
    assert client.get("/executions").json()["total"] == 3


@pytest.mark.parametrize("since", ["archived", "without a node that ran"])
def test_the_same_request_with_the_same_key_has_the_same_answer_whatever_has_changed_since(
    client: TestClient, since: str
) -> None:
    workflow_id = save(client, line(transform("gone"), INVERSE, name="changing"))
    failed = execute(client, workflow_id, {"net": 0}).json()["id"]
    rerun = {"from_node": "inverse", "version": "latest", "context": {"net": 3}}

    def post(what: str, body: Json | None = None) -> Any:
        return client.post(f"/executions/{failed}/{what}", json=body, headers={"Idempotency-Key": what})

    first = [post("retry").json(), post("rerun", rerun).json()]
    if since == "archived":
        client.delete(f"/workflows/{workflow_id}", headers={"If-Match": "*"})
    else:
        client.put(f"/workflows/{workflow_id}", json=line(INVERSE, name="changing"), headers={"If-Match": "*"})
    again = [post("retry"), post("rerun", rerun)]
    other = post("rerun", rerun | {"version": "same"})

    assert [(answer.status_code, answer.json()) for answer in again] == [(200, answer) for answer in first]
    assert (other.status_code, other.json()["type"]) == (422, "urn:nova:problem:idempotency_key_reused")


@pytest.mark.parametrize("since", ["archived", "paused", "with other inputs"])
@pytest.mark.parametrize("query", ["", "?async_mode=true"], ids=["inline", "queued"])
def test_a_workflow_is_executed_once_for_a_key_whatever_has_changed_since(
    client: TestClient, query: str, since: str
) -> None:
    document = line(transform(x=1))
    workflow_id = save(client, document)
    here = f"/workflows/{workflow_id}"

    def post() -> Any:
        return client.post(f"{here}/execute{query}", headers={"Idempotency-Key": "once"})

    first = post()
    if since == "archived":
        client.delete(here, headers={"If-Match": "*"})
    elif since == "paused":
        client.patch(here, json={"paused": True})
    else:
        document["graph_definition"]["inputs"] = {"type": "object", "required": ["n"]}
        assert client.put(here, json=document, headers={"If-Match": "*"}).status_code == 200
    again = post()

    assert (again.status_code, again.json()["id"]) == (first.status_code, first.json()["id"])
    assert client.get("/executions").json()["total"] == 1


def test_a_key_that_came_with_another_request_is_refused(client: TestClient) -> None:
    workflow_id = save(client, line(INVERSE))
    key = {"Idempotency-Key": "once"}
    failed = execute(client, workflow_id, {"net": 0}, **key).json()["id"]
    rerun, other = ({"from_node": "inverse", "context": {"net": net}} for net in (1, 2))
    kept = client.post(f"/executions/{failed}/rerun", json=rerun, headers={"Idempotency-Key": "twice"}).json()["id"]

    refused = [
        (failed, client.post(f"/executions/{failed}/retry", headers=key)),
        (kept, client.post(f"/executions/{failed}/rerun", json=other, headers={"Idempotency-Key": "twice"})),
        (failed, execute(client, workflow_id, {"net": 1}, **key)),
    ]

    for execution_id, answer in refused:
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:nova:problem:idempotency_key_reused")
        assert str(execution_id) in answer.json()["detail"]
    assert client.get("/executions").json()["total"] == 2


def test_a_key_that_cannot_be_kept_is_refused(client: TestClient) -> None:
    failed = run(client, line(INVERSE), {"net": 0}).json()["id"]

    for key in ("", "k" * 201, "a\x7fb"):
        answer = client.post(f"/executions/{failed}/retry", headers={"Idempotency-Key": key})
        assert answer.status_code in (400, 422), key

    assert client.get("/executions").json()["total"] == 1


def test_a_rerun_begins_at_a_node_with_another_context(client: TestClient) -> None:
    first, second = (
        transform("double", double="{{ context.net * 2 }}"),
        transform("sum", sum="{{ context.double + 1 }}"),
    )
    done = run(client, line(first, second), {"net": 4}).json()["id"]

    answer = client.post(f"/executions/{done}/rerun", json={"from_node": "sum", "context": {"net": 9, "more": 1}})

    assert answer.json()["result"] == {"net": 9, "more": 1, "double": 8, "sum": 9}
    assert answer.json()["origin_node_id"] == "sum"
    taken = {entry["node_id"]: entry["origin_attempt_id"] is not None for entry in chain(client, answer.json()["id"])}
    assert taken == {"start": True, "double": True, "sum": False, "end": False}


def test_a_rerun_by_the_latest_version_stands_on_what_the_earlier_one_has_done(client: TestClient) -> None:
    document = line(transform("double", double="{{ context.net * 2 }}"), INVERSE, name="changing")
    workflow_id = save(client, document)
    failed = execute(client, workflow_id, {"net": 0}).json()["id"]
    mended = line(transform("double", double="{{ context.net * 3 }}"), transform("inverse", inverse=0), name="changing")
    client.put(f"/workflows/{workflow_id}", json=mended, headers={"If-Match": "*"})

    answer = client.post(f"/executions/{failed}/rerun", json={"from_node": "inverse", "version": "latest"})

    assert (answer.json()["status"], answer.json()["workflow_version"]) == ("completed", 2)
    assert answer.json()["result"] == {"net": 0, "double": 0, "inverse": 0}
    told = client.get(f"/executions/{failed}/diff/{answer.json()['id']}").json()
    assert (told["first"]["node_id"], told["first"]["why"]) == ("inverse", "code")


def test_what_does_not_fit_the_latest_version_is_named(client: TestClient) -> None:
    workflow_id = save(client, line(transform("gone"), transform("kept"), transform("last"), name="changing"))
    done = execute(client, workflow_id).json()["id"]
    changed = line(transform("new"), function("greet", "kept"), transform("last"), name="changing")
    client.put(f"/workflows/{workflow_id}", json=changed, headers={"If-Match": "*"})

    answer = client.post(f"/executions/{done}/rerun", json={"from_node": "last", "version": "latest"})

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:nova:problem:rerun_refused")
    told = [each["detail"] for each in answer.json()["errors"]]
    assert told == [
        "'gone' has run and is not in this version",
        "'kept' has run as transform, and is of kind function in this version",
    ]


@pytest.mark.parametrize("node", ["nothing", "no"])
def test_a_rerun_from_where_the_run_never_came_is_refused(client: TestClient, node: str) -> None:
    document = {
        "name": "branches",
        "nodes": [
            {"id": "start", "type": "start"},
            decision("true"),
            {"id": "yes", "type": "end"},
            {"id": "no", "type": "end"},
        ],
        "edges": [
            {"from": "start", "to": "ask"},
            {"from": "ask", "to": "yes", "condition": "true"},
            {"from": "ask", "to": "no", "condition": "false"},
        ],
    }
    done = run(client, document).json()["id"]

    answer = client.post(f"/executions/{done}/rerun", json={"from_node": node})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/from_node")


def test_a_rerun_of_a_rerun_knows_where_its_results_came_from(client: TestClient) -> None:
    done = run(client, line(transform("one"), transform("two"))).json()["id"]
    again = client.post(f"/executions/{done}/rerun", json={"from_node": "two"}).json()["id"]

    third = client.post(f"/executions/{again}/rerun", json={"from_node": "end"}).json()["id"]

    first = {entry["node_id"]: entry["id"] for entry in chain(client, done)}
    second = {entry["node_id"]: entry["id"] for entry in chain(client, again)}
    origins = {entry["node_id"]: entry["origin_attempt_id"] for entry in chain(client, third)}
    assert origins == {"start": first["start"], "one": first["one"], "two": second["two"], "end": None}
    assert nodes(client, third) == ["start", "one", "two", "end"]


def diff(client: TestClient, one: int, other: int) -> Json:
    answer = client.get(f"/executions/{one}/diff/{other}")
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def test_two_executions_part_where_their_input_differs(client: TestClient) -> None:
    workflow_id = save(client, line(transform("same", x=1), INVERSE, transform("after", y="{{ context.inverse }}")))
    one, other = (execute(client, workflow_id, {"net": net, "note": "a"}).json()["id"] for net in (3, 4))

    told = diff(client, one, other)

    assert told["first"] == {
        "node_id": "inverse", "why": "input", "keys": ["net"], "text": "inverse: its input differs in net.",
    }  # fmt: skip
    assert told["initial_context"] == ["net"]
    assert [(node["node_id"], node["differs"]) for node in told["nodes"]] == [
        ("start", False), ("same", False), ("inverse", True), ("after", True), ("end", False),
    ]  # fmt: skip


def test_the_same_input_may_give_another_output(client: TestClient) -> None:
    workflow_id = save(client, line(function("count_up", "count")))
    one, other = (execute(client, workflow_id).json()["id"] for _ in range(2))

    first = diff(client, one, other)["first"]

    assert (first["node_id"], first["why"], first["keys"]) == ("count", "output", ["count"])


def test_an_execution_does_not_differ_from_itself(client: TestClient) -> None:
    done = run(client, line(INVERSE), {"net": 3}).json()["id"]

    told = diff(client, done, done)

    assert (told["first"], told["differences"], told["initial_context"]) == (None, [], [])
