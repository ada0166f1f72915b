"""What every `Store` promises, in memory, on SQLite and on PostgreSQL: one suite for all of them."""

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.core.errors import LeaseLost
from src.core.outcome import Attempt, Context, ErrorClass, Failed, NodeError, Succeeded, WaitFor, Waiting
from src.core.plan import Verdict
from src.core.status import Status
from src.core.store import Store
from src.runtime.leases import recover
from tests.builders import graph_of
from tests.fakes import MemoryStore
from tests.runtime.building import HANDED_OFF, Parts, attempt, change, claimed, completed, expire, rows

APPROVAL: Context = {"decision": "approve", "comment": None, "output": None, "actor": None}
Written = tuple[str, int, int]
"""node_id, attempt, lease_token"""


class Bench(Protocol):
    """A store, with what only its own kind can say or do."""

    @property
    def store(self) -> Store: ...

    def create(self, initial_context: Context | None = None) -> int:
        """An execution that `store` can claim."""

    def peer(self) -> Store:
        """The same executions as another process has them."""

    def expire(self, execution_id: int) -> None: ...

    def recover(self) -> list[int]: ...

    def approve(self, execution_id: int, node_id: str) -> None:
        """A person's answer to its last attempt."""

    def rows(self, execution_id: int) -> list[Written]:
        """The attempts in the order they were written."""

    def status(self, execution_id: int) -> Status: ...

    def result(self, execution_id: int) -> Context: ...


class MemoryBench:
    def __init__(self) -> None:
        self.store = MemoryStore("one")

    def create(self, initial_context: Context | None = None) -> int:
        graph = graph_of("start -> a -> b -> c -> ask -yes-> d -> end", "ask -> e -> end")
        return self.store.create(graph, initial_context)

    def peer(self) -> Store:
        return self.store.seen_by("another")

    def expire(self, execution_id: int) -> None:
        self.store.expire_lease(execution_id)

    def recover(self) -> list[int]:
        return self.store.recover()

    def approve(self, execution_id: int, node_id: str) -> None:
        self.store.answer(execution_id, node_id, APPROVAL)

    def rows(self, execution_id: int) -> list[Written]:
        return [(row.node_id, row.attempt, row.lease_token) for row in self.store.history(execution_id).rows]

    def status(self, execution_id: int) -> Status:
        return self.store.status(execution_id)

    def result(self, execution_id: int) -> Context:
        return self.store.verdict(execution_id).result


class SqlBench:
    def __init__(self, url: str, resources: ExitStack) -> None:
        self._url = url
        self._resources = resources
        self._parts = self._process("one")
        self.store = self._parts.store

    def create(self, initial_context: Context | None = None) -> int:
        return self._parts.create(initial_context)

    def peer(self) -> Store:
        return self._process("another").store

    def expire(self, execution_id: int) -> None:
        expire(self._parts.database, execution_id)

    def recover(self) -> list[int]:
        return recover(self._parts.database)

    def approve(self, execution_id: int, node_id: str) -> None:
        answer = (
            "INSERT INTO reviews (execution_id, node_id, attempt, decision, decided_at) SELECT execution_id, node_id, "
            "max(attempt), 'approve', max(timestamp) FROM chain_of_work WHERE execution_id = :id AND node_id = :node "
            "GROUP BY execution_id, node_id"
        )
        change(self._parts.database, answer, id=execution_id, node=node_id)

    def rows(self, execution_id: int) -> list[Written]:
        query = "SELECT node_id, attempt, lease_token FROM chain_of_work WHERE execution_id = :id ORDER BY id"
        return [tuple(row) for row in rows(self._parts.database, query, id=execution_id)]

    def status(self, execution_id: int) -> Status:
        [row] = rows(self._parts.database, "SELECT status FROM executions WHERE id = :id", id=execution_id)
        return Status(row.status)

    def result(self, execution_id: int) -> Context:
        from sqlalchemy import select

        from src.models import Execution
        from src.runtime.blobs import fatten

        with self._parts.database.read() as connection:
            slim = connection.execute(select(Execution.result).where(Execution.id == execution_id)).scalar_one()
            return fatten(connection, [slim])[0] or {}

    def blobs(self) -> int:
        return len(rows(self._parts.database, "SELECT sha256 FROM blobs"))

    def _process(self, owner: str) -> Parts:
        parts = Parts(self._url, owner=owner)
        self._resources.callback(parts.close)
        return parts


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    fixtures = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}
    with ExitStack() as resources:
        if request.param == "memory":
            yield MemoryBench()
        else:
            yield SqlBench(request.getfixturevalue(fixtures[request.param]), resources)


