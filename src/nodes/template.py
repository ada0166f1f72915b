"""Templates and expressions in node fields: `{{ context.x }}` and `{{ credentials.x }}`, as functions to a value."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.environment import TemplateExpression

from src.core.outcome import Context, Json
from src.nodes.jinja import Environment, TemplateProblem, joined, read_parts, value_of

_ENVIRONMENT = Environment()
NONE: Mapping[str, Json] = MappingProxyType({})


class Computed(Protocol):
    def __call__(self, context: Context, credentials: Mapping[str, Json] = NONE, /) -> Json:
        """What the template or the expression says there. Raises what Jinja2 and Python raise."""


@lru_cache(maxsize=4096)
def compile_expression(source: str) -> Computed:
    """The function from a context to the value of a Jinja2 expression such as `context.total > 1000`.

    Raises:
        TemplateProblem: it does not parse, or uses what is not offered.
    """
    with _problems():
        parts = read_parts(_ENVIRONMENT, f"{{{{ {source} }}}}")
        if len(parts) != 1 or isinstance(parts[0], nodes.TemplateData):
            raise TemplateProblem("expected one expression")
        return _evaluation(parts[0])


@lru_cache(maxsize=4096)
def compile_template(source: str) -> Computed:
    """The function from a context to what `source` says there. A text that is one `{{ ... }}` keeps its value's type.

    Raises:
        TemplateProblem: as above.
    """
    if "{{" not in source and "{%" not in source and "{#" not in source:
        return lambda _, __=NONE: source
    with _problems():
        parts = read_parts(_ENVIRONMENT, source)
        if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
            return _evaluation(parts[0])
        template = _ENVIRONMENT.from_string(nodes.Template([nodes.Output(parts)], lineno=1))
    return lambda context, credentials=NONE: joined(template.generate(context=context, credentials=credentials))


def compile_value(value: Json) -> Computed:
    """Templates anywhere in a JSON value."""
    if isinstance(value, str):
        return compile_template(value)
    if isinstance(value, list):
        items = [compile_value(item) for item in value]
        return lambda context, credentials=NONE: [item(context, credentials) for item in items]
    if isinstance(value, dict):
        fields = {key: compile_value(item) for key, item in value.items()}
        return lambda context, credentials=NONE: {key: field(context, credentials) for key, field in fields.items()}
    return lambda _, __=NONE: value


def _evaluation(expression: nodes.Expr) -> Computed:
    """As `Environment.compile_expression` does it, for an expression that has been read."""
    result = nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)
    template = _ENVIRONMENT.from_string(nodes.Template([result], lineno=1))
    evaluate = TemplateExpression(template, undefined_to_none=False)
    return lambda context, credentials=NONE: _settled(evaluate(context=context, credentials=credentials))


def _settled(value: Json) -> Json:
    if isinstance(value, StrictUndefined):
        str(value)  # raises, and names what is missing
    return list(value) if hasattr(value, "__next__") else value_of(value)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except TemplateProblem:
        raise
    except (TemplateError, SyntaxError, ValueError, MemoryError) as error:  # ValueError: an integer of 5,000 digits
        raise TemplateProblem(str(error)) from None
    except RecursionError:
        raise TemplateProblem("too long, or nested too deeply") from None
