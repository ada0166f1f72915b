from collections import Counter
from typing import Any

import pytest

from src.core.store import Claim
from tests.core.simulate import Simulation, main
from tests.fakes import MemoryStore

SEEDS = 300
SHARE = 30


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_whatever_dies_every_run_ends_as_if_nothing_had(first: int) -> None:
    broken = {seed: complaints for seed in range(first, first + SHARE) if (complaints := Simulation(seed).run())}

    assert broken == {}


def test_a_seed_always_plays_the_same() -> None:
    one, other = Simulation(7), Simulation(7)

    one.run()
    other.run()

    assert one.store.events == other.store.events
    assert one.effects == other.effects


def test_every_kind_of_trouble_happens() -> None:
    happened: Counter[str] = Counter()

    for seed in range(SHARE):
        simulation = Simulation(seed)
        simulation.run()
        happened += simulation.happened

    assert {"refused", "lost", "recovered", "handed off", "died", "died before a commit", "died after a commit"} == set(
        happened
    )


def test_a_store_without_a_fence_is_found_out() -> None:
    class Unfenced(MemoryStore):
        def _is_current(self, row: Any, claim: Claim) -> bool:
            return True

    assert any(is_found_out(seed, Unfenced()) for seed in range(SHARE))


def is_found_out(seed: int, store: MemoryStore) -> bool:
    try:
        return bool(Simulation(seed, store).run())
    except AssertionError:  # a row that the store would have to write twice
        return True


def test_the_command_runs_one_seed_or_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3"]) == 0
    assert main(["--seed", "2"]) == 0

    assert "0 broken" in capsys.readouterr().out