@pytest.fixture
def sql_bench(database_url: str) -> Iterator[SqlBench]:
    with ExitStack() as resources:
        yield SqlBench(database_url, resources)


def back_in_the_queue(bench: Bench, execution_id: int) -> None:
    """As after the death of its runner."""
    bench.expire(execution_id)
    assert execution_id in bench.recover()


def failed(message: str = "no") -> Failed:
    return Failed(NodeError("ValueError", message))


def written_out(context: object) -> str:
    """JSON text: two contexts are the same only if their keys have the same order, and 1 is not 1.0."""
    return json.dumps(context)


# Claims.


def test_an_execution_is_claimed_once(bench: Bench) -> None:
    execution_id = bench.create()

    claims = [bench.store.claim(execution_id), bench.store.claim(execution_id), bench.peer().claim(execution_id)]

    assert [claim is not None for claim in claims] == [True, False, False]
    assert bench.status(execution_id) == Status.RUNNING


def test_of_many_that_claim_at_once_one_wins(bench: Bench) -> None:
    execution_id = bench.create()
    bench.store.claim(execution_id)
    stores = [bench.store, bench.peer()] * 4
    start = threading.Barrier(len(stores))

    def race(store: Store) -> int | None:
        start.wait()
        claim = store.claim(execution_id)
        return claim.token if claim else None

    with ThreadPoolExecutor(len(stores)) as threads:
        for token in range(2, 7):
            back_in_the_queue(bench, execution_id)

            tokens = list(threads.map(race, stores))

            assert [each for each in tokens if each is not None] == [token]


def test_every_claim_raises_the_token(bench: Bench) -> None:
    execution_id = bench.create()

    tokens = [claimed(bench.store.claim(execution_id)).token]
    for _ in range(3):
        back_in_the_queue(bench, execution_id)
        tokens.append(claimed(bench.peer().claim(execution_id)).token)

    assert tokens == [1, 2, 3, 4]


def test_a_claim_carries_what_the_execution_was_created_with(bench: Bench) -> None:
    context = {"z": 1, "a": {"z": [1.5, None, True], "ä": "\N{GRINNING FACE}"}}
    execution_id = bench.create(context)
    first = claimed(bench.store.claim(execution_id))
    back_in_the_queue(bench, execution_id)

    second = claimed(bench.peer().claim(execution_id))

    assert written_out(first.initial_context) == written_out(context)
    assert written_out(second.initial_context) == written_out(context)
    assert (second.task_id, second.started_at) == (first.task_id, first.started_at)
    assert list(second.graph.nodes) == list(first.graph.nodes)
    assert list(second.history) == []
    assert second.attempts == {}


def test_an_execution_that_does_not_exist_cannot_be_claimed(bench: Bench) -> None:
    bench.create()

    assert bench.store.claim(4711) is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_a_final_execution_can_neither_be_claimed_nor_recovered(bench: Bench, status: Status) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    error = NodeError("ValueError", "no") if status is Status.FAILED else None
    bench.store.settle(claim, Verdict(status, {}, error, "a" if error else None), [])

    recovered = bench.recover()

    assert recovered == []
    assert bench.store.claim(execution_id) is None
    assert bench.peer().claim(execution_id) is None
    assert bench.status(execution_id) == status


# The fence.


@pytest.mark.parametrize("nodes", [["b"], ["b", "c", "d"]], ids=["one attempt", "several"])
def test_a_checkpoint_under_an_older_token_is_refused_and_writes_nothing(bench: Bench, nodes: list[str]) -> None:
    execution_id = bench.create()
    old = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(old, [attempt("a")])
    back_in_the_queue(bench, execution_id)
    new = claimed(bench.peer().claim(execution_id))

    with pytest.raises(LeaseLost):
        bench.store.checkpoint(old, [attempt(node_id) for node_id in nodes])

    assert bench.rows(execution_id) == [("a", 1, old.token)]
    assert bench.store.claim(execution_id) is None
    assert new.token > old.token


