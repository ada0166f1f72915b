"""What the ledger has written stays written once, whatever happens to the connection, the server or a neighbour."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text

from src.core.errors import LeaseLost, NotReady
from src.core.outcome import Failed, NodeError, Succeeded
from src.core.status import Status
from src.core.store import Claim
from src.database import Database
from src.runtime.leases import recover
from src.runtime.workflows import Draft
from tests.runtime.building import (
    Parts,
    attempt,
    call,
    claimed,
    completed,
    eventually,
    expire,
    graph,
    kept_nodes,
    parts,
    run_to_end,
    running,
    waiting_for_locks,
)
from tests.runtime.clusters import cluster
from tests.runtime.proxy import Proxy, proxied

Answer = TypeVar("Answer")
LINE = graph("start -> n1, n1 -> n2, n2 -> n3, n3 -> end", **{f"n{n}": call("note") for n in (1, 2, 3)})


@pytest.fixture
def one(database_url: str) -> Iterator[Parts]:
    with parts(database_url) as made:
        yield made


@pytest.fixture
def on_postgres(postgres_url: str) -> Iterator[Parts]:
    with parts(postgres_url) as made:
        yield made


@pytest.fixture
def admin(postgres_url: str) -> Iterator[Connection]:
    """Another client of the same PostgreSQL database, outside any transaction."""
    engine = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


@contextmanager
def writing_is_blocked(url: str) -> Iterator[None]:
    """Nobody else can write into `executions`, or by its leave, before the block ends."""
    is_sqlite = url.startswith("sqlite")
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def together(url: str, works: Sequence[Callable[[], Answer]]) -> list[Future[Answer]]:
    """Do `works` while nobody can write: what they submit piles up behind the first of them, and shares a commit."""
    begun = threading.Barrier(len(works) + 1)

    def work(do: Callable[[], Answer]) -> Answer:
        begun.wait()
        return do()

    with ThreadPoolExecutor(len(works)) as threads:
        with writing_is_blocked(url):
            futures = [threads.submit(work, do) for do in works]
            begun.wait()
        return futures


def several(made: Parts, count: int) -> list[Claim]:
    return [made.claimed() for _ in range(count)]


# Neighbours in a group.


def test_checkpoints_that_share_a_commit_are_each_written_whole(one: Parts, database_url: str) -> None:
    claims = several(one, 12)

    futures = together(
        database_url,
        [partial(one.store.checkpoint, claim, [attempt("a"), attempt("b")]) for claim in claims],
    )

    assert [future.exception() for future in futures] == [None] * 12
    assert [kept_nodes(one.database, claim.execution_id) for claim in claims] == [["a", "b"]] * 12


def test_of_many_creations_that_share_a_commit_each_gets_its_own_id(one: Parts, database_url: str) -> None:
    one.create()  # the workflow is there

    futures = together(database_url, [partial(one.create, {"n": n}) for n in range(12)])

    assert len({future.result() for future in futures}) == 12
    for n, future in enumerate(futures):
        execution_id = future.result()
        assert claimed(one.store.claim(execution_id)).initial_context == {"n": n}
        [row] = one.rows("SELECT initial_context FROM executions WHERE id = :id", id=execution_id)
        assert row.initial_context in ({"n": n}, f'{{"n":{n}}}')


def test_a_row_that_the_database_refuses_fails_its_own_run_and_no_other(one: Parts, database_url: str) -> None:
    claims = several(one, 8)
    bad, good = claims[3], claims[:3] + claims[4:]
    one.store.checkpoint(bad, [attempt("a")])

    futures = together(
        database_url,
        [partial(one.store.checkpoint, claim, [attempt("b"), attempt("a")]) for claim in claims],
    )

    errors = [future.exception() for future in futures]
    assert [error is not None for error in errors] == [claim is bad for claim in claims]
    assert kept_nodes(one.database, bad.execution_id) == ["a"]
    assert [kept_nodes(one.database, claim.execution_id) for claim in good] == [["b", "a"]] * 7


def test_a_runner_that_has_lost_its_lease_is_refused_and_no_other(one: Parts, database_url: str) -> None:
    claims = several(one, 8)
    lost = claims[3]
    expire(one.database, lost.execution_id)
    assert recover(one.database) == [lost.execution_id]

    futures = together(database_url, [partial(one.store.checkpoint, claim, [attempt("a")]) for claim in claims])

    errors = [future.exception() for future in futures]
    assert [type(error) for error in errors] == [LeaseLost if claim is lost else type(None) for claim in claims]
    assert [kept_nodes(one.database, claim.execution_id) for claim in claims] == [
        [] if claim is lost else ["a"] for claim in claims
    ]


UNWRITABLE = {
    "a lone surrogate in a branch": Succeeded({}, "\ud800"),
    "a NUL in a branch": Succeeded({}, "\x00"),
    "a lone surrogate in an error": Failed(NodeError("\ud800", "\ud800", traceback="\ud800")),
    "a NUL in an error": Failed(NodeError("\x00", "\x00", traceback="\x00")),
    "a lone surrogate in the logs": Succeeded({}, logs="\ud800\x00"),
}


@pytest.mark.parametrize("outcome", UNWRITABLE.values(), ids=UNWRITABLE.keys())
@pytest.mark.parametrize("big", [{}, {"big": "x" * 300_000}], ids=["small", "with a blob"])
def test_what_no_database_can_encode_harms_no_other_run(
    one: Parts, database_url: str, outcome: Succeeded | Failed, big: dict[str, str]
) -> None:
    claims = several(one, 6)
    attempts = [[attempt("a", outcome=outcome), attempt("b", big)] if n == 2 else [attempt("a")] for n in range(6)]

    futures = together(
        database_url,
        [partial(one.store.settle, claim, completed(), mine) for claim, mine in zip(claims, attempts, strict=True)],
    )
    later = one.claimed()
    one.store.settle(later, completed(), [attempt("a", big)])

    errors = [future.exception() for n, future in enumerate(futures) if n != 2]
    assert errors == [None] * 5
    assert [kept_nodes(one.database, each.execution_id) for each in (*claims[:2], *claims[3:], later)] == [["a"]] * 6


# Connections that break.


def terminate_all_others(admin: Connection) -> None:
    admin.execute(
        text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )


def test_connections_that_the_server_ended_between_two_checkpoints_are_not_noticed(
    on_postgres: Parts, admin: Connection
) -> None:
    claim = on_postgres.claimed()
    on_postgres.store.checkpoint(claim, [attempt("a")])

    terminate_all_others(admin)
    on_postgres.store.checkpoint(claim, [attempt("b")])
    terminate_all_others(admin)
    on_postgres.store.settle(claim, completed({"n": 1}), [attempt("c")])
    terminate_all_others(admin)
    another = on_postgres.create()

    assert kept_nodes(on_postgres.database, claim.execution_id) == ["a", "b", "c"]
    assert another == claim.execution_id + 1


@pytest.mark.parametrize("attempts", [["a"], ["a", "b", "c"]], ids=["one attempt", "several"])
def test_a_connection_that_the_server_ends_during_a_checkpoint_costs_nothing(
    on_postgres: Parts, admin: Connection, postgres_url: str, attempts: list[str]
) -> None:
    claim = on_postgres.claimed()

    with ThreadPoolExecutor(1) as threads:
        with writing_is_blocked(postgres_url):
            future = threads.submit(on_postgres.store.checkpoint, claim, [attempt(each) for each in attempts])
            eventually(lambda: waiting_for_locks(admin, 1), what="the checkpoint in the database")
            admin.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            )
        future.result()

    assert kept_nodes(on_postgres.database, claim.execution_id) == attempts


@pytest.mark.parametrize("statement", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_prepared_statements_that_a_pooler_has_lost_are_done_without(on_postgres: Parts, statement: str) -> None:
    opened = connections_of(on_postgres.database.engine)
    claim = on_postgres.claimed()
    on_postgres.store.checkpoint(claim, [attempt("a")])

    lose_prepared_statements(opened, statement)
    on_postgres.store.checkpoint(claim, [attempt("b"), attempt("c", {"big": "x" * 300_000})])
    lose_prepared_statements(opened, statement)
    on_postgres.store.settle(claim, completed(), [attempt("d")])
    another = on_postgres.create()

    assert kept_nodes(on_postgres.database, claim.execution_id) == ["a", "b", "c", "d"]
    assert another > claim.execution_id


def connections_of(engine: Engine) -> list[Any]:
    """Every connection that the engine opens from now on, as its driver knows it."""
    opened: list[Any] = []
    event.listen(engine, "connect", lambda connection, _: opened.append(connection))
    return opened


def lose_prepared_statements(opened: list[Any], statement: str) -> None:
    """Those that are idle outside the pool, and in no transaction: the ledger's among them."""
    for connection in opened:
        if connection.closed or not connection.autocommit:
            continue
        with connection.cursor() as cursor:
            cursor.execute(statement)


