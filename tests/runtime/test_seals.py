"""The hash chain of an execution: whatever is changed in a row afterwards is found, whoever changed it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from src.__main__ import cli
from src.core.outcome import ErrorClass, Failed, NodeError, Succeeded, Usage, WaitFor, Waiting
from src.models import Blob, ChainOfWork, Execution
from src.nova import Nova
from src.runtime.seals import SEALED
from src.runtime.workflows import Draft
from tests.runtime.building import PLAIN, Parts, attempt, change, completed, graph, rows, run_to_end, running

WHOLE = {"z": 1, "a": [2.5, 1e300, -0.0, None, "ü"], "b": {"y": 1, "x": 12345678901234567890}}


@pytest.fixture
def parts(database_url: str) -> Iterator[Parts]:
    with_everything = Parts(database_url)
    yield with_everything
    with_everything.close()


def sealed_run(parts: Parts) -> int:
    """An execution that has ended, with a row in which every column has a value that it may have."""
    claim = parts.claimed({"net": 1})
    usage = Usage("full", 1.0, 2048)
    parts.store.checkpoint(claim, [attempt("start"), attempt("a", WHOLE)])
    error = NodeError("Timeout", "it took long", ErrorClass.TRANSIENT, "line 1")
    until = datetime.now(UTC) + timedelta(hours=1)
    waiting = Waiting(WaitFor.RETRY, until, WHOLE, error, {"x": 1}, "printed", usage, "yes")
    parts.store.checkpoint(claim, [attempt("ask", outcome=waiting)])
    parts.store.checkpoint(claim, [attempt("ask", outcome=Succeeded({}, "yes", "printed", usage), number=2)])
    parts.store.checkpoint(claim, [attempt("b", outcome=Failed(error))])
    parts.store.settle(claim, completed(), [attempt("end")])
    return claim.execution_id


def complaints(parts: Parts, execution_id: int) -> list[str]:
    from src.runtime.seals import broken

    with parts.database.read() as connection:
        execution = connection.execute(
            select(Execution.task_id, Execution.last_seal).where(Execution.id == execution_id)
        ).one()
        its = select(*ChainOfWork.__table__.columns).where(ChainOfWork.execution_id == execution_id)
        found = connection.execute(its.order_by(ChainOfWork.id)).all()
        return list(broken(connection, execution.task_id, found, execution.last_seal))


def test_what_nobody_has_changed_fits_its_seals_on_either_database(parts: Parts) -> None:
    assert complaints(parts, sealed_run(parts)) == []


def one_byte_on(value: Any) -> Any:
    """The value with one byte of it changed, or one where there was none."""
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, float):
        return value + 0.000001
    if isinstance(value, int):
        return value + 8  # another attempt than any that is there
    if isinstance(value, dict):
        return {**value, "z": 2}
    return f"{value[:-1]}{'x' if value[-1] != 'x' else 'y'}"


EMPTY: dict[str, Any] = {"code_executed": "1", "usage": {"z": 1}, "origin_attempt_id": 7}
"""Columns in which this run left nothing."""


def test_one_byte_changed_in_any_column_of_any_row_is_found(parts: Parts) -> None:
    execution_id = sealed_run(parts)
    unchanged = 0
    tried: set[str] = set()
    for row in rows(parts.database, "SELECT id FROM chain_of_work ORDER BY id"):
        for name in SEALED:
            column = ChainOfWork.__table__.c[name]
            with parts.database.read() as connection:
                before = connection.execute(select(column).where(ChainOfWork.id == row.id)).scalar()
            after = EMPTY.get(name) if before is None else one_byte_on(before)
            if after is None:
                continue
            write(parts, row.id, name, after)
            assert complaints(parts, execution_id), f"{name}: {before!r} -> {after!r}"
            write(parts, row.id, name, before)
            tried.add(name)
            unchanged += not complaints(parts, execution_id)

    assert tried == set(SEALED)
    assert unchanged > len(SEALED)


def write(parts: Parts, row_id: int, name: str, value: Any) -> None:
    with parts.database.write() as connection:
        connection.execute(update(ChainOfWork).where(ChainOfWork.id == row_id).values({name: value}))


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("DELETE FROM chain_of_work WHERE node_id = 'a'", "what stood before it"),
        ("DELETE FROM chain_of_work WHERE node_id = 'end'", "taken out or put in at the end"),
        ("UPDATE chain_of_work SET seal = NULL WHERE node_id = 'b'", "has no seal"),
        ("UPDATE chain_of_work SET seal = 'f' WHERE node_id = 'b'", "was changed"),
    ],
)
def test_rows_that_are_taken_out_or_lose_their_seal_are_found(parts: Parts, statement: str, complaint: str) -> None:
    execution_id = sealed_run(parts)

    change(parts.database, statement)

    assert any(complaint in sentence for sentence in complaints(parts, execution_id))


def test_a_runner_that_takes_over_goes_on_with_the_chain(database_url: str) -> None:
    first, second = Parts(database_url, owner="one"), Parts(database_url, owner="two")
    claim = first.claimed()
    first.store.checkpoint(claim, [attempt("a", WHOLE)])
    change(first.database, "UPDATE executions SET status = 'queued', lease_owner = NULL")

    taken = second.store.claim(claim.execution_id)
    assert taken is not None
    second.store.checkpoint(taken, [attempt("b")])
    second.store.settle(taken, completed(), [])

    assert complaints(second, claim.execution_id) == []
    first.close()
    second.close()


def test_a_big_value_that_was_changed_is_found(parts: Parts) -> None:
    claim = parts.claimed()
    parts.store.settle(claim, completed(), [attempt("a", {"big": "x" * 300_000})])
    with parts.database.write() as connection:
        connection.execute(update(Blob).values(content=Blob.content + " "))

    assert any("big value" in sentence for sentence in complaints(parts, claim.execution_id))


def run_one(nova: Nova) -> int:
    definition = graph("start -> a, a -> b, b -> end", a={"type": "transform", "set": {"x": 1}})
    workflow_id = nova.workflows.keep(Draft("one", definition))
    return int(run_to_end(nova, nova.executions.order(workflow_id, {"name": "Ada"})).row.id)


def test_the_command_finds_a_changed_row_and_says_what_is_older_than_seals(database_url: str) -> None:
    with running(database_url) as nova:
        run_one(nova)
        old = run_one(nova)
        change(nova.database, "UPDATE chain_of_work SET seal = NULL WHERE execution_id = :id", id=old)
        change(nova.database, "UPDATE executions SET last_seal = NULL WHERE id = :id", id=old)
        clean = CliRunner().invoke(cli, ["verify", "--all"], env={"DATABASE_URL": database_url})
        change(nova.database, "UPDATE chain_of_work SET logs = 'nothing to see' WHERE node_id = 'b'")
        changed = CliRunner().invoke(cli, ["verify", "--all"], env={"DATABASE_URL": database_url})

    assert (clean.exit_code, changed.exit_code) == (0, 1)
    assert "4 rows are from before seals" in clean.output
    assert "execution 1: 'b' attempt 1 was changed after it was written" in changed.output


def test_the_definition_has_what_these_tests_write() -> None:
    assert {node["id"] for node in PLAIN["nodes"]} >= {"start", "a", "b", "ask", "end"}