@pytest.mark.parametrize("attempts", [[], [attempt("b"), attempt("c")]], ids=["no attempt", "with attempts"])
def test_a_settlement_under_an_older_token_is_refused_and_writes_nothing(bench: Bench, attempts: list[Attempt]) -> None:
    execution_id = bench.create()
    old = claimed(bench.store.claim(execution_id))
    back_in_the_queue(bench, execution_id)
    new = claimed(bench.peer().claim(execution_id))

    with pytest.raises(LeaseLost):
        bench.store.settle(old, completed({"mine": 1}), attempts)

    assert bench.rows(execution_id) == []
    assert bench.status(execution_id) == Status.RUNNING
    bench.peer().settle(new, completed({"theirs": 1}), [])
    assert bench.result(execution_id) == {"theirs": 1}


def test_who_was_recovered_is_refused_even_before_another_has_claimed(bench: Bench) -> None:
    execution_id = bench.create()
    old = claimed(bench.store.claim(execution_id))
    back_in_the_queue(bench, execution_id)

    with pytest.raises(LeaseLost):
        bench.store.checkpoint(old, [attempt("a")])
    with pytest.raises(LeaseLost):
        bench.store.settle(old, completed(), [attempt("a")])

    assert bench.rows(execution_id) == []
    assert bench.status(execution_id) == Status.QUEUED


def test_nothing_is_written_after_the_end(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.settle(claim, completed({"n": 1}), [attempt("a")])

    with pytest.raises(LeaseLost):
        bench.store.checkpoint(claim, [attempt("b")])
    with pytest.raises(LeaseLost):
        bench.store.settle(claim, completed({"n": 2}), [])

    assert bench.rows(execution_id) == [("a", 1, 1)]
    assert bench.result(execution_id) == {"n": 1}


def test_a_refused_runner_leaves_the_new_one_undisturbed(bench: Bench) -> None:
    execution_id = bench.create()
    old = claimed(bench.store.claim(execution_id))
    back_in_the_queue(bench, execution_id)
    other = bench.peer()
    new = claimed(other.claim(execution_id))
    with pytest.raises(LeaseLost):
        bench.store.checkpoint(old, [attempt("a", {"by": "old"})])

    other.checkpoint(new, [attempt("a", {"by": "new"})])
    other.settle(new, completed({"by": "new"}), [attempt("b")])

    assert bench.rows(execution_id) == [("a", 1, 2), ("b", 1, 2)]
    assert bench.status(execution_id) == Status.COMPLETED


# What was written comes back.


def test_history_comes_back_in_the_order_it_was_written(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("c"), attempt("a")])
    bench.store.checkpoint(claim, [attempt("b")])
    bench.store.checkpoint(claim, [attempt("ask", outcome=Succeeded({"n": 1}, "yes"))])
    back_in_the_queue(bench, execution_id)

    again = claimed(bench.peer().claim(execution_id))

    assert list(again.history) == [
        ("c", Succeeded({})),
        ("a", Succeeded({})),
        ("b", Succeeded({})),
        ("ask", Succeeded({"n": 1}, "yes")),
    ]


def test_a_branch_without_an_edge_comes_back_as_it_was_named(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("ask", outcome=Succeeded({}, "näher besehen"))])
    back_in_the_queue(bench, execution_id)

    [(_, outcome)] = claimed(bench.store.claim(execution_id)).history

    assert outcome == Succeeded({}, "näher besehen")


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(text, values, max_size=4),
    max_leaves=12,
)
contexts = st.dictionaries(text, json_values, max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(initial_context=contexts, outputs=st.lists(contexts, max_size=3), result=contexts)
def test_any_json_comes_back_as_it_was(
    bench: Bench, initial_context: Context, outputs: list[Context], result: Context
) -> None:
    execution_id = bench.create(initial_context)
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt(node_id, output) for node_id, output in zip("abc", outputs, strict=False)])
    back_in_the_queue(bench, execution_id)

    again = claimed(bench.store.claim(execution_id))
    bench.store.settle(again, completed(result), [])

    assert written_out(again.initial_context) == written_out(initial_context)
    assert [written_out(outcome.output) for outcome in successes(again.history)] == list(map(written_out, outputs))
    assert written_out(bench.result(execution_id)) == written_out(result)


