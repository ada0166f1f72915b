"""Leases: renewed while their runner lives, lost when it does not, and never taken from a living one."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from src.core.engine import NodeChange
from src.core.errors import LeaseLost
from src.core.status import Status
from src.core.store import Claim
from src.database import Database
from src.runtime.leases import recover
from src.runtime.presence import Presence
from src.runtime.workflows import Draft
from tests.runtime.building import (
    HANDED_OFF,
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
    resume,
    rows,
    run_to_end,
    running,
    waiting_for_locks,
)
from tests.runtime.proxy import proxied

SHORT_SECONDS = 0.6
"""Renewed every 0.2 s."""


@pytest.fixture
def one(database_url: str) -> Iterator[Parts]:
    with parts(database_url) as made:
        yield made


def status_of(database: Database, execution_id: int) -> str:
    [row] = rows(database, "SELECT status FROM executions WHERE id = :id", id=execution_id)
    return str(row.status)


def lease_of(database: Database, execution_id: int) -> str:
    """As text, which can be compared."""
    [row] = rows(
        database, "SELECT CAST(lease_until AS varchar) AS until FROM executions WHERE id = :id", id=execution_id
    )
    return str(row.until)


def await_renewal(database: Database, claim: Claim) -> None:
    before = lease_of(database, claim.execution_id)
    eventually(lambda: lease_of(database, claim.execution_id) > before, what="a renewal")


def has_run_out(database: Database, execution_id: int) -> bool:
    return execution_id in recover(database)


# Renewal.


def test_a_lease_is_renewed_for_as_long_as_its_claim_is_driven(database_url: str) -> None:
    with parts(database_url, lease_seconds=SHORT_SECONDS) as made:
        claim = made.claimed()
        seen = {lease_of(made.database, claim.execution_id)}

        def was_renewed() -> bool:
            assert recover(made.database) == []
            seen.add(lease_of(made.database, claim.execution_id))
            return len(seen) > 5  # longer than the lease it began with

        eventually(was_renewed)

        assert not claim.lost.is_set()
        made.store.checkpoint(claim, [attempt("a")])
        assert kept_nodes(made.database, claim.execution_id) == ["a"]


def test_a_lease_runs_out_when_its_claim_is_forgotten(database_url: str) -> None:
    with parts(database_url, lease_seconds=SHORT_SECONDS) as made:
        claim = made.claimed()

        made.store.forget(claim)
        eventually(lambda: has_run_out(made.database, claim.execution_id), what="the end of the lease")

        assert status_of(made.database, claim.execution_id) == Status.QUEUED


def test_a_lease_runs_out_when_its_process_is_gone(database_url: str) -> None:
    with parts(database_url, lease_seconds=SHORT_SECONDS) as gone:
        claim = gone.claimed()

    with parts(database_url, owner="another") as made:
        eventually(lambda: has_run_out(made.database, claim.execution_id), what="the end of the lease")
        again = claimed(made.store.claim(claim.execution_id))

    assert again.token == claim.token + 1


def test_a_runner_is_told_when_its_execution_has_become_anothers(database_url: str) -> None:
    with (
        parts(database_url, lease_seconds=SHORT_SECONDS) as made,
        parts(database_url, owner="another") as other,
    ):
        lost, kept = made.claimed(), made.claimed()
        expire(made.database, lost.execution_id)
        if recover(other.database) == [lost.execution_id]:  # or it was renewed in between
            claimed(other.store.claim(lost.execution_id))

            assert lost.lost.wait(timeout=20)

        assert not kept.lost.is_set()


def test_a_runner_is_told_when_its_lease_could_not_be_renewed_for_as_long_as_it_lasts(postgres_url: str) -> None:
    with proxied(postgres_url) as (proxy, url), parts(url, lease_seconds=SHORT_SECONDS) as made:
        claim = made.claimed()

        proxy.go_down()

        assert claim.lost.wait(timeout=20)


def test_leases_are_renewed_again_after_an_outage_that_was_shorter(postgres_url: str) -> None:
    with (
        proxied(postgres_url) as (proxy, url),
        parts(url, lease_seconds=2.4) as made,
        parts(postgres_url, owner="witness") as witness,
    ):
        claim = made.claimed()
        for _ in range(2):
            await_renewal(witness.database, claim)
            proxy.cut()

        await_renewal(witness.database, claim)

        assert not claim.lost.is_set()


@contextmanager
def locked(url: str, claim: Claim) -> Iterator[None]:
    """Somebody else has the row of an execution, until the block ends."""
    with closing(Database(url)) as other, other.write() as connection:
        connection.exec_driver_sql(f"SELECT FROM executions WHERE id = {claim.execution_id} FOR UPDATE")
        yield


def test_a_row_that_is_locked_costs_no_other_execution_its_lease(postgres_url: str) -> None:
    with parts(postgres_url, lease_seconds=SHORT_SECONDS) as made:
        held, others = made.claimed(), [made.claimed(), made.claimed()]

        with locked(postgres_url, held):
            assert held.lost.wait(timeout=20)
            for claim in others:
                await_renewal(made.database, claim)
                assert not claim.lost.is_set()


def test_a_lease_whose_row_is_locked_is_renewed_when_the_lock_goes(postgres_url: str) -> None:
    with parts(postgres_url, lease_seconds=5) as made:
        claim = made.claimed()
        before = lease_of(made.database, claim.execution_id)

        with locked(postgres_url, claim):
            made.leases.renew()
            assert lease_of(made.database, claim.execution_id) == before
        made.leases.renew()

        assert lease_of(made.database, claim.execution_id) > before
        assert not claim.lost.is_set()


def test_a_lease_is_renewed_after_a_checkpoint_that_is_under_way(postgres_url: str) -> None:
    with (
        parts(postgres_url) as made,
        made.database.read() as admin,
        ThreadPoolExecutor(1) as threads,
    ):
        claim = made.claimed()
        before = lease_of(made.database, claim.execution_id)

        with locked(postgres_url, claim):
            renewing = threads.submit(made.leases.renew)
            eventually(lambda: waiting_for_locks(admin, 1), what="the renewal")
        renewing.result()

        assert lease_of(made.database, claim.execution_id) > before


def test_an_action_whose_lease_is_lost_during_an_outage_does_not_fail_its_run(postgres_url: str) -> None:
    nap = {"type": "action", "code": "import time; time.sleep(context['nap'])", "retry": {"max_attempts": 1}}
    slow = graph("start -> act, act -> end", act=nap)
    changes: list[NodeChange] = []
    with (
        proxied(postgres_url) as (proxy, url),
        running(url, watch=changes.append, lease_seconds=1.0) as nova,
        running(postgres_url) as witness,
    ):
        order = nova.executions.order(nova.workflows.create(Draft("slow", slow)), {"nap": 3})

        future = nova.dispatcher.submit(lambda: run_to_end(nova, order))
        eventually(lambda: any(change.node_id == "act" for change in changes), what="the action")
        proxy.go_down()
        eventually(lambda: changes[-1].attempt, what="the end of the action, whose lease nobody renews")
        proxy.come_back()
        future.exception(timeout=60)
        [execution_id] = witness.executions.ids()
        eventually(lambda: execution_id in witness.recover() or is_done(witness.database), what="the end of the lease")
        found = resume(witness, execution_id)

        assert found.row.error is None
        assert found.row.status == Status.COMPLETED


def is_done(database: Database) -> bool:
    return bool(rows(database, "SELECT 1 FROM executions WHERE completed_at IS NOT NULL"))


# Recovery.


def test_recovery_takes_only_what_has_run_out(one: Parts) -> None:
    out, held, ended, queued = (one.claimed() for _ in range(4))
    expire(one.database, out.execution_id)
    one.store.settle(ended, completed(), [])
    one.store.release(queued, HANDED_OFF)

    assert recover(one.database) == [out.execution_id]

    assert [status_of(one.database, claim.execution_id) for claim in (out, held, ended, queued)] == [
        Status.QUEUED,
        Status.RUNNING,
        Status.COMPLETED,
        Status.QUEUED,
    ]


def test_a_recovery_leaves_its_evidence(one: Parts) -> None:
    claim = one.claimed()
    expire(one.database, claim.execution_id)

    recover(one.database)

    [event] = one.rows("SELECT execution_id, kind, data FROM execution_events")
    data = json.loads(event.data) if isinstance(event.data, str) else event.data
    assert (event.execution_id, event.kind) == (claim.execution_id, "recovered")
    assert data == {"owner": "one", "lease_token": 1}


def test_of_many_who_recover_at_once_one_does(one: Parts) -> None:
    claims = [one.claimed() for _ in range(20)]
    for claim in claims:
        expire(one.database, claim.execution_id)
    start = threading.Barrier(8)

    def race(_: int) -> list[int]:
        start.wait()
        return recover(one.database)

    with ThreadPoolExecutor(8) as threads:
        recovered = sorted(each for found in threads.map(race, range(8)) for each in found)

    assert recovered == [claim.execution_id for claim in claims]
    assert len(one.rows("SELECT id FROM execution_events")) == 20


def test_who_is_alone_frees_what_all_others_hold_and_keeps_its_own(database_url: str) -> None:
    with parts(database_url, owner="dead") as dead, parts(database_url, owner="alive") as alive:
        theirs, ours = dead.claimed(), alive.claimed()

        assert recover(alive.database, alive="alive") == [theirs.execution_id]

        with pytest.raises(LeaseLost):
            dead.store.checkpoint(theirs, [attempt("a")])
        alive.store.checkpoint(ours, [attempt("a")])
        assert kept_nodes(alive.database, ours.execution_id) == ["a"]


def test_a_runner_and_a_recovery_that_meet_agree_on_who_has_the_execution(one: Parts) -> None:
    claims = [one.claimed() for _ in range(30)]
    for claim in claims:
        expire(one.database, claim.execution_id)
    start = threading.Barrier(2)

    def write() -> list[Claim]:
        start.wait()
        return [claim for claim in claims if not is_refused(one, claim)]

    def free() -> list[int]:
        start.wait()
        return recover(one.database)

    with ThreadPoolExecutor(2) as threads:
        writing, freeing = threads.submit(write), threads.submit(free)
        freeing.result()

    written = {claim.execution_id for claim in writing.result()}
    recover(one.database)  # what a checkpoint held at that moment was passed over
    for claim in claims:
        assert is_refused(one, claim)
        assert kept_nodes(one.database, claim.execution_id) == (["a"] if claim.execution_id in written else [])


def is_refused(made: Parts, claim: Claim) -> bool:
    try:
        made.store.checkpoint(claim, [attempt("a")])
    except LeaseLost:
        return True
    return False


def test_who_has_lost_its_execution_starts_no_further_node(database_url: str, tmp_path: Path) -> None:
    effects, go = tmp_path / "effects", tmp_path / "go"
    line = graph("start -> held, held -> next, next -> end", held=call("wait_for_a_file"), next=call("note"))
    with running(database_url) as nova:
        order = nova.executions.order(
            nova.workflows.create(Draft("line", line)), {"effects": str(effects), "go": str(go)}
        )

        future = nova.dispatcher.submit(lambda: run_to_end(nova, order))
        eventually(effects.exists, what="the first node")
        [execution_id] = nova.executions.ids()
        assert recover(nova.database, alive="another") == [execution_id]
        go.touch()
        found = future.result(timeout=20)

        assert found.row.status == Status.QUEUED
        assert kept_nodes(nova.database, execution_id) == []
        assert effects.read_text() == "held\n"


# Presence: who starts on a SQLite file.


@contextmanager
def holder(url: str, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A real process that holds an execution; its id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.holder", url, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_the_lease_of_a_living_process_is_respected(database_url: str, tmp_path: Path) -> None:
    with holder(database_url, tmp_path) as (process, execution_id):
        with running(database_url) as nova:
            assert nova.recover() == []
            assert nova.executions.find(execution_id).row.status == Status.RUNNING
            assert resume(nova, execution_id).row.status == Status.RUNNING
        (tmp_path / "go").touch()
        process.wait(timeout=30)

        with running(database_url) as nova:
            assert nova.executions.find(execution_id).row.status == Status.COMPLETED
            assert nova.executions.verify(execution_id) == []


def test_the_lease_of_a_dead_process_is_free_at_the_next_start_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    with holder(sqlite_url, tmp_path) as (process, execution_id):
        process.kill()
        process.wait()
    (tmp_path / "go").touch()

    with running(sqlite_url) as nova:
        assert nova.recover() == [execution_id]
        assert resume(nova, execution_id).row.status == Status.COMPLETED
        assert nova.executions.verify(execution_id) == []


def test_the_lease_of_a_dead_process_has_to_run_out_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    with holder(postgres_url, tmp_path) as (process, execution_id):
        process.kill()
        process.wait()

    with running(postgres_url) as nova:
        assert nova.recover() == []
        expire(nova.database, execution_id)
        assert nova.recover() == [execution_id]


def test_who_starts_beside_a_living_process_does_not_free_what_a_third_has_left(
    sqlite_url: str, tmp_path: Path
) -> None:
    with running(sqlite_url), parts(sqlite_url, owner="gone") as gone:
        claim = gone.claimed()

        with running(sqlite_url) as another:
            assert another.recover() == []

    with running(sqlite_url) as alone:
        assert alone.recover() == [claim.execution_id]


def test_who_leaves_is_seen_no_more(sqlite_url: str) -> None:
    first, second, third = (Presence(Database(sqlite_url)) for _ in range(3))
    alone: list[str] = []

    first.enter(lambda: alone.append("first"))
    second.enter(lambda: alone.append("second"))
    first.leave()
    second.leave()
    third.enter(lambda: alone.append("third"))
    third.leave()

    assert alone == ["first", "third"]