def test_statements_that_somebody_has_prepared_already_are_done_without(on_postgres: Parts) -> None:
    names = ("create", "keep", "settle", "blobs")

    def prepare_under_the_same_names(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"PREPARE nova_{name}(json) AS SELECT 1")
        connection.commit()

    event.listen(on_postgres.database.engine, "connect", prepare_under_the_same_names)

    claim = on_postgres.claimed()
    on_postgres.store.checkpoint(claim, [attempt("a", {"big": "x" * 300_000})])
    on_postgres.store.settle(claim, completed(), [attempt("b")])

    assert kept_nodes(on_postgres.database, claim.execution_id) == ["a", "b"]


# Answers that are lost.


@contextmanager
def behind_a_proxy(url: str, **options: float) -> Iterator[tuple[Proxy, Parts]]:
    with proxied(url) as (proxy, proxied_url), parts(proxied_url, **options) as made:
        yield proxy, made


def test_an_execution_whose_creation_was_not_answered_is_found_and_not_created_again(postgres_url: str) -> None:
    with behind_a_proxy(postgres_url) as (proxy, made):
        made.create()

        proxy.lose_the_answer_to(b"the-lost-one")
        execution_id = made.create({"value": "the-lost-one"})

        assert proxy.lost.is_set()
        assert [row.id for row in made.rows("SELECT id FROM executions ORDER BY id DESC")][:2] == [
            execution_id,
            execution_id - 1,
        ]
        assert len(made.rows("SELECT id FROM executions")) == 2