def successes(history: Sequence[tuple[str, object]]) -> list[Succeeded]:
    return [outcome for _, outcome in history if isinstance(outcome, Succeeded)]


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_errors_come_back_as_they_were(bench: Bench, error_class: ErrorClass) -> None:
    error = NodeError("KeyError", "'tötal' is missing: \N{PENSIVE FACE}", error_class, 'File "<node>", line 3\n  x')
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a", outcome=Failed(error))])
    back_in_the_queue(bench, execution_id)

    history = claimed(bench.peer().claim(execution_id)).history

    assert list(history) == [("a", Failed(error))]


def test_an_error_without_message_or_traceback_comes_back_as_it_was(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a", outcome=Failed(NodeError("Timeout", "")))])
    back_in_the_queue(bench, execution_id)

    history = claimed(bench.store.claim(execution_id)).history

    assert list(history) == [("a", Failed(NodeError("Timeout", "")))]


def test_the_next_attempt_at_a_node_is_counted_from_those_that_were_written(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a"), attempt("b", outcome=Waiting(WaitFor.TIME))])
    bench.store.checkpoint(claim, [attempt("b", outcome=Waiting(WaitFor.TIME), number=2)])
    back_in_the_queue(bench, execution_id)

    again = claimed(bench.peer().claim(execution_id))

    assert again.attempts == {"a": 1, "b": 2}
    assert [node_id for node_id, _ in again.history] == ["a", "b", "b"]


def test_the_last_attempts_are_written_with_the_end(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a")])

    bench.store.settle(claim, completed({"n": 1}), [attempt("b"), attempt("c")])

    assert bench.rows(execution_id) == [("a", 1, 1), ("b", 1, 1), ("c", 1, 1)]
    assert bench.status(execution_id) == Status.COMPLETED
    assert bench.result(execution_id) == {"n": 1}


def test_one_execution_knows_nothing_of_another(bench: Bench) -> None:
    one, other = bench.create({"n": 1}), bench.create({"n": 2})
    claims = {each: claimed(bench.store.claim(each)) for each in (one, other)}
    bench.store.checkpoint(claims[one], [attempt("a", {"of": one})])
    bench.store.checkpoint(claims[other], [attempt("a", {"of": other})])
    back_in_the_queue(bench, one)

    again = claimed(bench.store.claim(one))

    assert again.initial_context == {"n": 1}
    assert list(again.history) == [("a", Succeeded({"of": one}))]
    assert bench.status(other) == Status.RUNNING


# Giving up.


def test_what_was_released_can_be_claimed_by_another(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a")])

    bench.store.release(claim, HANDED_OFF)

    assert bench.status(execution_id) == Status.QUEUED
    again = claimed(bench.peer().claim(execution_id))
    assert again.token == 2
    assert [node_id for node_id, _ in again.history] == ["a"]


def test_who_has_released_is_fenced_off(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.release(claim, HANDED_OFF)

    with pytest.raises(LeaseLost):
        bench.store.checkpoint(claim, [attempt("a")])

    assert bench.rows(execution_id) == []


def test_what_is_lost_already_cannot_be_released(bench: Bench) -> None:
    execution_id = bench.create()
    old = claimed(bench.store.claim(execution_id))
    back_in_the_queue(bench, execution_id)
    other = bench.peer()
    new = claimed(other.claim(execution_id))

    with pytest.raises(LeaseLost):
        bench.store.release(old, HANDED_OFF)

    assert bench.status(execution_id) == Status.RUNNING
    other.checkpoint(new, [attempt("a")])
    assert bench.rows(execution_id) == [("a", 1, 2)]


def test_what_has_ended_cannot_be_released(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.settle(claim, completed(), [])

    with pytest.raises(LeaseLost):
        bench.store.release(claim, HANDED_OFF)

    assert bench.status(execution_id) == Status.COMPLETED


def test_forgetting_a_claim_changes_nothing_that_is_kept(bench: Bench) -> None:
    execution_id = bench.create()
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a")])

    bench.store.forget(claim)
    bench.store.forget(claim)

    assert bench.status(execution_id) == Status.RUNNING
    assert bench.rows(execution_id) == [("a", 1, 1)]
    back_in_the_queue(bench, execution_id)
    assert claimed(bench.store.claim(execution_id)).token == 2


# Values that are big, or look like our own marks.

BIG = "ä" * 300_000


def test_big_values_come_back_as_they_were(bench: Bench) -> None:
    context = {"text": BIG, "rows": list(range(100_000)), "small": "x"}
    execution_id = bench.create(context)
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a", context)])
    back_in_the_queue(bench, execution_id)

    again = claimed(bench.peer().claim(execution_id))
    bench.store.forget(again)

    assert again.initial_context == context
    assert list(again.history) == [("a", Succeeded(context))]


MARKS = [{"$blob": "0" * 64}, {"$blob": 7}, {"$blob": None}, {"$blob": {"$blob": "x"}}, [{"$blob": "x"}]]


@pytest.mark.parametrize("value", MARKS, ids=str)
def test_a_value_that_looks_like_a_mark_comes_back_as_it_was(bench: Bench, value: object) -> None:
    execution_id = bench.create({"value": value})
    claim = claimed(bench.store.claim(execution_id))
    bench.store.checkpoint(claim, [attempt("a", {"value": value, "$blob": value})])
    back_in_the_queue(bench, execution_id)

    again = claimed(bench.store.claim(execution_id))
    bench.store.settle(again, completed({"value": value}), [])

    assert again.initial_context == {"value": value}
    assert list(again.history) == [("a", Succeeded({"value": value, "$blob": value}))]
    assert bench.result(execution_id) == {"value": value}


# What only SQL can break.


def test_a_big_value_is_kept_once_however_often_it_is_written(sql_bench: SqlBench) -> None:
    ids = [sql_bench.create({"value": BIG}) for _ in range(2)]
    claims = [claimed(sql_bench.store.claim(execution_id)) for execution_id in ids]

    for claim in claims:
        sql_bench.store.checkpoint(claim, [attempt("a", {"same": BIG}), attempt("b", {"again": BIG})])
        sql_bench.store.settle(claim, completed({"value": BIG, "same": BIG}), [])

    assert sql_bench.blobs() == 1
    assert [sql_bench.result(execution_id) for execution_id in ids] == [{"value": BIG, "same": BIG}] * 2


def test_of_a_refused_checkpoint_not_even_its_big_values_count(sql_bench: SqlBench) -> None:
    execution_id = sql_bench.create()
    old = claimed(sql_bench.store.claim(execution_id))
    back_in_the_queue(sql_bench, execution_id)

    with pytest.raises(LeaseLost):
        sql_bench.store.checkpoint(old, [attempt("a", {"value": BIG}), attempt("b")])

    assert sql_bench.rows(execution_id) == []


def test_the_same_attempt_cannot_be_kept_twice(sql_bench: SqlBench) -> None:
    execution_id = sql_bench.create()
    claim = claimed(sql_bench.store.claim(execution_id))
    sql_bench.store.checkpoint(claim, [attempt("a")])

    with pytest.raises(Exception, match=r"(?i)unique"):
        sql_bench.store.checkpoint(claim, [attempt("b"), attempt("a")])

    assert sql_bench.rows(execution_id) == [("a", 1, 1)]


# Answers.


def test_an_answer_is_heard_by_who_drives_the_run_and_by_who_claims_it_next(bench: Bench) -> None:
    claim = claimed(bench.store.claim(bench.create()))
    bench.store.checkpoint(claim, [attempt("ask", outcome=Waiting(WaitFor.REVIEW))])
    before = bench.store.answers(claim)

    bench.approve(claim.execution_id, "ask")

    heard = bench.store.answers(claim)
    bench.store.release(claim, HANDED_OFF)
    assert (before, heard) == ({}, {"ask": APPROVAL})
    assert claimed(bench.store.claim(claim.execution_id)).answers == heard


def test_an_answer_to_an_earlier_attempt_answers_no_later_one(bench: Bench) -> None:
    claim = claimed(bench.store.claim(bench.create()))
    bench.store.checkpoint(claim, [attempt("ask", outcome=Waiting(WaitFor.REVIEW))])
    bench.approve(claim.execution_id, "ask")

    bench.store.checkpoint(claim, [attempt("ask", outcome=Waiting(WaitFor.REVIEW), number=2)])

    assert bench.store.answers(claim) == {}
