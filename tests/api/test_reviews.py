"""What waits for a person, and the answers to it."""

from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from tests.api.door import Background, Json, action, function, line, run, save, serving
from tests.api.functions import GATE
from tests.runtime.building import eventually

ASK: Json = {
    "id": "ask",
    "type": "review",
    "title": "Publish {{ context.headline }}?",
    "assignees": ["eva"],
    "form": {"type": "object", "required": ["words"], "properties": {"words": {"type": "integer"}}},
}
BRANCHES: Json = {
    "name": "asks",
    "nodes": [
        {"id": "start", "type": "start"},
        ASK,
        {"id": "publish", "type": "transform", "set": {"published": "{{ context.ask.output.words }}"}},
        {"id": "drop", "type": "transform", "set": {"published": False}},
        {"id": "end", "type": "end"},
    ],
    "edges": [
        {"from": "start", "to": "ask"},
        {"from": "ask", "to": "publish", "condition": "approve"},
        {"from": "ask", "to": "drop", "condition": "reject"},
        {"from": "publish", "to": "end"},
        {"from": "drop", "to": "end"},
    ],
}


def asking(client: TestClient, document: Json = BRANCHES) -> int:
    answer = run(client, document, {"headline": "Rain"})
    assert (answer.status_code, answer.json()["waiting_for"]) == (202, "review")
    return int(answer.json()["id"])


def decide(client: TestClient, execution_id: int, node_id: str = "ask", **answer: Any) -> Any:
    return client.post(f"/executions/{execution_id}/nodes/{node_id}/review", json=answer)


def end_of(client: TestClient, execution_id: int) -> Json:
    found: Json = client.get(f"/executions/{execution_id}?wait=20").json()
    return found


def test_the_inbox_shows_what_is_asked_of_whom_with_what_the_node_saw(client: TestClient) -> None:
    execution_id = asking(client)

    [review] = client.get("/reviews").json()["reviews"]

    assert (review["execution_id"], review["node_id"], review["workflow"]) == (execution_id, "ask", "asks")
    assert (review["title"], review["assignees"], review["decisions"]) == (
        "Publish Rain?",
        ["eva"],
        ["approve", "reject"],
    )
    assert review["input"] == {"headline": "Rain"}
    assert review["since"]


@pytest.mark.parametrize(
    ("answer", "published"), [({"decision": "approve", "output": {"words": 5}}, 5), ({"decision": "reject"}, False)]
)
def test_the_run_goes_on_along_the_decision(client: TestClient, answer: Json, published: object) -> None:
    execution_id = asking(client)

    assert decide(client, execution_id, **answer).status_code == 200

    assert end_of(client, execution_id)["result"]["published"] == published
    assert client.get("/reviews").json() == {"reviews": [], "total": 0}


def test_an_answer_that_is_not_what_was_asked_for_is_refused_with_every_problem(client: TestClient) -> None:
    execution_id = asking(client)

    answer = decide(client, execution_id, decision="perhaps", output={"words": "five"})

    assert answer.status_code == 422
    assert {problem["pointer"] for problem in answer.json()["errors"]} == {"/decision", "/output/words"}
    assert client.get("/reviews").json()["total"] == 1


def test_a_node_may_be_called_anything(client: TestClient) -> None:
    names = "net/gross", "/review", "50 % off?", "Prüfung #2"
    for name in names:
        execution_id = asking(client, line({"id": name, "type": "review", "title": "Right?"}, name=name))

        answer = decide(client, execution_id, quote(name, safe=""), decision="approve")

        assert answer.status_code == 200, answer.text
        assert end_of(client, execution_id)["status"] == "completed"


@pytest.mark.parametrize("written", ["a\x00b", {"note": "a\x00b"}])
def test_an_answer_that_no_database_can_keep_is_refused_where_it_stands(client: TestClient, written: Any) -> None:
    execution_id = asking(client, line({"id": "ask", "type": "review"}))
    name, pointer = ("comment", "/comment") if isinstance(written, str) else ("output", "/output/note")

    answer = decide(client, execution_id, decision="approve", **{name: written})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


def test_of_two_answers_at_once_one_wins_and_the_other_is_told(client: TestClient) -> None:
    execution_id = asking(client)
    both = [
        Background(lambda words=words: decide(client, execution_id, decision="approve", output={"words": words}))
        for words in (1, 2)
    ]

    answers = [each.answer() for each in both]

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    won = next(words for words, answer in zip((1, 2), answers, strict=True) if answer.status_code == 200)
    assert end_of(client, execution_id)["result"]["published"] == won


