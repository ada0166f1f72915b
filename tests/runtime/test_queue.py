"""The queue as it stands in the rows, and who is rung for when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from src.core.status import Mode
from src.runtime.queue import RING_AGAIN_SECONDS, Queue, Queued
from src.runtime.store import NewExecution
from src.runtime.workflows import Draft
from tests.runtime.building import PLAIN, Parts, change, parts


class Heard:
    """A bell that keeps what it was rung for."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def ring(self, queued: Queued) -> bool:
        self.ids.append(queued.execution_id)
        return True


@pytest.fixture
def made(database_url: str) -> Iterator[Parts]:
    with parts(database_url) as made:
        yield made


def enqueued(made: Parts, *, rings: int, seconds_ago: float) -> int:
    """An execution in the queue that was rung for so often, the last time so long ago."""
    workflow_id = made.workflows.keep(Draft("plain", PLAIN))
    execution_id = made.store.enqueue(NewExecution(workflow_id, 1, {}), mode=Mode.BACKGROUND)
    moment: object = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    if made.database.is_sqlite:
        moment = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
    values = {"rings": rings, "rung_at": moment, "id": execution_id}
    change(made.database, "UPDATE executions SET rings = :rings, rung_at = :rung_at WHERE id = :id", **values)
    return execution_id


def test_who_was_rung_for_in_vain_is_rung_for_again_and_waits_longer_each_time(made: Parts) -> None:
    for rings in (1, 2, 3):
        wait = RING_AGAIN_SECONDS * rings * rings
        enqueued(made, rings=rings, seconds_ago=wait - 8)
    due = [enqueued(made, rings=rings, seconds_ago=RING_AGAIN_SECONDS * rings * rings + 2) for rings in (1, 2, 3)]
    heard = Heard()

    Queue(made.database, heard).ring_due()

    assert heard.ids == due
