"""Who is rung for when there is room again for a workflow or a client that may have only so many runs at once."""

import sqlite3
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from src.core.status import Mode
from src.core.store import Claim
from src.runtime.control import Control
from src.runtime.queue import Queue, Queued
from src.runtime.store import NewExecution
from src.runtime.workflows import Draft
from tests.runtime.building import PLAIN, Parts, change, claimed, completed, parts


class Heard:
    """A bell that keeps what it was rung for."""

    def __init__(self, told: Callable[[int], object] = lambda _: None) -> None:
        self.ids: list[int] = []
        self._told = told

    def ring(self, queued: Queued) -> bool:
        self.ids.append(queued.execution_id)
        self._told(queued.execution_id)
        return True


class House:
    """A workflow of which two may run at once, and a queue whose bell is heard."""

    def __init__(self, made: Parts) -> None:
        self.made = made
        self.heard = Heard()
        self.queue = Queue(made.database, self.heard)
        self.workflow_id = made.workflows.keep(Draft("bounded", PLAIN | {"max_concurrent": 2}))

    def enqueue(self, count: int) -> list[int]:
        new = NewExecution(self.workflow_id, 1, {})
        return [self.made.store.enqueue(new, mode=Mode.BACKGROUND) for _ in range(count)]

    def start(self, execution_id: int) -> Claim:
        return claimed(self.made.store.claim(execution_id))

    def end(self, claim: Claim) -> None:
        self.made.store.settle(claim, completed(), [])
        self.queue.ring_next(claim.execution_id)


@pytest.fixture
def house(database_url: str) -> Iterator[House]:
    with parts(database_url) as made:
        yield House(made)


def test_as_many_are_rung_for_as_have_ended_although_none_has_started_yet(house: House) -> None:
    first, second, third, fourth, _ = house.enqueue(5)
    claims = [house.start(first), house.start(second)]

    for claim in claims:
        house.end(claim)

    assert house.heard.ids == [third, fourth]


def test_as_many_are_rung_for_as_have_ended_at_once(house: House) -> None:
    first, second, third, fourth, _ = house.enqueue(5)
    house.start(first)
    house.start(second)

    house.queue.ring_next(first, second)

    assert house.heard.ids == [third, fourth]


def test_who_was_rung_for_and_found_no_room_is_rung_for_again(house: House) -> None:
    first, second, third = house.enqueue(3)
    house.start(first)
    claim = house.start(second)
    house.queue.ring_next(first)
    assert house.made.store.claim(third) is None

    house.end(claim)

    assert house.heard.ids == [third, third]


def test_a_family_of_any_size_makes_room(house: House) -> None:
    if house.made.database.is_sqlite:
        event.listen(house.made.database.engine, "checkout", limit_as_usual)
    first, second = house.enqueue(2)
    house.start(first)

    house.queue.ring_next(first, *range(100, 40_100))

    assert house.heard.ids == [second]


def limit_as_usual(connection: sqlite3.Connection, *_: object) -> None:
    """How many values a statement may have. Some distributions build SQLite with more."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)


def test_a_parent_is_told_of_a_stop_before_anybody_is_rung_for(house: House) -> None:
    told: list[str] = []
    bell = Heard(lambda execution_id: told.append(f"bell for {execution_id}"))
    queue = Queue(house.made.database, bell)
    control = Control(
        house.made.database, queue, lambda _: None, child_ended=lambda parent: told.append(f"parent {parent}")
    )
    parent, child = house.enqueue(2)
    its = "parent_id = :parent, parent_node_id = 'each', parent_item = 0"
    change(house.made.database, f"UPDATE executions SET {its} WHERE id = :id", id=child, parent=parent)

    control.stop(child)

    assert told == [f"parent {parent}", f"bell for {parent}"]
