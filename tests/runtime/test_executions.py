"""Executions from outside: ordered, run, resumed, and read back from their rows alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.core.errors import NotFound, ValueRefused
from src.core.status import Mode, Status
from src.nova import Nova
from src.runtime.search import Filter
from src.runtime.store import NewExecution
from src.runtime.workflows import Draft
from tests.runtime.building import (
    HANDED_OFF,
    PLAIN,
    add_client,
    attempt,
    call,
    change,
    claimed,
    graph,
    kept_nodes,
    parts,
    resume,
    rows,
    run_to_end,
    running,
)

ADDS = graph(
    "start -> one, start -> other, one -> join, other -> join, join -> end",
    one={"type": "transform", "set": {"sum": "{{ context.n + 1 }}", "one": 1}},
    other={"type": "transform", "set": {"sum": "{{ context.n + 2 }}", "other": 2}},
    join={"type": "transform", "set": {"both": "{{ context.sum * 10 }}"}},
)
CHOOSES = graph(
    "start -> ask, ask -yes-> ship, ask -no-> refund, ship -> tell, refund -> tell, tell -> end",
    ask={"type": "decision", "expression": "'yes' if context.n > 1 else 'no'"},
    ship={"type": "transform", "set": {"shipped": True}},
    refund={"type": "transform", "set": {"refunded": True}},
    tell={"type": "transform", "set": {"told": True}},
)
FAILS = graph("start -> work, work -> end", work=call("fail"))


@pytest.fixture
def nova(database_url: str) -> Iterator[Nova]:
    with running(database_url) as nova:
        yield nova


def run(nova: Nova, definition: dict[str, object], **context: object) -> int:
    """Run a definition to its end; the id of the execution."""
    workflow_id = nova.workflows.keep(Draft(f"workflow {hash(json.dumps(definition))}", definition))
    found = run_to_end(nova, nova.executions.order(workflow_id, context))
    return int(found.row.id)


# What is ordered.


def test_an_order_takes_the_version_of_the_moment_and_lays_the_context_over_the_workflows_own(nova: Nova) -> None:
    workflow_id = nova.workflows.create(Draft("one", ADDS, initial_context={"n": 1, "kept": True}))
    first = nova.executions.order(workflow_id, {"n": 5})
    nova.workflows.save(workflow_id, Draft("one", CHOOSES, initial_context={"n": 9}), expected_version=1)

    second = nova.executions.order(workflow_id, {})

    assert (first.workflow_version, first.initial_context) == (1, {"n": 5, "kept": True})
    assert (second.workflow_version, second.initial_context) == (2, {"n": 9})
    assert run_to_end(nova, first).result == {
        "n": 5,
        "kept": True,
        "sum": 7,
        "one": 1,
        "other": 2,
        "both": 70,
    }


def test_what_cannot_be_kept_is_refused_before_anything_is_written(nova: Nova) -> None:
    workflow_id = nova.workflows.create(Draft("one", ADDS))

    with pytest.raises(ValueRefused) as caught:
        nova.executions.order(workflow_id, {"n": 1, "bad": {"deep": float("nan")}})

    assert [problem.pointer for problem in caught.value.problems] == ["/initial_context/bad/deep"]
    assert nova.executions.ids() == []


def test_a_run_is_made_for_a_client_that_is_active(nova: Nova) -> None:
    acme = add_client(nova.database, "acme")
    add_client(nova.database, "gone", is_active=False)
    workflow_id = nova.workflows.create(Draft("one", ADDS))

    order = nova.executions.order(workflow_id, {"n": 1}, "acme")

    assert run_to_end(nova, order).row.client_id == acme
    for slug in ("gone", "unheard of"):
        with pytest.raises(NotFound, match=slug):
            nova.executions.order(workflow_id, {"n": 1}, slug)


def test_whoever_drives_a_run_knows_the_client_that_it_is_made_for(database_url: str) -> None:
    with parts(database_url) as made:
        acme = add_client(made.database, "acme")
        new = NewExecution(made.workflows.keep(Draft("plain", PLAIN)), 1, {}, client_id=acme)

        ids = [made.store.create(new), made.store.enqueue(new, mode=Mode.INLINE)]

        assert [claimed(made.store.claim(each)).client_id for each in ids] == [acme, acme]


def test_a_run_is_made_for_the_workflows_client_where_the_request_names_none(nova: Nova) -> None:
    acme, other = add_client(nova.database, "acme"), add_client(nova.database, "other")
    workflow_id = nova.workflows.create(Draft("one", ADDS, client_id=acme))

    own = nova.executions.order(workflow_id, {"n": 1})
    given = nova.executions.order(workflow_id, {"n": 1}, "other")

    assert (own.client_id, given.client_id) == (acme, other)


# What is run.


def test_an_execution_is_there_for_everybody_before_its_first_node_runs(nova: Nova, database_url: str) -> None:
    look = graph("start -> first, first -> second, second -> end", first=call("look"), second=call("look"))

    found = nova.executions.find(run(nova, look, url=database_url))

    assert found.result is not None
    assert found.result["first"] == {"status": "running", "nodes": []}
    assert found.result["second"] == {"status": "running", "nodes": ["start", "first"]}


def test_effect_free_nodes_have_their_rows_like_all_others(nova: Nova) -> None:
    execution_id = run(nova, CHOOSES, n=2)

    kept = kept_nodes(nova.database, execution_id)

    assert kept == ["start", "ask", "ship", "tell", "end"]
    assert nova.executions.verify(execution_id) == []


def test_what_is_read_back_is_what_stands_in_the_rows(nova: Nova) -> None:
    execution_id = run(nova, CHOOSES, n=2)

    found = nova.executions.find(execution_id)

    assert (found.row.status, found.row.mode, found.row.error) == (Status.COMPLETED, "inline", None)
    assert found.initial_context == {"n": 2}
    assert found.result == {"n": 2, "shipped": True, "told": True}
    assert [(node.id, node.status, node.attempt) for node in found.nodes] == [
        (node_id, "success", 1) for node_id in ("start", "ask", "ship", "tell", "end")
    ]
    assert found.row.created_at <= found.row.started_at <= found.row.completed_at
    assert nova.executions.find_by_task(found.row.task_id).row.id == execution_id


def test_a_failed_run_says_which_node_and_why(nova: Nova) -> None:
    found = nova.executions.find(run(nova, FAILS, value="milk"))

    error = found.row.error
    assert found.row.status == Status.FAILED
    assert (error["type"], error["class"], error["node_id"]) == ("ValueError", "permanent", "work")
    assert error["message"] == "expected no milk"
    assert "functions.py" in error["traceback"]
    assert nova.executions.verify(found.row.id) == []


def test_resuming_what_has_ended_changes_nothing(nova: Nova, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    noted = graph("start -> a, a -> end", a=call("note"))
    execution_id = run(nova, noted, effects=str(effects))
    before = rows(nova.database, "SELECT * FROM executions")

    resume(nova, execution_id)

    assert rows(nova.database, "SELECT * FROM executions") == before
    assert effects.read_text() == "a\n"


def test_a_resumed_run_goes_on_behind_what_was_kept(nova: Nova, database_url: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    line = graph("start -> a, a -> b, b -> end", a=call("note"), b=call("note"))
    workflow_id = nova.workflows.create(Draft("line", line))
    order = nova.executions.order(workflow_id, {"effects": str(effects)})
    with parts(database_url, owner="gone") as gone:
        execution_id = gone.store.create(order)
        claim = claimed(gone.store.claim(execution_id))
        gone.store.checkpoint(claim, [attempt("start"), attempt("a", {"a": "done"})])
        gone.store.release(claim, HANDED_OFF)

    found = resume(nova, execution_id)

    assert found.result == {"effects": str(effects), "a": "done", "b": "done"}
    assert effects.read_text() == "b\n"


# What is looked at.


def test_the_chain_shows_the_context_that_each_node_saw(nova: Nova) -> None:
    entries = nova.executions.chain(run(nova, ADDS, n=1))

    seen = {entry.row.node_id: (entry.input_context, entry.output) for entry in entries}
    assert seen == {
        "start": ({"n": 1}, {}),
        "one": ({"n": 1}, {"sum": 2, "one": 1}),
        "other": ({"n": 1}, {"sum": 3, "other": 2}),
        "join": ({"n": 1, "sum": 3, "one": 1, "other": 2}, {"both": 30}),
        "end": ({"n": 1, "sum": 3, "one": 1, "other": 2, "both": 30}, {}),
    }


def test_the_chain_shows_the_branch_and_leaves_out_what_was_skipped(nova: Nova) -> None:
    entries = nova.executions.chain(run(nova, CHOOSES, n=0))

    assert [entry.row.node_id for entry in entries] == ["start", "ask", "refund", "tell", "end"]
    assert [(entry.row.decision_result, entry.row.path_taken) for entry in entries][1] == ("no", "no")
    assert entries[3].input_context == {"n": 0, "refunded": True}


def test_the_chain_of_a_failed_run_ends_with_what_failed(nova: Nova) -> None:
    entries = nova.executions.chain(run(nova, FAILS, value="milk"))

    last = entries[-1]
    assert (last.row.node_id, last.row.status, last.row.error_type) == ("work", "failed", "ValueError")
    assert last.input_context == {"value": "milk"}
    assert last.output in (None, {})


def test_big_values_are_shown_as_they_were(nova: Nova) -> None:
    big = "x" * 300_000
    execution_id = run(nova, ADDS, n=1, text=big)

    found = nova.executions.find(execution_id)

    assert found.initial_context["text"] == big
    assert found.result is not None
    assert found.result["text"] == big
    assert all(entry.input_context["text"] == big for entry in nova.executions.chain(execution_id))
    assert nova.executions.verify(execution_id) == []


CHANGES = {
    "an output": "UPDATE chain_of_work SET output_result = '{\"shipped\": false}' WHERE node_id = 'ship'",
    "a branch": "UPDATE chain_of_work SET decision_result = 'no' WHERE node_id = 'ask'",
    "a row that is gone": "DELETE FROM chain_of_work WHERE node_id = 'ship'",
    "the last row": "DELETE FROM chain_of_work WHERE node_id = 'end'",
    "the order": "UPDATE chain_of_work SET id = id + 1000 WHERE node_id = 'ask'",
    "a kind": "UPDATE chain_of_work SET node_type = 'function' WHERE node_id = 'ship'",
    "an attempt": "UPDATE chain_of_work SET attempt = 2 WHERE node_id = 'ship'",
    "a status": "UPDATE chain_of_work SET status = 'failed' WHERE node_id = 'ship'",
    "a node that there is not": "UPDATE chain_of_work SET node_id = 'sheep' WHERE node_id = 'ship'",
    "a token nobody claimed": "UPDATE chain_of_work SET lease_token = 2 WHERE node_id = 'end'",
    "a token that went back": "UPDATE chain_of_work SET lease_token = 2 WHERE node_id = 'ask'",
    "the result": "UPDATE executions SET result = '{\"n\": 2}'",
    "the initial context": "UPDATE executions SET initial_context = '{\"n\": 3}'",
    "the verdict": "UPDATE executions SET status = 'failed'",
    "a claim without a return": "UPDATE executions SET lease_token = 2",
    "a lease that was not given up": "UPDATE executions SET lease_owner = 'somebody'",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES.keys())
def test_verify_finds_a_row_that_was_changed(nova: Nova, statement: str) -> None:
    execution_id = run(nova, CHOOSES, n=2)
    assert nova.executions.verify(execution_id) == []

    change(nova.database, statement.replace(":", r"\:"))

    assert nova.executions.verify(execution_id) != []


def test_pages_have_the_newest_first_and_filters_narrow_them(nova: Nova) -> None:
    done = [run(nova, CHOOSES, n=n) for n in range(3)]
    failed = [run(nova, FAILS) for _ in range(2)]
    workflow_id = nova.executions.find(done[0]).row.workflow_id

    def page(wanted: Filter, limit: int = 10, skip: int = 0) -> tuple[list[int], int]:
        found, total = nova.executions.page(wanted, limit=limit, skip=skip)
        return [row.id for row in found], total

    newest_first = [*reversed(failed), *reversed(done)]
    assert page(Filter()) == (newest_first, 5)
    assert page(Filter(), limit=2) == (newest_first[:2], 5)
    assert page(Filter(), limit=2, skip=2) == (newest_first[2:4], 5)
    assert page(Filter(), skip=9) == ([], 5)
    assert page(Filter(workflow_id=workflow_id)) == ([*reversed(done)], 3)
    assert page(Filter(status=Status.FAILED)) == ([*reversed(failed)], 2)
    assert page(Filter(workflow_id=workflow_id, status=Status.FAILED)) == ([], 0)
    assert page(Filter(before=done[2]))[0] == [done[1], done[0]]
    assert page(Filter(before=done[0]))[0] == []


def test_what_does_not_exist_is_not_found(nova: Nova) -> None:
    for look in (nova.executions.find, nova.executions.chain, nova.executions.verify):
        with pytest.raises(NotFound, match="4711"):
            look(4711)
    with pytest.raises(NotFound, match="unheard of"):
        nova.executions.find_by_task("unheard of")
