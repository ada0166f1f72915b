"""The mutations of `python -m tests.bite` are kept with the code that they break."""

import pytest

from tests.bite import MUTATIONS, Mutation, misfits_of


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_a_mutation_finds_what_it_breaks(mutation: Mutation) -> None:
    assert list(misfits_of(mutation)) == []
