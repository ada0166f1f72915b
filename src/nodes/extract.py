"""Taking out of an answer what is of use: by JSON Pointer (RFC 6901), or by an expression."""

from jinja2 import TemplateError

from src.core.outcome import Context, Json
from src.nodes.template import compile_expression


def check_extract(source: Json) -> Json:
    """`source`, if it is a pointer, an expression, or an object of such. Raises ValueError."""
    for each in source.values() if isinstance(source, dict) else [source]:
        if not isinstance(each, str):
            raise ValueError("expected a JSON Pointer, an expression, or names with such")  # noqa: TRY004 -- pydantic's
        if not is_pointer(each):
            compile_expression(each)
    return source


def extracted(source: str, document: Json, context: Context, credentials: Context) -> Json:
    """What `source` names: a place in `document`, or the value of an expression over `context`.

    Raises:
        ValueError: there is no such place, or the expression fails.
    """
    if is_pointer(source):
        return value_at(document, source)
    try:
        return compile_expression(source)(context, credentials)
    except (TemplateError, ArithmeticError, TypeError) as error:
        raise ValueError(f"{source}: {error}") from None


def value_at(document: Json, pointer: str) -> Json:
    """Raises ValueError where nothing is there."""
    value = document
    for escaped in pointer.split("/")[1:]:
        part = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise ValueError(f"nothing is at {pointer} of the answer: it ends before {part!r}")
    return value


def is_pointer(source: str) -> bool:
    return source == "" or source.startswith("/")
