"""Big values leave their context and come back to it; nothing else does."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from src.core.outcome import Context, Json
from src.database import Database
from src.models import Blob
from src.runtime.blobs import BIG_BYTES, MARK, fatten, slim


def marks_of(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return inner.map(lambda value: {MARK: value})


def big_of(value: Json) -> Json:
    return [value, "x" * BIG_BYTES]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(text | st.just(MARK), inner, max_size=2) | marks_of(inner)
    ),
    max_leaves=8,
)


contexts = st.dictionaries(text | st.just(MARK), values | values.map(big_of), max_size=4)


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    with closing(Database(sqlite_url)) as database:
        yield database


def through(database: Database, *contexts: Context) -> list[Context | None]:
    """Kept, and read again."""
    slimmed = []
    with database.write() as connection:
        for context in contexts:
            slim_context, found = slim(context)
            slimmed.append(slim_context)
            for sha256, content in found.items():
                row = insert(Blob).prefix_with("OR IGNORE").values(sha256=sha256, content=content)
                connection.execute(row.values(created_at=datetime.now(UTC)))
        return fatten(connection, slimmed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contexts=st.lists(contexts, min_size=1, max_size=3))
def test_any_context_comes_back_as_it_was(database: Database, contexts: list[Context]) -> None:
    back = through(database, *contexts)

    assert back == contexts
    assert [list(context or {}) for context in back] == [list(context) for context in contexts]


@settings(max_examples=60, deadline=None)
@given(context=contexts)
def test_what_looks_like_a_mark_always_is_one(context: Context) -> None:
    slimmed, found = slim(context)

    marks = [value[MARK] for value in slimmed.values() if isinstance(value, dict) and value.keys() == {MARK}]
    assert set(marks) == found.keys()


@settings(max_examples=60, deadline=None)
@given(context=contexts)
def test_what_is_left_is_small(context: Context) -> None:
    slimmed, _ = slim(context)

    assert len(str(slimmed)) < (len(slimmed) + 1) * BIG_BYTES


def test_a_context_without_big_values_is_not_even_copied() -> None:
    context = {"text": "x" * 1_000, "list": [1, 2, 3]}

    slimmed, found = slim(context)

    assert slimmed is context
    assert found == {}


@pytest.mark.parametrize(
    "value", ["x" * BIG_BYTES, ["x" * 1_000] * 300, {"a": "x" * BIG_BYTES}], ids=["text", "list", "object"]
)
def test_a_value_of_256_kib_is_big(value: Json) -> None:
    slimmed, found = slim({"value": value, "small": 1})

    assert slimmed == {"value": {MARK: next(iter(found))}, "small": 1}


def test_equal_values_have_one_content() -> None:
    _, found = slim({"one": "x" * BIG_BYTES, "other": "x" * BIG_BYTES})

    assert len(found) == 1


def test_the_context_that_was_given_stays_as_it_is() -> None:
    context: Context = {"value": "x" * BIG_BYTES}

    slim(context)

    assert context == {"value": "x" * BIG_BYTES}


def test_no_context_stays_no_context(database: Database) -> None:
    with database.read() as connection:
        assert fatten(connection, [None, {}, {"a": 1}]) == [None, {}, {"a": 1}]
