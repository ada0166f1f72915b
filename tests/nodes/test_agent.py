"""`agent`: a model that calls workflows, end to end, each call an execution and each step a row."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import execute, line, save, serving, transform
from tests.nodes.test_llm import Model, completion
from tests.nodes.visits import problems_of
from tests.outside.peers import Peer, Told, http_peer

Json = dict[str, Any]
NUMBER = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}


def calling(*calls: tuple[str, Json | str]) -> Told:
    """The model asks for these tools."""
    asked = [
        {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": _text(arguments)}}
        for place, (name, arguments) in enumerate(calls)
    ]
    return completion(None, finish="tool_calls", tool_calls=asked)


def _text(arguments: Json | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def agent(**fields: Any) -> Json:
    tools = [{"workflow": "look up", "parameters": NUMBER}, "broken"]
    return {
        "id": "ask",
        "type": "agent",
        "prompt": "Who calls?",
        "tools": tools,
        "retry": {"interval_seconds": 0},
        **fields,
    }


def served(client: TestClient, **fields: Any) -> Json:
    """What becomes of a run of an agent whose tools are there."""
    save(client, line(transform(owner="owner of {{ context.number }}"), name="look up"))
    save(client, line(transform(x="{{ context.missing }}"), name="broken"))
    workflow_id = save(client, line(agent(**fields), name="agent"))
    execution = execute(client, workflow_id).json()
    answer = client.get(f"/executions/{execution['id']}", params={"wait": 20})
    assert answer.status_code == 200, answer.text
    done: Json = answer.json()
    return done


def operator(peer: Peer) -> Json:
    return {"llm_base_url": f"{peer.url}/v1", "llm_model": "small", "inline_budget_seconds": 20}


def test_each_call_is_an_execution_and_each_step_a_row(database_url: str) -> None:
    model = Model(
        calling(("look_up", {"number": "1"}), ("broken", {}), ("look_up", {}), ("nobody", {}), ("broken", "{")),
        calling(("look_up", {"number": "2"})),
        Told(503),
        completion("It is Ada."),
    )
    with http_peer(model) as peer, serving(database_url, **operator(peer)) as client:
        done = served(client)
        entries = client.get(f"/executions/{done['id']}/chain").json()["entries"]
        executions = client.get("/executions").json()["executions"]

    assert (done["status"], done["result"]["ask"]) == ("completed", "It is Ada.")
    steps = [entry for entry in entries if entry["node_id"] == "ask"]
    assert [step["status"] for step in steps] == ["waiting", "waiting", "retry", "success"]
    assert [step["usage"]["calls"] for step in steps] == [1, 1, 0, 1]
    assert len(executions) == 4  # the agent's and one for each call that made sense
    said = model.asked[-1]["messages"]
    assert [each["role"] for each in said] == ["user", "assistant", *["tool"] * 5, "assistant", "tool"]
    heard = {each["tool_call_id"]: each["content"] for each in said[2:7]}
    assert json.loads(heard["call_0"])["owner"] == "owner of 1"
    assert heard["call_1"].startswith("error: UndefinedError")
    assert "'number' is a required property" in heard["call_2"]
    assert "there is no tool 'nobody'" in heard["call_3"]
    assert "no JSON" in heard["call_4"]
    assert json.loads(said[8]["content"])["owner"] == "owner of 2"


def test_after_its_steps_a_model_must_answer(sqlite_url: str) -> None:
    model = Model(calling(("look_up", {"number": "1"})), calling(("look_up", {"number": "2"})), completion("done"))
    with http_peer(model) as peer, serving(sqlite_url, **operator(peer)) as client:
        done = served(client, max_steps=1)

    assert (done["status"], done["result"]["ask"]) == ("completed", "done")
    assert [asked.get("tool_choice") for asked in model.asked] == [None, "none", "none"]


def test_an_agents_last_answer_may_have_to_fit_a_schema(sqlite_url: str) -> None:
    schema = {"type": "object", "required": ["who"]}
    model = Model(calling(("look_up", {"number": "1"})), completion("Ada"), completion('{"who": "Ada"}'))
    with http_peer(model) as peer, serving(sqlite_url, **operator(peer)) as client:
        done = served(client, json_schema=schema)

    assert done["result"]["ask"] == {"who": "Ada"}


@pytest.mark.parametrize(
    ("tools", "pointer"),
    [
        ([], "/tools"),
        (None, "/tools"),
        (["a b", "a_b"], "/tools"),
        ([{"workflow": "x", "name": "not a name"}], "/tools/0/name"),
        ([{"workflow": "x", "parameters": {"type": "thing"}}], "/tools/0/parameters"),
        ([""], "/tools/0/workflow"),
    ],
)
def test_tools_with_a_problem_are_refused_at_it(tools: Any, pointer: str) -> None:
    assert problems_of({"id": "n", "type": "agent", "prompt": "x", "tools": tools}).keys() == {pointer}