@pytest.mark.parametrize("count", [1, 3])
def test_a_checkpoint_that_was_not_answered_is_found_and_not_written_again(postgres_url: str, count: int) -> None:
    nodes = ["a", "b", "c"][:count]
    with behind_a_proxy(postgres_url) as (proxy, made):
        claim = made.claimed()

        proxy.lose_the_answer_to(b"the-lost-one")
        made.store.checkpoint(claim, [attempt(each, {"value": "the-lost-one"}) for each in nodes])

        assert proxy.lost.is_set()
        assert kept_nodes(made.database, claim.execution_id) == nodes
        made.store.checkpoint(claim, [attempt("d")])
        assert kept_nodes(made.database, claim.execution_id) == [*nodes, "d"]


@pytest.mark.parametrize(
    ("attempts", "lost_at"),
    [([], [b"the-lost-one"]), (["a"], [b"the-lost-one"]), (["a"], [b"the-lost-one", b"COMMIT"])],
    ids=["alone", "in the middle of its transaction", "at the commit"],
)
def test_an_end_that_was_not_answered_is_found_and_not_written_again(
    postgres_url: str, attempts: list[str], lost_at: list[bytes]
) -> None:
    with behind_a_proxy(postgres_url) as (proxy, made):
        claim = made.claimed()

        proxy.lose_the_answer_to(*lost_at)
        made.store.settle(
            claim, completed({"value": "the-lost-one"}), [attempt(each, {"value": "the-lost-one"}) for each in attempts]
        )

        assert proxy.lost.is_set()
        [row] = made.rows("SELECT status, lease_owner FROM executions WHERE id = :id", id=claim.execution_id)
        assert (row.status, row.lease_owner) == (Status.COMPLETED, None)
        assert kept_nodes(made.database, claim.execution_id) == attempts


def test_of_a_group_whose_commit_was_not_answered_nothing_is_written_twice(postgres_url: str) -> None:
    with behind_a_proxy(postgres_url) as (proxy, made):
        claims = several(made, 8)

        proxy.lose_the_answer_to(b"the-lost-one", b"COMMIT")
        futures = together(
            postgres_url,
            [
                partial(made.store.settle, claim, completed(), [attempt("a", {"value": "the-lost-one"})])
                for claim in claims
            ],
        )

        assert proxy.lost.is_set()
        assert [future.exception() for future in futures] == [None] * 8
        assert [kept_nodes(made.database, claim.execution_id) for claim in claims] == [["a"]] * 8