@pytest.mark.parametrize("node_id", ["publish", "nowhere", "start"])
def test_a_node_that_does_not_wait_cannot_be_reviewed(client: TestClient, node_id: str) -> None:
    execution_id = asking(client)

    assert decide(client, execution_id, node_id, decision="approve").status_code == 409


def test_what_is_answered_in_time_counts_however_short_that_is(client: TestClient) -> None:
    execution_id = asking(client, line({"id": "ask", "type": "review", "due_in": 9}))

    assert decide(client, execution_id, decision="approve").status_code == 200

    assert end_of(client, execution_id)["result"]["ask"]["decision"] == "approve"


@pytest.mark.usefixtures("gate")
def test_a_run_goes_on_with_an_answer_while_another_node_runs(client: TestClient) -> None:
    document = line({"id": "ask", "type": "review"}, name="busy")
    document["graph_definition"]["nodes"].append(function("wait_at_gate", "gate"))
    document["graph_definition"]["edges"] += [{"from": "start", "to": "gate"}, {"from": "gate", "to": "end"}]
    workflow_id = save(client, document)
    execution_id = client.post(f"/workflows/{workflow_id}/execute?async_mode=true").json()["id"]
    eventually(lambda: client.get("/reviews").json()["total"], what="the question")

    answer = decide(client, execution_id, decision="approve")

    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    entries = f"/executions/{execution_id}/chain"
    eventually(lambda: len(client.get(entries).json()["entries"]) > 2, what="the decision")
    GATE.opened.set()
    assert end_of(client, execution_id)["result"]["ask"]["decision"] == "approve"


def test_what_is_not_answered_in_time_is_decided_as_the_node_says(database_url: str) -> None:
    document = {**BRANCHES, "nodes": [*BRANCHES["nodes"]]}
    document["nodes"][1] = {**ASK, "due_in": 0.5, "on_timeout": "reject", "form": None}

    with serving(database_url, sweep_seconds=0.2) as client:
        execution_id = run(client, document, {"headline": "Rain"}).json()["id"]
        found = end_of(client, execution_id)

    assert (found["status"], found["result"]["published"]) == ("completed", False)
    assert found["result"]["ask"] == {"decision": "reject", "timed_out": True}


def test_an_output_that_needs_a_look_waits_with_that_output_in_hand(client: TestClient) -> None:
    doubtful = action("context['score'] = 0.4", needs_review_on="context.score < 0.5")
    execution_id = asking(client, line(doubtful, name="doubtful"))
    [review] = client.get("/reviews").json()["reviews"]
    assert (review["output"], review["decisions"]) == ({"score": 0.4}, ["approve", "reject", "retry"])

    decide(client, execution_id, "work", decision="approve", output={"score": 0.9}, comment="measured again")

    found = end_of(client, execution_id)
    assert (found["status"], found["result"]["score"]) == ("completed", 0.9)


def test_what_is_rejected_fails(client: TestClient) -> None:
    execution_id = asking(client, line(action("context['x'] = 1", needs_review_on="true"), name="doubtful"))

    decide(client, execution_id, "work", decision="reject", comment="wrong")

    found = end_of(client, execution_id)
    assert (found["status"], found["error"]["type"]) == ("failed", "Rejected")
    assert "wrong" in found["error"]["message"]


@pytest.mark.parametrize(
    "form", [{"type": "nothing"}, {"properties": {"a": {"pattern": "(a+)+$"}}}, {"type": "object", "required": 5}]
)
def test_a_form_that_is_no_schema_or_holds_up_the_server_cannot_be_saved(client: TestClient, form: Json) -> None:
    document = {**BRANCHES, "nodes": [*BRANCHES["nodes"]]}
    document["nodes"][1] = {**ASK, "form": form}

    answer = client.post("/workflows", json=document)

    assert answer.status_code == 422
    assert [problem["pointer"] for problem in answer.json()["errors"]] == ["/nodes/1/form"]


def test_a_stopped_run_leaves_the_inbox(client: TestClient) -> None:
    execution_id = asking(client)

    client.post(f"/executions/{execution_id}/stop")

    assert client.get("/reviews").json()["total"] == 0
    assert decide(client, execution_id, decision="reject").status_code == 409


def test_the_decision_and_who_took_it_stand_in_the_events(client: TestClient) -> None:
    save(client, line(name="another"))
    execution_id = asking(client)
    decide(client, execution_id, decision="reject", comment="not today")
    end_of(client, execution_id)

    entries = client.get(f"/executions/{execution_id}/chain").json()["entries"]

    assert [(entry["attempt"], entry["status"]) for entry in entries if entry["node_id"] == "ask"] == [
        (1, "waiting"),
        (2, "success"),
    ]
    [answered] = [entry for entry in entries if entry["decision_result"] == "reject"]
    assert answered["output_result"]["ask"]["comment"] == "not today"
