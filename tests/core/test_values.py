import json
import tracemalloc
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.errors import Problem, ValueRefused
from src.core.values import MAX_DEPTH, plain_object, plain_text, visible

ROOM = 1_000_000
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=6)


def problem_of(value: object, *, max_bytes: int = ROOM, pointer: str = "") -> Problem:
    with pytest.raises(ValueRefused) as caught:
        plain_object(value, max_bytes=max_bytes, pointer=pointer)
    [problem] = caught.value.problems
    return problem


def nested(levels: int) -> dict[str, Any]:
    """An object of so many levels."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


def shared(levels: int) -> list[Any]:
    """A text that is met ten times as often with every level."""
    value: list[Any] = ["a" * 100] * 10
    for _ in range(levels - 1):
        value = [value] * 10
    return value


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Loud(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


class Shy:
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


# What is kept.


@given(OBJECTS)
def test_json_stays_what_it_is(value: dict[str, Any]) -> None:
    kept = plain_object(value, max_bytes=ROOM)

    assert kept == value
    assert plain_object(kept, max_bytes=ROOM) == kept


@given(OBJECTS)
def test_what_is_kept_comes_back_from_json_as_it_went(value: dict[str, Any]) -> None:
    kept = plain_object(value, max_bytes=ROOM)

    assert repr(json.loads(json.dumps(kept, allow_nan=False))) == repr(kept)


@given(OBJECTS)
def test_types_and_the_order_of_keys_stay(value: dict[str, Any]) -> None:
    assert repr(plain_object(value, max_bytes=ROOM)) == repr(value)


def test_a_copy_shares_nothing_with_its_original() -> None:
    value: dict[str, Any] = {"list": [1], "object": {"x": [2]}}

    kept = plain_object(value, max_bytes=ROOM)
    value["list"].append(2)
    value["object"]["x"].append(3)

    assert kept == {"list": [1], "object": {"x": [2]}}


def test_the_same_list_twice_becomes_two_lists() -> None:
    shared = [1]

    kept = plain_object({"a": shared, "b": shared}, max_bytes=ROOM)
    kept["a"].append(2)

    assert kept["b"] == [1]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ((1, (2, ())), [1, [2, []]]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Loud("quiet"), "quiet"),
        (True, True),
        (-0.0, -0.0),
        (10**4000, 10**4000),
        ("\U0001f600", "\U0001f600"),
    ],
    ids=["tuple", "ordered dict", "enum", "int enum", "str", "bool", "negative zero", "big int", "emoji"],
)
def test_what_json_can_say_becomes_plain(value: object, kept: object) -> None:
    copy = plain_object({"x": value}, max_bytes=ROOM)["x"]

    assert repr(copy) == repr(kept)
    assert type(copy) is type(kept)


def test_any_mapping_may_stand_at_the_top() -> None:
    assert plain_object(MappingProxyType({"x": 1}), max_bytes=ROOM) == {"x": 1}


def test_as_many_levels_as_may_be_are_kept() -> None:
    value = nested(MAX_DEPTH)

    assert plain_object(value, max_bytes=ROOM) == value


# What is refused.


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("nan"), "nan is not a JSON number"),
        (float("inf"), "inf is not a JSON number"),
        (float("-inf"), "-inf is not a JSON number"),
        ("a\x00b", "NUL"),
        ("\ud800", "lone surrogate"),
        ("ok \udfff ok", "lone surrogate"),
        (10**4400, "more than 4,300 digits"),
        (-(10**4400), "more than 4,300 digits"),
        (b"bytes", "type bytes is not JSON"),
        ({1, 2}, "type set is not JSON"),
        (object(), "type object is not JSON"),
        (Shy(), "type Shy is not JSON"),
        (datetime(2024, 1, 1, tzinfo=UTC), "type datetime is not JSON"),
        (Decimal("1.5"), "type Decimal is not JSON"),
        (Path("x"), "Path is not JSON"),
        (1j, "type complex is not JSON"),
        (iter([]), "type list_iterator is not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() and value.isprintable() else "value",
)
def test_what_json_cannot_say_is_refused_with_its_place(value: object, says: str) -> None:
    problem = problem_of({"good": 1, "rows": [0, {"a/b~c": value}]})

    assert problem.pointer == "/rows/1/a~1b~0c"
    assert says in problem.detail


@pytest.mark.parametrize(
    ("key", "pointer", "says"),
    [
        (1, "/x/1", "keys are strings in JSON, this one is a value of type int"),
        (None, "/x/None", "NoneType"),
        ((1, 2), "/x/(1, 2)", "tuple"),
        ("a\x00", "/x/a\x00", "NUL"),
        ("\ud800", "/x/\ud800", "lone surrogate"),
    ],
)
def test_a_key_that_json_cannot_say_is_refused_with_its_place(key: Any, pointer: str, says: str) -> None:
    problem = problem_of({"x": {key: 1}})

    assert problem.pointer == pointer
    assert says in problem.detail


@pytest.mark.parametrize("key", [10**5000, Shy()], ids=["huge", "shy"])
def test_a_key_that_cannot_be_printed_is_refused_all_the_same(key: Any) -> None:
    assert "keys are strings in JSON" in problem_of({"x": {key: 1}}).detail


@pytest.mark.parametrize("value", [None, [], "text", 3, {1}])
def test_only_an_object_may_stand_at_the_top(value: object) -> None:
    problem = problem_of(value)

    assert problem.pointer == ""
    assert problem.detail == f"expected an object, got a value of type {type(value).__name__}"


def test_pointers_start_where_the_caller_says() -> None:
    assert problem_of({"x": {1}}, pointer="/initial_context").pointer == "/initial_context/x"


def test_one_level_too_many_is_refused() -> None:
    problem = problem_of(nested(MAX_DEPTH + 1))

    assert problem.pointer == "/in" * MAX_DEPTH
    assert problem.detail == f"nested deeper than {MAX_DEPTH} levels"


def test_a_value_inside_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]

    assert "nested deeper" in problem_of(value).detail


@pytest.mark.parametrize(
    "value",
    [
        {"x": "a" * 1000},
        {"a" * 1000: 1},
        {"x": ["a" * 20] * 50},
        {"x": list(range(200))},
        {"x": "\u20ac" * 400},
        {str(place): None for place in range(300)},
    ],
    ids=["text", "key", "texts", "numbers", "wide text", "keys"],
)
def test_more_than_there_is_room_for_is_refused(value: Mapping[str, Any]) -> None:
    assert problem_of(value, max_bytes=1000).detail == "larger than 1,000 bytes in all"


@given(OBJECTS)
def test_what_is_kept_is_about_as_large_as_allowed_at_most(value: dict[str, Any]) -> None:
    size = len(json.dumps(value, ensure_ascii=False).encode())

    try:
        plain_object(value, max_bytes=200)
    except ValueRefused:
        return

    assert size <= 200 * 6  # a control character takes six bytes in JSON, and a bracket is not counted


def test_a_message_names_the_place_and_the_reason() -> None:
    with pytest.raises(ValueRefused, match=r"^/total: nan is not a JSON number$"):
        plain_object({"total": float("nan")}, max_bytes=ROOM)


# Text.


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("a\x00b", "a\ufffdb"),
        ("a\ud800b", "a?b"),
        ("\u20ac\x00", "\u20ac\ufffd"),
        ("123456", "12345\n[cut: 1 more characters]"),
    ],
)
def test_text_is_made_so_that_any_database_keeps_it(text: str, kept: str) -> None:
    assert plain_text(text, max_length=5) == kept


@given(st.text(st.characters()), st.integers(0, 20))
def test_any_text_can_be_kept(text: str, max_length: int) -> None:
    kept = plain_text(text, max_length=max_length)

    assert plain_object({"text": kept}, max_bytes=ROOM) == {"text": kept}


@pytest.mark.parametrize("empty", [None, True, [], {}, ""])
def test_what_is_empty_counts_too(empty: object) -> None:
    assert "larger than 100,000 bytes" in problem_of({"x": [empty] * 100_000}, max_bytes=100_000).detail


@pytest.mark.parametrize("value", [shared(12), ["a" * 1_000_000] * 1_000_000, {"b": shared(3), "c": shared(12)}])
def test_what_is_shared_counts_as_often_as_it_is_met_and_is_never_written_out(value: Any) -> None:
    tracemalloc.start()
    try:
        assert "larger than 100,000 bytes" in problem_of({"x": value}, max_bytes=100_000).detail
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_for_a_terminal_control_characters_stand_in_letters() -> None:
    assert visible("größer\t\x1b[31m\x07\x7f\x9b日\n") == "größer\t\\x1b[31m\\x07\\x7f\\x9b日\n"
