"""Values against JSON Schemas (draft 2020-12), with problems as everywhere: a pointer and a sentence each.

The library is loaded where it is used: it costs a twentieth of a second, which a start without schemas need not pay.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from src.core.errors import Problem, pointer_to

MAX_PROBLEMS = 100
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
    from jsonschema import Draft202012Validator  # noqa: PLC0415 -- see above
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    nowhere: Registry[Any] = Registry()  # the library's own would fetch what a schema refers to
    try:
        found = list(Draft202012Validator(schema, registry=nowhere).iter_errors(value))
    except (Unresolvable, RecursionError) as error:
        return [Problem(at, f"the schema cannot be followed: {type(error).__name__}")]
    return [Problem(at + pointer_to(error.absolute_path), error.message[:500]) for error in found[:MAX_PROBLEMS]]


def _keywords(schema: object) -> Iterator[str]:
    """Every key in it: a property may bear the name of a keyword, and is refused for it."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            yield key
            yield from _keywords(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _keywords(value)
