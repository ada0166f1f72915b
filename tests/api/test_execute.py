"""`POST /workflows/{id}/execute`: the run inside the request, and its answer, which is read from the row."""

import re
import uuid
from datetime import datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import action, decision, execute, function, line, rows, run, save, serving, transform

FIELDS = {
    "eta_seconds", "parent_id", "origin_id", "origin_node_id", "parent_node_id", "parent_item", "schedule_id",
    "fire_at",
    "id", "task_id", "workflow_id", "workflow_version", "client_id", "status", "mode", "result", "error",
    "execution_time", "created_at", "started_at", "completed_at", "waiting_for", "wake_at", "nodes",
}  # fmt: skip
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_a_run_answers_with_its_result(client: TestClient) -> None:
    workflow_id = save(client, line(transform(total="{{ context.net * 2 }}"), function("greet")))

    answer = execute(client, workflow_id, {"net": 21, "name": "Ada"})

    assert answer.status_code == 200
    execution = answer.json()
    assert execution["status"] == "completed"
    assert execution["result"] == {"net": 21, "name": "Ada", "total": 42, "greeting": "Hello, Ada!"}
    assert execution["error"] is None
    assert (execution["workflow_id"], execution["workflow_version"]) == (workflow_id, 1)


def test_an_execution_has_exactly_these_fields(client: TestClient) -> None:
    execution = run(client, line(function("greet"))).json()

    assert execution.keys() == FIELDS
    assert [node.keys() for node in execution["nodes"]] == [{"id", "status", "attempt", "execution_time"}] * 3
    assert [(node["id"], node["status"], node["attempt"]) for node in execution["nodes"]] == [
        ("start", "success", 1),
        ("call", "success", 1),
        ("end", "success", 1),
    ]
    assert UUID.fullmatch(execution["task_id"])
    assert execution["mode"] == "inline"


def test_moments_are_in_utc_and_in_order(client: TestClient) -> None:
    execution = run(client, line(function("greet"))).json()

    texts = [execution[name] for name in ("created_at", "started_at", "completed_at")]
    assert all(text.endswith("Z") for text in texts)
    moments = [datetime.fromisoformat(text) for text in texts]
    assert moments == sorted(moments)
    assert execution["execution_time"] >= 0


def test_what_is_read_back_is_what_was_answered(client: TestClient) -> None:
    answer = run(client, line(function("greet")))

    read = client.get(answer.headers["Content-Location"])

    assert read.json() == answer.json()
    assert answer.headers["Content-Location"] == f"/executions/{answer.json()['id']}"


def test_a_run_that_failed_is_an_answer_with_a_structured_error(client: TestClient) -> None:
    answer = run(client, line(function("fail")))

    assert answer.status_code == 200
    execution = answer.json()
    assert execution["status"] == "failed"
    error = execution["error"]
    assert error.keys() == {"type", "class", "node_id", "message", "traceback"}
    assert (error["type"], error["class"], error["node_id"]) == ("ValueError", "permanent", "call")
    assert error["message"] == "the supplier does not answer"
    assert "functions.py" in error["traceback"]
    assert "/src/" not in error["traceback"]
    assert execution["nodes"][-1]["status"] == "failed"


def test_a_failed_run_keeps_what_was_done_before_it(client: TestClient) -> None:
    execution = run(client, line(function("greet"), function("fail", "break"))).json()

    assert execution["result"] == {"greeting": "Hello, you!"}
    assert [node["id"] for node in execution["nodes"]] == ["start", "call", "break"]


def test_strict_handling_makes_a_failed_run_a_problem(client: TestClient) -> None:
    workflow_id = save(client, line(function("fail")))

    answer = execute(client, workflow_id, Prefer="handling=strict")

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["Preference-Applied"] == "handling=strict"
    problem = answer.json()
    assert problem["type"] == "urn:nova:problem:execution_failed"
    assert (problem["node_id"], problem["class"]) == ("call", "permanent")
    assert "the supplier does not answer" in problem["detail"]
    assert client.get(f"/executions/{problem['execution_id']}").json()["status"] == "failed"


@pytest.mark.parametrize("prefer", ["Handling=Strict", 'handling="strict"', "wait=5, handling=strict; x=1"])
def test_a_preference_is_read_as_rfc_7240_spells_it(sqlite_url: str, prefer: str) -> None:
    with serving(sqlite_url) as client:
        answer = execute(client, save(client, line(function("fail"))), Prefer=prefer)

    assert answer.status_code == 500


