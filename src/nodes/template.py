"""Templates and expressions in node fields: `{{ context.x }}`. Jinja2's sandbox, narrowed until it can only compute."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from src.core.outcome import Context, Json

FILTERS = [
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "first",
    "float",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
]
METHODS = frozenset(["get", "keys", "values", "items", "startswith", "endswith", "upper", "lower", "strip", "split"])
"""What may be called. Everything else that can be called can also be made to fill the memory."""
MAX_BASE, MAX_EXPONENT = 1_000_000, 64
"""Of `**`."""
MAX_SEQUENCE = 1_000_000
"""Characters or items that `*` may make."""


class TemplateProblem(ValueError):
    """The text is not a template that Nova runs. Says what is wrong with it."""


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (abs(left) <= MAX_BASE and abs(right) <= MAX_EXPONENT):
            raise SecurityError(f"{left} ** {right} is too large a power")
        if operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("formatting with % is not possible here: use ~ to join texts")
        if operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if hasattr(sequence, "__len__") and len(sequence) * times > MAX_SEQUENCE:
                    raise SecurityError(f"* would make more than {MAX_SEQUENCE:,} characters or items")
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Like Jinja2's, but a key of the user's comes before a method of dict: `context.items` may be a list."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.globals.clear()
    return environment


_ENVIRONMENT = _environment()


@lru_cache(maxsize=4096)
def compile_expression(source: str) -> Callable[[Context], Json]:
    """The function from a context to the value of a Jinja2 expression such as `context.total > 1000`.

    Raises:
        TemplateProblem: it does not parse, or uses what is not offered.
    """
    with _problems():
        _check(f"{{{{ {source} }}}}", expression=True)
        evaluate = _ENVIRONMENT.compile_expression(source, undefined_to_none=False)
    return lambda context: _settled(evaluate(context=context))


@lru_cache(maxsize=4096)
def compile_template(source: str) -> Callable[[Context], Json]:
    """The function from a context to what `source` says there. A text that is one `{{ ... }}` keeps its value's type.

    Raises:
        TemplateProblem: as above.
    """
    if "{{" not in source and "{%" not in source and "{#" not in source:
        return lambda _: source
    with _problems():
        body = _check(source)
        if len(body) == 1 and not isinstance(body[0], nodes.TemplateData):
            return compile_expression(source.strip()[2:-2].strip("-+"))
        template = _ENVIRONMENT.from_string(source)
    return lambda context: template.render(context=context)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except (TemplateError, SyntaxError, MemoryError) as error:
        raise TemplateProblem(str(error)) from None
    except RecursionError:
        raise TemplateProblem("too long, or nested too deeply") from None


def compile_value(value: Json) -> Callable[[Context], Json]:
    """Templates anywhere in a JSON value."""
    if isinstance(value, str):
        return compile_template(value)
    if isinstance(value, list):
        items = [compile_value(item) for item in value]
        return lambda context: [item(context) for item in items]
    if isinstance(value, dict):
        fields = {key: compile_value(item) for key, item in value.items()}
        return lambda context: {key: field(context) for key, field in fields.items()}
    return lambda _: value


def _check(source: str, *, expression: bool = False) -> list[nodes.Node]:
    """Parse, and refuse all but output of expressions; answers the parts of the output."""
    tree = _ENVIRONMENT.parse(source)
    if not all(isinstance(statement, nodes.Output) for statement in tree.body):
        raise TemplateProblem("only {{ ... }} is possible here, no {% ... %}")
    _check_names(tree)
    parts = [part for statement in tree.body if isinstance(statement, nodes.Output) for part in statement.nodes]
    if expression and len(parts) != 1:
        raise TemplateProblem("expected one expression")
    return list(parts)


def _check_names(tree: nodes.Template) -> None:
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Getattr) and call.node.attr in METHODS):
            raise TemplateProblem(f"only these can be called: {', '.join(sorted(METHODS))}")
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS:
            raise TemplateProblem(f"there is no filter {used.name!r}; there are: {', '.join(FILTERS)}")
    for name in tree.find_all(nodes.Name):
        if name.name != "context":
            raise TemplateProblem(f"there is no {name.name!r} here: values of the context are context.{name.name}")


def _settled(value: Json) -> Json:
    if isinstance(value, StrictUndefined):
        str(value)  # raises, and names what is missing
    return list(value) if hasattr(value, "__next__") else value