def test_a_statement_that_still_waits_in_the_server_when_its_connection_breaks_is_not_written_twice(
    postgres_url: str, admin: Connection
) -> None:
    with behind_a_proxy(postgres_url) as (proxy, made), ThreadPoolExecutor(1) as threads:
        claim = made.claimed()

        with checkpoints_wait_in_line(admin):
            future = threads.submit(made.store.checkpoint, claim, [attempt("a"), attempt("b")])
            eventually(lambda: waiting_for_locks(admin, 1), what="the checkpoint in the database")
            proxy.cut()
            eventually(lambda: waiting_for_locks(admin, 2), what="the checkpoint on another connection")
        future.result()

        assert kept_nodes(made.database, claim.execution_id) == ["a", "b"]
        made.store.checkpoint(claim, [attempt("c")])
        assert kept_nodes(made.database, claim.execution_id) == ["a", "b", "c"]


def test_an_execution_cannot_be_taken_while_a_checkpoint_of_it_is_under_way(
    on_postgres: Parts, admin: Connection
) -> None:
    claim = on_postgres.claimed()
    expire(on_postgres.database, claim.execution_id)

    with ThreadPoolExecutor(1) as threads:
        with checkpoints_wait_in_line(admin):
            future = threads.submit(on_postgres.store.checkpoint, claim, [attempt("a")])
            eventually(lambda: waiting_for_locks(admin, 1), what="the checkpoint in the database")
            taken = recover(on_postgres.database)
        future.result()

    assert taken == []
    assert recover(on_postgres.database) == [claim.execution_id]
    assert [node_id for node_id, _ in claimed(on_postgres.store.claim(claim.execution_id)).history] == ["a"]


@contextmanager
def checkpoints_wait_in_line(admin: Connection) -> Iterator[None]:
    """Rows are inserted one transaction after the other, in the order in which they came, once the block ends."""
    admin.execute(
        text(
            "CREATE FUNCTION wait_in_line() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END'"
        )
    )
    trigger = "CREATE TRIGGER line BEFORE INSERT ON chain_of_work FOR EACH ROW EXECUTE FUNCTION wait_in_line()"
    admin.execute(text(trigger))
    admin.execute(text("SELECT pg_advisory_lock(1)"))
    yield
    admin.execute(text("SELECT pg_advisory_unlock(1)"))


# A server that is away.


def test_a_finished_output_waits_for_a_server_that_is_away(postgres_url: str) -> None:
    with behind_a_proxy(postgres_url) as (proxy, made), ThreadPoolExecutor(1) as threads:
        claim = made.claimed()
        made.store.checkpoint(claim, [attempt("a")])

        proxy.go_down()
        future = threads.submit(made.store.checkpoint, claim, [attempt("b"), attempt("c")])
        eventually(lambda: proxy.refused >= 3, what="several vain tries")
        assert not future.done()
        proxy.come_back()
        future.result()

        assert kept_nodes(made.database, claim.execution_id) == ["a", "b", "c"]


@contextmanager
def asking_shortly(url: str, *, milliseconds: int = 50, **options: Any) -> Iterator[tuple[Parts, Sequence[object]]]:
    """Parts that wait for a lock for a moment at a time, and the connections that they have made."""
    with parts(url, **options) as made:
        setting, connections = "PRAGMA busy_timeout" if made.database.is_sqlite else "SET lock_timeout", []

        @event.listens_for(made.database.engine, "connect")
        def _shorten(connection: Any, _: object) -> None:
            connection.cursor().execute(f"{setting} = {milliseconds}")
            connections.append(connection)

        yield made, connections


@contextmanager
def held_by_another(url: str, execution_id: int) -> Iterator[Callable[[], object]]:
    """Somebody else has what is to be written, until the call."""
    with closing(Database(url)) as other, other.engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if other.is_sqlite else "BEGIN")
        connection.exec_driver_sql(f"UPDATE executions SET priority = 1 WHERE id = {execution_id}")
        yield lambda: connection.exec_driver_sql("ROLLBACK")


