"""Values against schemas, as far as the library alone would do something else."""

import time
from typing import Any

import pytest

from src.json_schema import problems_in

DOUBLING: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
DOUBLING["d40"] = {"type": "integer"}


@pytest.mark.parametrize(
    ("items", "differ"),
    [
        ([1, 2], True),
        ([1, 1.0], False),
        ([1, True], True),
        ([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], False),
        ([[1, {"x": None}], [1, {"x": None}]], False),
        ([], True),
    ],
)
def test_items_that_must_differ_are_compared_as_json(items: list[object], differ: bool) -> None:
    found = problems_in({"list": items}, {"properties": {"list": {"uniqueItems": True}}})

    assert [each.pointer for each in found] == ([] if differ else ["/list"])


def test_many_items_are_not_compared_with_one_another() -> None:
    begun = time.monotonic()

    assert problems_in([{"number": n} for n in range(20_000)], {"uniqueItems": True}) == []
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("schema", "value"),
    [({"$defs": DOUBLING, "$ref": "#/$defs/d0"}, 1), ({"multipleOf": 0.1}, 10**400)],
    ids=["references that double", "a number that is too large"],
)
def test_what_cannot_be_followed_is_a_problem_and_holds_nobody_up(schema: dict[str, Any], value: object) -> None:
    [problem] = problems_in(value, schema, "/x")

    assert (problem.pointer, problem.detail.partition(":")[0]) == ("/x", "the schema cannot be followed")


def test_as_many_references_are_followed_as_a_long_list_needs() -> None:
    schema = {
        "$defs": {"one": {"$ref": "#/$defs/number"}, "number": {"type": "integer"}},
        "items": {"$ref": "#/$defs/one"},
    }

    assert problems_in(list(range(8_000)), schema) == []
