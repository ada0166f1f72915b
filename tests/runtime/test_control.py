"""What an operator asks of a run that is about to wait."""

from datetime import UTC, datetime, timedelta

from src.core.outcome import WaitFor, Waiting
from src.core.plan import Verdict
from src.core.status import Status
from src.runtime.bells import Silence
from src.runtime.control import Control
from src.runtime.queue import Queue
from tests.runtime.building import claimed, parts


def test_a_run_that_is_asked_to_pause_and_comes_to_a_wait_is_held(database_url: str) -> None:
    with parts(database_url) as one:
        control = Control(one.database, Queue(one.database, Silence()), one.leases.lose)
        claim = one.claimed()
        control.pause(claim.execution_id)

        waits = (Waiting(WaitFor.TIME, datetime.now(UTC) + timedelta(hours=1)),)
        one.store.settle(claim, Verdict(Status.WAITING, {}, waits=waits), [])

        [row] = one.rows("SELECT status, requested FROM executions")
        assert (row.status, row.requested) == ("paused", None)
        control.resume(claim.execution_id)
        assert claimed(one.store.claim(claim.execution_id)).is_asked_to_pause is False