def test_a_finished_output_waits_for_a_lock_that_another_holds(database_url: str) -> None:
    with asking_shortly(database_url) as (made, connections), ThreadPoolExecutor(1) as threads:
        claim = made.claimed()
        with held_by_another(database_url, claim.execution_id) as let_go:
            before = len(connections)
            future = threads.submit(made.store.checkpoint, claim, [attempt("a")])
            eventually(lambda: len(connections) > before + 1, what="several vain tries")
            assert not future.done()
            let_go()
        future.result()

        assert kept_nodes(made.database, claim.execution_id) == ["a"]


def test_a_row_that_another_has_locked_holds_up_its_own_run_and_no_other(postgres_url: str, admin: Connection) -> None:
    with asking_shortly(postgres_url, milliseconds=500) as (made, _), ThreadPoolExecutor(8) as threads:
        *claims, later = several(made, 9)
        locked, neighbours = claims[2:4], claims[:2] + claims[4:]
        with made.database.write() as stranger:
            ids = ", ".join(str(claim.execution_id) for claim in locked)
            stranger.exec_driver_sql(f"SELECT FROM executions WHERE id IN ({ids}) FOR UPDATE")
            with stranger.begin_nested() as all_wait:
                stranger.exec_driver_sql("LOCK TABLE executions IN ACCESS EXCLUSIVE MODE")
                futures = [threads.submit(made.store.checkpoint, claim, [attempt("a")]) for claim in claims]
                eventually(lambda: waiting_for_locks(admin, 2), what="the first, before whom the others pile up")
                all_wait.rollback()

            for future in futures[:2] + futures[4:]:
                future.result(timeout=10)
            made.store.checkpoint(later, [attempt("a")])
            assert [kept_nodes(made.database, claim.execution_id) for claim in neighbours] == [["a"]] * 6
            assert not any(future.done() for future in futures[2:4])
        for future in futures[2:4]:
            future.result()

        assert [kept_nodes(made.database, claim.execution_id) for claim in locked] == [["a"]] * 2


def test_patience_with_a_lock_ends(database_url: str) -> None:
    with asking_shortly(database_url, patience_seconds=0.3) as (made, _):
        claim = made.claimed()

        with held_by_another(database_url, claim.execution_id) as let_go:
            with pytest.raises(NotReady):
                made.store.checkpoint(claim, [attempt("a")])
            let_go()

        made.store.checkpoint(claim, [attempt("a")])
        assert kept_nodes(made.database, claim.execution_id) == ["a"]


def test_patience_ends(postgres_url: str) -> None:
    with behind_a_proxy(postgres_url, patience_seconds=0.5) as (proxy, made):
        claim = made.claimed()
        proxy.go_down()

        with pytest.raises(NotReady):
            made.store.checkpoint(claim, [attempt("a")])

        proxy.come_back()
        made.store.checkpoint(claim, [attempt("a")])
        assert kept_nodes(made.database, claim.execution_id) == ["a"]


def test_a_run_outlives_a_server_that_is_stopped_at_once_and_started_again(tmp_path: Path) -> None:
    effects, go = tmp_path / "effects", tmp_path / "go"
    nodes = {f"n{n}": call("note") for n in range(1, 7)} | {"held": call("wait_for_a_file")}
    line = graph("start -> n1, n1 -> n2, n2 -> held, held -> n3, n3 -> n4, n4 -> n5, n5 -> n6, n6 -> end", **nodes)

    with cluster() as own, running(own.url, database_patience_seconds=60) as nova:
        workflow_id = nova.workflows.create(Draft("line", line))
        order = nova.executions.order(workflow_id, {"effects": str(effects), "go": str(go)})

        future = nova.dispatcher.submit(lambda: run_to_end(nova, order))
        eventually(lambda: effects.exists() and "held" in effects.read_text(), what="the node in the middle")
        own.stop_at_once()
        go.touch()
        own.start_again()
        found = future.result(timeout=60)

        assert found.row.status == Status.COMPLETED
        assert effects.read_text().split() == ["n1", "n2", "held", "n3", "n4", "n5", "n6"]
        assert nova.executions.verify(found.row.id) == []