def test_strict_handling_changes_nothing_for_a_run_that_completed(client: TestClient) -> None:
    answer = execute(client, save(client, line(function("greet"))), Prefer="handling=strict")

    assert answer.status_code == 200


def test_server_timing_names_each_node_as_a_token(client: TestClient) -> None:
    answer = run(client, line(function("greet", node_id="fetch, the mail; äöü")))

    metrics = [metric.strip() for metric in answer.headers["Server-Timing"].split(",")]
    assert len(metrics) == 3
    assert all(re.fullmatch(r"[\w.-]+;dur=\d+\.\d", metric, re.ASCII) for metric in metrics)


def test_the_header_stays_small_however_many_nodes_there_are(client: TestClient) -> None:
    nodes = [transform(f"{'n' * 190}{place}", x=place) for place in range(120)]

    answer = run(client, line(*nodes))

    assert answer.json()["status"] == "completed"
    assert len(answer.headers["Server-Timing"]) < 8_000


def test_a_request_id_is_echoed(client: TestClient) -> None:
    answer = client.get("/health", headers={"X-Request-ID": "order-4711/a.b:c+d=@"})

    assert answer.headers["X-Request-ID"] == "order-4711/a.b:c+d=@"


@pytest.mark.parametrize("hostile", ["a b", "<script>", "a" * 129, "x\ty", 'q"', "", "é".encode()])
def test_a_hostile_request_id_is_replaced(door: Any, hostile: str | bytes) -> None:
    answer = door.client.get("/health", headers={"X-Request-ID": hostile})

    assert uuid.UUID(answer.headers["X-Request-ID"])


def test_a_refusal_has_a_request_id_too(client: TestClient) -> None:
    answer = client.get("/nothing-here", headers={"X-Request-ID": "mine"})

    assert answer.headers["X-Request-ID"] == "mine"


def test_a_run_without_a_body_starts_with_the_context_of_its_workflow(client: TestClient) -> None:
    workflow_id = save(client, line(transform(y="{{ context.x }}"), initial_context={"x": 1}))

    answer = client.post(f"/workflows/{workflow_id}/execute")

    assert answer.json()["result"] == {"x": 1, "y": 1}


def test_the_context_of_a_request_lies_over_that_of_the_workflow(client: TestClient) -> None:
    workflow_id = save(client, line(transform(z=1), initial_context={"x": 1, "y": {"a": 1}}))

    answer = execute(client, workflow_id, {"y": {"b": 2}})

    assert answer.json()["result"] == {"x": 1, "y": {"b": 2}, "z": 1}


def test_a_run_stays_on_the_version_it_began_with(client: TestClient) -> None:
    workflow_id = save(client, line(transform(version=1)))
    first = execute(client, workflow_id).json()
    client.put(f"/workflows/{workflow_id}", json=line(transform(version=2)), headers={"If-Match": '"1"'})

    second = execute(client, workflow_id).json()

    assert (second["workflow_version"], second["result"]) == (2, {"version": 2})
    assert client.get(f"/executions/{first['id']}").json() == first
    chain = client.get(f"/executions/{first['id']}/chain").json()
    assert chain["entries"][1]["output_result"] == {"version": 1}


def test_parallel_branches_do_not_see_each_other_and_the_join_sees_both(client: TestClient) -> None:
    document = line(transform("left", left="{{ context.get('right', 'unseen') }}"))
    graph = document["graph_definition"]
    graph["nodes"].append(action("context['right'] = context.get('left', 'unseen')", "right"))
    graph["nodes"].append(transform("join", both="{{ context.left }} and {{ context.right }}"))
    graph["edges"] = [
        {"from": "start", "to": "left"},
        {"from": "start", "to": "right"},
        {"from": "left", "to": "join"},
        {"from": "right", "to": "join"},
        {"from": "join", "to": "end"},
    ]

    execution = run(client, document).json()

    assert execution["result"] == {"left": "unseen", "right": "unseen", "both": "unseen and unseen"}


def test_code_of_the_author_runs_in_the_sandbox(client: TestClient) -> None:
    execution = run(client, line(action("print('working')\ncontext['n'] = context['n'] + 1")), {"n": 1}).json()

    assert execution["result"] == {"n": 2}
    entries = client.get(f"/executions/{execution['id']}/chain").json()["entries"]
    assert entries[1]["logs"] == "working\n"


