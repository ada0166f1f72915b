from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core import errors
from src.core.errors import DefinitionError, NovaError, Problem, ValueRefused, escape_pointer


def _below(kind: type[NovaError]) -> Iterator[type[NovaError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def test_every_error_has_a_code_of_its_own() -> None:
    kinds: list[type[NovaError]] = [
        NovaError,
        *(kind for kind in _below(NovaError) if kind.__module__ == errors.__name__),
    ]

    assert len({kind.code for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("kind", [DefinitionError, ValueRefused])
def test_the_message_of_an_invalid_input_lists_every_problem(kind: type[errors.Invalid]) -> None:
    error = kind(iter([Problem("/nodes/1", "one"), Problem("", "two")]))

    assert str(error) == "/nodes/1: one; /: two"
    assert [problem.pointer for problem in error.problems] == ["/nodes/1", ""]


@given(st.text())
def test_an_escaped_token_reads_back_as_it_was(token: str) -> None:
    escaped = escape_pointer(token)

    assert "/" not in escaped
    assert escaped.replace("~1", "/").replace("~0", "~") == token
