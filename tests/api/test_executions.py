"""`/executions` and `/tasks`: runs looked at, always from their rows."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import Background, decision, execute, function, line, run, save, serving, transform
from tests.api.functions import GATE

SUMMARY = {
    "id", "task_id", "workflow_id", "workflow_version", "client_id", "status", "mode", "error", "execution_time",
    "created_at", "started_at", "completed_at", "waiting_for", "wake_at", "schedule_id", "fire_at", "parent_id",
    "parent_node_id", "parent_item", "origin_id", "origin_node_id",
}  # fmt: skip


def ids(answer: Any) -> list[int]:
    return [execution["id"] for execution in answer.json()["executions"]]


def test_executions_are_listed_newest_first_without_contexts(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    made = [execute(client, workflow_id).json()["id"] for _ in range(3)]

    answer = client.get("/executions")

    assert ids(answer) == sorted(made, reverse=True)
    assert answer.json()["total"] == 3
    assert answer.json()["executions"][0].keys() == SUMMARY


def test_a_list_is_read_in_pages(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    made = sorted((execute(client, workflow_id).json()["id"] for _ in range(5)), reverse=True)

    pages = [
        ids(client.get("/executions", params={"limit": 2})),
        ids(client.get("/executions", params={"limit": 2, "skip": 2})),
        ids(client.get("/executions", params={"limit": 2, "before": made[3]})),
        ids(client.get("/executions", params={"skip": 5})),
    ]

    assert pages == [made[:2], made[2:4], made[4:], []]


def test_a_list_is_filtered_by_workflow_and_status(client: TestClient) -> None:
    good = run(client, line(transform(x=1), name="good")).json()
    bad = run(client, line(function("fail"), name="bad")).json()

    by_workflow = client.get("/executions", params={"workflow_id": good["workflow_id"]})
    by_status = client.get("/executions", params={"status": "failed"})
    by_both = client.get("/executions", params={"workflow_id": good["workflow_id"], "status": "failed"})

    assert (ids(by_workflow), by_workflow.json()["total"]) == ([good["id"]], 1)
    assert (ids(by_status), by_status.json()["total"]) == ([bad["id"]], 1)
    assert by_status.json()["executions"][0]["error"]["type"] == "ValueError"
    assert by_both.json() == {"executions": [], "total": 0}


def test_a_list_is_filtered_by_what_an_execution_comes_from(client: TestClient) -> None:
    client.post("/clients", json={"slug": "acme"})
    inner = line(transform(x=1))["graph_definition"]
    each = {"id": "each", "type": "map", "items": "[1, 2]", "graph": inner}
    workflow_id = save(client, line(each))
    ours = client.post(f"/workflows/{workflow_id}/execute", json={"client_slug": "acme"}).json()
    other = execute(client, workflow_id).json()
    again = client.post(f"/executions/{other['id']}/rerun", json={"from_node": "each"}).json()

    def found(**wanted: Any) -> list[int]:
        return ids(client.get("/executions", params=wanted))

    assert found(top_level=True) == [again["id"], other["id"], ours["id"]]
    assert found(origin_id=other["id"]) == [again["id"]]
    assert found(client_id=ours["client_id"], top_level=True) == [ours["id"]]
    assert len(found(client_id=ours["client_id"])) == 3  # its items are its client's
    assert len(found(parent_id=other["id"])) == 2
    assert found(parent_id=other["id"], top_level=True) == found(client_id=4711) == []


def test_a_list_is_filtered_by_the_type_of_the_error(client: TestClient) -> None:
    failed = run(client, line(function("fail"))).json()
    run(client, line(transform(x=1), name="good"))

    def found(**wanted: Any) -> list[int]:
        return ids(client.get("/executions", params=wanted))

    assert found(error_type="ValueError") == [failed["id"]]
    assert found(error_type="TypeError") == found(error_type="ValueError", status="completed") == []
    assert found(error_type="'; --\x00") == []


def test_a_list_is_filtered_by_time_and_read_on_by_time(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    made = [execute(client, workflow_id).json() for _ in range(4)]
    at = [each["created_at"] for each in made]

    def found(**wanted: Any) -> list[int]:
        return ids(client.get("/executions", params=wanted))

    first, second, third, last = (each["id"] for each in made)
    assert found(created_from=at[1]) == [last, third, second]
    assert found(created_from=at[1], created_before=at[3]) == [third, second]
    assert found(created_before=at[1].replace("Z", "+00:00")) == [first]
    assert found(created_from=at[0], before=third) == [second, first]
    assert found(created_from=at[3], created_before=at[1]) == found(created_from=at[0], before=first) == []


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "0001-01-01T00:00:00+10:00", ""])
def test_what_is_no_moment_is_refused(client: TestClient, moment: str) -> None:
    answer = client.get("/executions", params={"created_from": moment})

    assert answer.status_code == 422
    expected = "query parameter created_from: expected a moment such as 2026-01-31T12:00:00Z"
    assert [each["detail"] for each in answer.json()["errors"]] == [expected]


def test_a_list_is_counted_no_further_than_asked_for(client: TestClient) -> None:
    workflow_id = save(client, line(transform(x=1)))
    for _ in range(3):
        execute(client, workflow_id)

    counts = [client.get("/executions", params={"count_to": most}).json()["total"] for most in (1, 2, 3, 500)]

    assert counts == [1, 2, 3, 3]


@pytest.mark.parametrize(
    "path", ["/executions/4711", "/executions/4711/chain", "/tasks/1b4e28ba-2fa1-41d2-883f-0016d3cca427", "/tasks/x"]
)
def test_what_is_not_there_is_not_found(door: Any, path: str) -> None:
    answer = door.client.get(path)

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:nova:problem:not_found")


def test_the_chain_shows_each_attempt_with_the_context_that_its_node_saw(client: TestClient) -> None:
    document = line(transform("first", a=1), function("greet", "second"), transform("third", b="{{ context.a }}"))
    execution = run(client, document, {"name": "Ada"}).json()

    chain = client.get(f"/executions/{execution['id']}/chain").json()

    assert chain.keys() == {"execution_id", "entries", "total"}
    assert (chain["execution_id"], chain["total"]) == (execution["id"], 5)
    seen = [(entry["node_id"], entry["input_context"], entry["output_result"]) for entry in chain["entries"]]
    greeted = {"name": "Ada", "a": 1, "greeting": "Hello, Ada!"}
    assert seen == [
        ("start", {"name": "Ada"}, {}),
        ("first", {"name": "Ada"}, {"a": 1}),
        ("second", {"name": "Ada", "a": 1}, {"greeting": "Hello, Ada!"}),
        ("third", greeted, {"b": 1}),
        ("end", {**greeted, "b": 1}, {}),
    ]


def test_the_chain_tells_which_branch_was_taken(client: TestClient) -> None:
    document = line(decision("context.n > 1"), transform("high", way="high"))
    graph = document["graph_definition"]
    graph["edges"][1]["condition"] = "true"
    graph["edges"].append({"from": "ask", "to": "end"})
    workflow_id = save(client, document)

    chains = []
    for number in (2, 0):
        execution = execute(client, workflow_id, {"n": number}).json()
        chains.append(client.get(f"/executions/{execution['id']}/chain").json()["entries"])

    taken = [(chain[1]["decision_result"], chain[1]["path_taken"], len(chain)) for chain in chains]
    assert taken == [("true", "true", 4), ("false", "default", 3)]


def test_the_chain_tells_how_an_attempt_failed(client: TestClient) -> None:
    execution = run(client, line(function("fail"))).json()

    entry = client.get(f"/executions/{execution['id']}/chain").json()["entries"][-1]

    assert (entry["status"], entry["error_type"], entry["error_class"]) == ("failed", "ValueError", "permanent")
    assert entry["error_message"] == "the supplier does not answer"
    assert entry["execution_time"] > 0
    assert entry["output_result"] is None


def test_a_chain_of_many_nodes_with_a_big_context_is_not_multiplied(client: TestClient) -> None:
    nodes = [transform(f"n{place}", n=place) for place in range(100)]
    execution = run(client, line(*nodes), {"letter": "x" * 200_000}).json()

    answer = client.get(f"/executions/{execution['id']}/chain")

    assert answer.status_code == 200
    assert len(answer.content) < 5_000_000, "the context of each of 100 nodes is in the answer"


@pytest.mark.parametrize(("name", "word"), [("greet", "SUCCESS"), ("fail", "FAILURE")])
def test_a_task_is_a_run_in_the_words_of_celery(client: TestClient, name: str, word: str) -> None:
    execution = run(client, line(function(name))).json()

    task = client.get(f"/tasks/{execution['task_id']}").json()

    assert task.keys() == {"task_id", "status", "execution_id", "result", "error"}
    assert task["status"] == word
    assert task["execution_id"] == execution["id"]
    assert (task["result"], task["error"]) == (execution["result"], execution["error"])


def test_a_run_under_way_is_a_task_that_has_started(database_url: str, gate: None) -> None:
    with serving(database_url) as client:
        workflow_id = save(client, line(function("wait_at_gate")))
        underway = Background(lambda: execute(client, workflow_id))
        assert GATE.reached.acquire(timeout=20)

        execution = client.get("/executions").json()["executions"][0]
        task = client.get(f"/tasks/{execution['task_id']}").json()
        whole = client.get(f"/executions/{execution['id']}").json()
        GATE.opened.set()
        ended = underway.answer().json()

    assert (execution["status"], task["status"]) == ("running", "STARTED")
    assert (task["result"], whole["result"], whole["completed_at"]) == (None, None, None)
    assert (ended["id"], ended["status"]) == (execution["id"], "completed")
