"""Values against JSON Schemas (draft 2020-12), with problems as everywhere: a pointer and a sentence each.

The library is loaded where it is used: it costs a twentieth of a second, which a start without schemas need not pay.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from src.core.errors import Problem, pointer_to

MAX_PROBLEMS = 100
MAX_REFERENCES, MAX_REFERENCES_EACH = 5_000, 20
"""That are followed for a value, and for each value in it."""
_followed = threading.local()
PATTERNS = frozenset({"pattern", "patternProperties"})


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError for what is no JSON Schema, and for one whose regular expressions could hold up the server."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 -- see above

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from None
    unoffered = PATTERNS & set(_keywords(schema))
    if unoffered:
        raise ValueError(f"not offered in a schema: {', '.join(sorted(unoffered))}")


def problems_of_inputs(graph_definition: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the schema of what a run is given, where there is one."""
    inputs = graph_definition.get("inputs")
    if not isinstance(inputs, Mapping):
        return []
    try:
        check_schema(inputs)
    except ValueError as error:
        return [Problem("/inputs", str(error))]
    return []


def problems_in(value: object, schema: Mapping[str, Any], at: str = "") -> list[Problem]:
    """What keeps `value` from being what `schema` describes; `at` is where the value stands."""
    from referencing import Registry  # noqa: PLC0415 -- see above
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    nowhere: Registry[Any] = Registry()  # the library's own would fetch what a schema refers to
    try:
        _followed.left = MAX_REFERENCES + MAX_REFERENCES_EACH * _size(value)
        found = list(_validator()(schema, registry=nowhere).iter_errors(value))
    except (Unresolvable, RecursionError, ArithmeticError) as error:
        return [Problem(at, f"the schema cannot be followed: {type(error).__name__}")]
    return [Problem(at + pointer_to(error.absolute_path), error.message[:500]) for error in found[:MAX_PROBLEMS]]


@cache
def _validator() -> Any:
    """The library's, with bounds: it compares items pair by pair, and follows references that double at every step."""
    from jsonschema import Draft202012Validator, ValidationError  # noqa: PLC0415 -- see above
    from jsonschema.validators import extend  # noqa: PLC0415

    follow = Draft202012Validator.VALIDATORS["$ref"]

    def reference(validator: Any, target: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _followed.left -= 1
        if _followed.left < 0:
            raise RecursionError
        yield from follow(validator, target, instance, schema) or ()

    def unique(_: Any, is_asked: Any, instance: Any, __: Any) -> Iterator[Any]:
        if is_asked and isinstance(instance, list) and len(set(map(_written, instance))) < len(instance):
            yield ValidationError("its items are not all different")

    return extend(Draft202012Validator, {"$ref": reference, "uniqueItems": unique})  # type: ignore[no-untyped-call]


def _size(value: object) -> int:
    """How many values there are in it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def _written(value: object) -> str:
    """The same for equal values: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def _keywords(schema: object) -> Iterator[str]:
    """Every key in it: a property may bear the name of a keyword, and is refused for it."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            yield key
            yield from _keywords(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _keywords(value)
