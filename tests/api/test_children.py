"""Executions that executions start: one, or one for each item of a list."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.api.door import Json, action, execute, function, line, run, save, transform
from tests.api.functions import GATE
from tests.api.test_control import PATIENCE_SECONDS, begun, ended, nodes, status
from tests.runtime.building import call, eventually, graph

DOUBLE = line(transform(double="{{ context.item * 2 }}"))["graph_definition"]
INVERSE = line(transform(inverse="{{ 12 // context.item }}"))["graph_definition"]
GATED = line(function("wait_at_gate", "gate"))["graph_definition"]


def over(items: str, graph: Json, **fields: object) -> Json:
    return {"id": "each", "type": "map", "items": items, "graph": graph} | fields


def children(client: TestClient, execution_id: int) -> list[Json]:
    found = client.get(f"/executions?parent_id={execution_id}&limit=500").json()["executions"]
    return sorted(found, key=lambda child: int(child["parent_item"]))


def test_a_workflow_is_called_with_what_its_caller_gives_it_and_answers_with_its_result(client: TestClient) -> None:
    save(client, line(transform(sum="{{ context.a + context.b }}"), name="add", initial_context={"b": 40}))
    call = {"id": "call", "type": "workflow", "workflow": "add", "context": {"a": "{{ context.mine }}"}}

    answer = run(client, line(call, name="caller"), {"mine": 2})

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert answer.json()["result"] == {"mine": 2, "call": {"b": 40, "a": 2, "sum": 42}}
    [child] = children(client, answer.json()["id"])
    assert (child["status"], child["parent_node_id"], child["parent_item"]) == ("completed", "call", 0)


@pytest.mark.parametrize("kind", ["workflow", "map"])
def test_children_that_end_in_time_are_no_timeout_however_short_that_is(client: TestClient, kind: str) -> None:
    save(client, line(transform(done=True), name="quick"))
    call = {"id": "call", "type": kind, "workflow": "quick", "timeout": 5} | ({"items": "[1]"} if kind == "map" else {})

    answer = run(client, line(call, name="caller"))

    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text


def test_the_results_of_a_map_stand_in_the_order_of_its_items(client: TestClient) -> None:
    node = over("context.numbers", DOUBLE, concurrency=3, result_key="doubled")

    answer = run(client, line(node), {"numbers": list(range(20))})

    assert answer.status_code == 200
    result = answer.json()["result"]["doubled"]
    assert result == [{"item": each, "index": each, "double": 2 * each} for each in range(20)]
    told = children(client, answer.json()["id"])
    assert [child["parent_item"] for child in told] == list(range(20))
    assert nodes(client, told[0]["id"]) == ["start", "compute", "end"]


def test_each_child_of_a_map_gets_what_the_node_gives_it(client: TestClient) -> None:
    save(client, line(transform(told="{{ context.greeting }} {{ context.name }}"), name="greet"))
    given = {"greeting": "{{ context.greeting }}", "name": "{{ context.item.name }}"}
    node = {"id": "each", "type": "map", "items": "{{ context.people }}", "workflow": "greet", "context": given}

    answer = run(client, line(node), {"people": [{"name": "Ann"}, {"name": "Bo"}], "greeting": "Hello"})

    assert [each["told"] for each in answer.json()["result"]["each"]] == ["Hello Ann", "Hello Bo"]


def test_the_graph_inside_a_map_may_come_from_an_editor(client: TestClient) -> None:
    nodes = [
        {"id": "a", "type": "input", "position": {"x": 0, "y": 0}},
        {"id": "b", "type": "transform", "data": {"set": {"double": "{{ context.item * 2 }}"}}},
        {"id": "c", "type": "output"},
    ]
    edges = [{"source": "a", "target": "b"}, {"source": "b", "target": "c"}]

    answer = run(client, line(over("[1, 2]", {"nodes": nodes, "edges": edges})))

    assert [each["double"] for each in answer.json()["result"]["each"]] == [2, 4]


def test_a_map_over_nothing_starts_nothing(client: TestClient) -> None:
    answer = run(client, line(over("context.numbers", DOUBLE)), {"numbers": []})

    assert (answer.json()["result"], children(client, answer.json()["id"])) == ({"numbers": [], "each": []}, [])


def test_a_child_that_fails_fails_the_map_and_ends_the_others(client: TestClient) -> None:
    node = over("context.numbers", INVERSE, concurrency=1)

    answer = run(client, line(node), {"numbers": [1, 0, 2, 3]})

    error = answer.json()["error"]
    assert (answer.json()["status"], error["node_id"], error["type"]) == ("failed", "each", "ChildFailed")
    assert error["message"].startswith("item 1 of 'each' failed (execution ")
    assert "ZeroDivisionError" in error["message"]
    told = [child["status"] for child in children(client, answer.json()["id"])]
    assert told == ["completed", "failed", "stopped", "stopped"]


def test_a_map_may_collect_what_fails_and_go_on(client: TestClient) -> None:
    node = over("context.numbers", INVERSE, concurrency=1, on_error="collect")

    answer = run(client, line(node), {"numbers": [1, 0, 2]})

    first, second, third = answer.json()["result"]["each"]
    assert (first["inverse"], third["inverse"]) == (12, 6)
    assert second["error"]["type"] == "ZeroDivisionError"
    assert client.get(f"/executions/{second['error']['execution_id']}").json()["status"] == "failed"


@pytest.mark.usefixtures("gate")
def test_only_so_many_children_are_under_way_at_once_and_the_end_of_one_starts_the_next(client: TestClient) -> None:
    execution_id = begun(client, line(over("context.numbers", GATED, concurrency=2)), {"numbers": [1, 2, 3, 4]})
    for _ in range(2):
        assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)

    told = children(client, execution_id)
    assert [(child["status"], child["waiting_for"]) for child in told[2:]] == [("waiting", "turn")] * 2
    assert status(client, execution_id) == "waiting"

    GATE.opened.set()
    assert ended(client, execution_id)["status"] == "completed"


@pytest.mark.usefixtures("gate")
def test_a_stop_reaches_the_children(client: TestClient) -> None:
    execution_id = begun(client, line(over("context.numbers", GATED, concurrency=1)), {"numbers": [1, 2, 3]})
    assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)

    assert client.post(f"/executions/{execution_id}/stop").json()["status"] == "stopped"
    GATE.opened.set()

    assert [child["status"] for child in children(client, execution_id)] == ["stopped"] * 3


@pytest.mark.usefixtures("gate")
def test_a_pause_reaches_the_children_and_the_next_ones_wait_until_it_is_over(client: TestClient) -> None:
    two_steps = line(function("wait_at_gate", "gate"), function("greet", "after"))["graph_definition"]
    execution_id = begun(client, line(over("context.numbers", two_steps, concurrency=1)), {"numbers": [1, 2]})
    assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)

    client.post(f"/executions/{execution_id}/pause")
    GATE.opened.set()

    first, second = (child["id"] for child in children(client, execution_id))
    eventually(lambda: status(client, first) == "paused", what="the pause of the child")
    assert (status(client, execution_id), status(client, second)) == ("paused", "waiting")

    client.post(f"/executions/{execution_id}/resume")
    assert ended(client, execution_id)["status"] == "completed"
    assert [child["status"] for child in children(client, execution_id)] == ["completed", "completed"]


@pytest.mark.usefixtures("gate")
def test_a_child_that_is_stopped_fails_what_waits_for_it(client: TestClient) -> None:
    execution_id = begun(client, line(over("context.numbers", GATED)), {"numbers": [1]})
    assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)
    [child] = children(client, execution_id)

    client.post(f"/executions/{child['id']}/stop")

    assert "stopped" in ended(client, execution_id)["error"]["message"]


@pytest.mark.usefixtures("gate")
def test_what_fails_beside_its_children_ends_them(client: TestClient) -> None:
    document = line(over("context.numbers", GATED), name="beside")
    graph = document["graph_definition"]
    graph["nodes"].append({"id": "broken", "type": "function", "function": "fail"})
    graph["edges"] += [{"from": "start", "to": "broken"}, {"from": "broken", "to": "end"}]

    execution_id = begun(client, document, {"numbers": [1, 2]})

    assert ended(client, execution_id)["error"]["node_id"] == "broken"
    eventually(
        lambda: {child["status"] for child in children(client, execution_id)} == {"stopped"}, what="the children's end"
    )


def test_a_workflow_that_calls_itself_is_stopped_by_its_depth(client: TestClient) -> None:
    answer = run(client, line({"id": "again", "type": "workflow", "workflow": "endless"}, name="endless"))

    assert answer.json()["status"] == "failed"
    depth, execution = 0, answer.json()
    while below := children(client, execution["id"]):
        depth, execution = depth + 1, below[0]
    assert (depth, execution["error"]["type"]) == (10, "TooDeep")


@pytest.mark.parametrize("which", ["nothing of this name", 4711])
def test_a_workflow_that_is_not_there_fails_the_node(client: TestClient, which: object) -> None:
    answer = run(client, line({"id": "call", "type": "workflow", "workflow": which}))

    assert answer.json()["error"]["type"] == "NoSuchWorkflow"


def test_a_paused_workflow_holds_the_children_back_that_others_want_of_it(client: TestClient) -> None:
    held = save(client, line(name="held"))
    client.patch(f"/workflows/{held}", json={"paused": True})
    execution_id = begun(client, line({"id": "call", "type": "workflow", "workflow": "held"}, name="caller"))
    eventually(lambda: [c["waiting_for"] for c in children(client, execution_id)] == ["workflow"], what="the wait")

    client.patch(f"/workflows/{held}", json={"paused": False})

    assert ended(client, execution_id)["status"] == "completed"


def test_children_have_children(client: TestClient) -> None:
    inner = over("context.item", DOUBLE)
    answer = run(client, line(over("context.rows", line(inner)["graph_definition"])), {"rows": [[1, 2], [3]]})

    rows = answer.json()["result"]["each"]
    assert [[each["double"] for each in row["each"]] for row in rows] == [[2, 4], [6]]


def test_a_child_shows_the_graph_that_it_runs(client: TestClient) -> None:
    inner = line(over("context.item", DOUBLE, id="a/b~c"))["graph_definition"]
    whole = line(over("context.rows", inner), name="outer")
    outer = run(client, whole, {"rows": [[1]]}).json()["id"]
    [middle] = children(client, outer)
    [innermost] = children(client, middle["id"])
    workflow_id = graph_of(client, outer)["workflow_id"]
    client.delete(f"/workflows/{workflow_id}")

    shown = [graph_of(client, each) for each in (outer, middle["id"], innermost["id"])]

    assert [each["inside"] for each in shown] == [[], ["each"], ["each", "a/b~c"]]
    assert [[node["id"] for node in each["graph_definition"]["nodes"]] for each in shown] == [
        ["start", "each", "end"],
        ["start", "a/b~c", "end"],
        ["start", "compute", "end"],
    ]
    assert {(each["workflow"], each["version"]) for each in shown} == {("outer", 1)}
    assert client.get("/executions/4711/graph").status_code == 404


def graph_of(client: TestClient, execution_id: int) -> Json:
    found: Json = client.get(f"/executions/{execution_id}/graph").json()
    return found


def test_the_client_of_a_child_is_its_parents(client: TestClient) -> None:
    node = over("context.numbers", DOUBLE)

    answer = run(client, line(node), {"numbers": [1]})

    assert [child["client_id"] for child in children(client, answer.json()["id"])] == [answer.json()["client_id"]]


def test_the_graph_inside_a_map_is_checked_like_any_other(client: TestClient) -> None:
    broken = line(action("x = (", network=True), {"id": "b", "type": "dream"})["graph_definition"]

    answer = client.post("/workflows", json=line(over("context.list", broken)))

    assert answer.status_code == 422
    found = {each["pointer"] for each in answer.json()["errors"]}
    inside = "/graph_definition/nodes/1/graph/nodes"
    assert {f"{inside}/1/code", f"{inside}/2/type"} <= found


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({"list": "abc"}, "expected a list of at most 10,000 items, got str"),
        ({"list": [0] * 10_001}, "got 10,001 items"),
        ({}, "'dict object' has no attribute 'list'"),
    ],
)
def test_what_is_no_list_fails_the_map(client: TestClient, context: Json, told: str) -> None:
    workflow_id = save(client, line(over("context.list", DOUBLE)))

    assert told in execute(client, workflow_id, context).json()["error"]["message"]


# Run again.

FLAKY = line(function("fail_once_for_some", "flaky"))["graph_definition"]
GIVEN = {"folder": "{{ context.folder }}", "failing": "{{ context.failing }}"}


def sound(client: TestClient, *ids: int) -> bool:
    executions = client.app.state.nova.executions  # type: ignore[attr-defined]
    return all(executions.verify(each) == [] for each in ids)


def test_a_retry_goes_on_in_each_child_from_where_it_was(client: TestClient, tmp_path: Path) -> None:
    """However deep: what has failed is called by the item of a map."""
    called = line(function("leave_a_file", "called"), function("fail_once_for_some", "flaky"), name="called")
    save(client, called)
    given = GIVEN | {"item": "{{ context.item }}"}
    call_it = {"id": "call", "type": "workflow", "workflow": "called", "context": given}
    inner = line(function("leave_a_file", "item"), call_it)["graph_definition"]
    node = over("context.numbers", inner, concurrency=1, context=GIVEN)
    numbers = {"numbers": [1, 2, 3], "failing": [2], "folder": str(tmp_path)}
    failed = run(client, line(node), numbers).json()["id"]

    done = client.post(f"/executions/{failed}/retry").json()

    assert done["status"] == "completed"
    assert [each["call"]["doubled"] for each in done["result"]["each"]] == [2, 4, 6]
    ran = sorted(path.name.partition(" in ")[0] for path in tmp_path.glob("* in *"))
    assert ran == [f"{which} of {item}" for which in ("called", "item") for item in (1, 2, 3)]
    before, after = children(client, failed), children(client, done["id"])
    assert [child["origin_id"] for child in after] == [before[0]["id"], before[1]["id"], None]
    [deep_before], [deep_after] = (children(client, each[1]["id"]) for each in (before, after))
    assert (deep_before["status"], deep_after["status"]) == ("failed", "completed")
    assert deep_after["origin_id"] == deep_before["id"]
    assert sound(client, done["id"], deep_after["id"], *(child["id"] for child in after))


def test_a_called_workflow_that_was_mended_since_is_called_anew(client: TestClient, tmp_path: Path) -> None:
    broken = line(function("leave_a_file", "leave"), transform(inverse="{{ 1 // 0 }}"), name="called")
    called_id = save(client, broken)
    given = {"item": "1", "folder": str(tmp_path)}
    call_it = {"id": "call", "type": "workflow", "workflow": "called", "context": given}
    failed = run(client, line(call_it)).json()["id"]
    mended = line(function("leave_a_file", "leave"), transform(inverse="{{ 1 // 1 }}"), name="called")
    assert client.put(f"/workflows/{called_id}", json=mended, headers={"If-Match": "*"}).is_success

    done = client.post(f"/executions/{failed}/retry").json()

    assert done["status"] == "completed"
    [child] = children(client, done["id"])
    assert (child["workflow_version"], child["origin_id"]) == (2, None)
    assert len(list(tmp_path.glob("leave of *"))) == 2


def test_a_retry_of_a_map_keeps_the_items_that_have_completed(client: TestClient, tmp_path: Path) -> None:
    node = over("context.numbers", FLAKY, concurrency=1, context=GIVEN)
    numbers = {"numbers": [1, 2, 3, 4], "failing": [2, 4], "folder": str(tmp_path)}
    failed = run(client, line(node), numbers).json()["id"]

    again = client.post(f"/executions/{failed}/retry").json()
    done = client.post(f"/executions/{again['id']}/retry").json()

    assert (again["status"], done["status"]) == ("failed", "completed")
    assert [each["doubled"] for each in done["result"]["each"]] == [2, 4, 6, 8]
    first, second, third = (children(client, each) for each in (failed, again["id"], done["id"]))
    assert [child["status"] for child in first] == ["completed", "failed", "stopped", "stopped"]
    assert [child["status"] for child in second] == ["completed", "completed", "completed", "failed"]
    assert [child["origin_id"] for child in second] == [first[0]["id"], first[1]["id"], None, None]
    assert [child["origin_id"] for child in third] == [child["id"] for child in second]
    ran = sorted(path.name for path in tmp_path.glob("[1-4]-*"))
    assert [name.partition("-")[0] for name in ran] == ["1", "2", "2", "3", "4", "4"]
    assert nodes(client, third[0]["id"]) == nodes(client, first[0]["id"]) == ["start", "flaky", "end"]
    assert sound(client, failed, again["id"], done["id"], *(child["id"] for child in (*second, *third)))


def test_a_rerun_from_a_map_runs_every_item_again(client: TestClient, tmp_path: Path) -> None:
    node = over("context.numbers", FLAKY, concurrency=1, context=GIVEN)
    failed = run(client, line(node), {"numbers": [1, 2], "failing": [2], "folder": str(tmp_path)}).json()["id"]

    again = client.post(f"/executions/{failed}/rerun", json={"from_node": "each"}).json()

    assert again["status"] == "completed"
    assert [child["origin_id"] for child in children(client, again["id"])] == [None, None]
    assert len(list(tmp_path.glob("[1-4]-*"))) == 4


@pytest.mark.usefixtures("gate")
def test_a_retry_of_what_was_stopped_goes_on_with_the_items_that_were_left(client: TestClient, tmp_path: Path) -> None:
    inner = graph(
        "start -> flaky, flaky -> last, last -yes-> gate, last -> end, gate -> end",
        flaky=call("fail_once_for_some"),
        last={"type": "decision", "expression": "'yes' if context.item == 2 else 'no'"},
        gate=call("wait_at_gate"),
    )
    node = over("context.numbers", inner, concurrency=1, context=GIVEN)
    stopped = begun(client, line(node), {"numbers": [1, 2], "failing": [], "folder": str(tmp_path)})
    assert GATE.reached.acquire(timeout=PATIENCE_SECONDS)
    client.post(f"/executions/{stopped}/stop")
    GATE.opened.set()

    again = client.post(f"/executions/{stopped}/retry").json()

    assert again["status"] == "completed"
    assert [each["doubled"] for each in again["result"]["each"]] == [2, 4]
    before, after = children(client, stopped), children(client, again["id"])
    assert [child["status"] for child in before] == ["completed", "stopped"]
    assert [child["origin_id"] for child in after] == [child["id"] for child in before]