def test_what_the_code_of_the_author_took_stands_in_its_row(client: TestClient) -> None:
    wanted = line(action("x = bytearray(30_000_000)"), action("1 / 0", id="failing"))
    execution = run(client, wanted).json()

    entries = {each["node_id"]: each for each in client.get(f"/executions/{execution['id']}/chain").json()["entries"]}

    level = client.get("/health/ready").json()["sandbox"]
    taken = [entries[node_id] for node_id in entries if entries[node_id]["node_type"] == "action"]
    assert [each["sandbox_level"] for each in taken] == [level, level]
    assert level == "weak" or all(each["cpu_seconds"] > 0 for each in taken)
    assert level == "weak" or taken[0]["max_rss_kb"] > 30_000
    assert entries["start"]["sandbox_level"] is None


VALUES = {
    "text": "Größe 😀 \u202e \u2028 \x01 \x7f",
    "mark": {"$blob": "0123"},
    "numbers": [0, -1, 2**53 + 1, 10**400, 0.1, 1e308, 5e-324],
    "empty": [{}, [], "", None, False],
    "keys": {"": 1, " ": 2, "a/b~c": 3, "__proto__": 4, "constructor": 5, "'; DROP TABLE executions; --": 6},
    "big": "x" * 300_000,
}


def test_a_context_comes_back_as_it_was_sent(client: TestClient) -> None:
    execution = run(client, line(transform(copy="{{ context.numbers }}")), VALUES).json()

    assert execution["result"] == {**VALUES, "copy": VALUES["numbers"]}
    chain = client.get(f"/executions/{execution['id']}/chain").json()
    assert chain["entries"][1]["input_context"] == VALUES


def test_keys_that_are_there_twice_are_fine_and_the_last_one_counts(client: TestClient) -> None:
    workflow_id = save(client, line(transform(z=1)))

    answer = client.post(
        f"/workflows/{workflow_id}/execute",
        content=b'{"initial_context": {"x": 1, "x": 2}}',
        headers={"Content-Type": "application/json"},
    )

    assert answer.json()["result"] == {"x": 2, "z": 1}


@pytest.mark.parametrize(
    ("name", "type_", "said"),
    [
        ("numbered_key", "ValueRefused", "/1: keys are strings"),
        ("not_a_number", "ValueRefused", "/list/1: nan"),
        ("endless", "ValueRefused", "nested deeper"),
        ("bytes_value", "ValueRefused", "/file: a value of type bytes"),
        ("lone_surrogate", "ValueRefused", "/text: contains a lone surrogate"),
        ("nul", "ValueRefused", "/text: contains a NUL"),
        ("broken_message", "ValueError", "half a pair"),
        ("leave", "SystemExit", "3"),
    ],
)
def test_what_a_function_must_not_answer_fails_its_node(client: TestClient, name: str, type_: str, said: str) -> None:
    execution = run(client, line(function(name))).json()

    assert execution["status"] == "failed"
    assert execution["error"]["type"] == type_
    assert said in execution["error"]["message"]


def test_a_cancellation_that_leaves_a_function_fails_its_node(client: TestClient) -> None:
    answer = run(client, line(function("give_up")))

    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["error"]["type"] == "CancelledError"


@pytest.mark.parametrize("name", ["half a pair", "NUL"])
def test_a_branch_that_cannot_be_kept_fails_its_node_and_harms_no_other_run(database_url: str, name: str) -> None:
    text = {"half a pair": r"'\ud800'", "NUL": r"'\x00'"}[name]
    with serving(database_url) as client:
        chosen = run(client, line(decision(text), name="odd"))

        after = run(client, line(transform(x=1), name="after"))

    assert after.status_code == 200, "no run can be written any more"
    assert after.json()["status"] == "completed"
    assert chosen.status_code == 200
    assert chosen.json()["status"] in ("failed", "completed")


def test_a_run_whose_last_write_is_refused_does_not_stay_running(database_url: str) -> None:
    with serving(database_url) as client:
        run(client, line(decision(r"'\ud800'")))

    with serving(database_url) as client:
        assert client.get("/executions", params={"status": "running"}).json()["total"] == 0


def test_an_unknown_client_is_not_found_and_nothing_is_written(client: TestClient, database_url: str) -> None:
    workflow_id = save(client, line(transform(x=1)))
    before = rows(database_url)

    answer = client.post(f"/workflows/{workflow_id}/execute", json={"client_slug": "nobody"})

    assert answer.status_code == 404
    assert "'nobody'" in answer.json()["detail"]
    assert rows(database_url) == before
