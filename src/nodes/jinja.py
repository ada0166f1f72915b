"""Jinja2's sandbox, narrowed until it can only compute, within bounds. What templates mean is in `template.py`."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

FILTERS = frozenset(
    "abs capitalize count d default first float int items join last length list lower map max min reject rejectattr "  # noqa: SIM905
    "replace reverse round select selectattr sort string sum title tojson trim truncate unique upper urlencode".split()
)
METHODS = frozenset({"get", "keys", "values", "items", "startswith", "endswith", "upper", "lower", "strip", "split"})
"""What may be called. Everything else that can be called can also be made to fill the memory."""
MAX_SIZE = 4_000_000
"""Characters or items that one step may make: about what a node may put out."""
MAX_BASE, MAX_EXPONENT = 1_000_000, 64
"""Of `**`."""
MAX_DEPTH = 32
"""Levels of an expression. What Jinja2 makes of more takes Python's own compiler seconds."""


class TemplateProblem(ValueError):
    """The text is not a template that Nova runs. Says what is wrong with it."""


class Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, optimized=False, finalize=value_of
        )
        self.filters = {name: _bounded(self.filters[name]) for name in FILTERS}
        self.filters |= {"join": self._join, "replace": _replace}
        self.globals.clear()

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (abs(left) <= MAX_BASE and abs(right) <= MAX_EXPONENT):
            raise SecurityError(f"{left} ** {right} is too large a power")
        if operator == "%" and isinstance(left, str | bytes):
            raise SecurityError("formatting with % is not possible here: use ~ to join texts")
        if operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if hasattr(sequence, "__len__"):
                    _refuse_beyond(len(sequence) * times)
        return super().call_binop(context, operator, left, right)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Like Jinja2's, but a key of the user's comes before a method of dict: `context.items` may be a list."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def _join(self, values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        return joined((value if attribute is None else self.getattr(value, attribute) for value in values), separator)


def value_of(value: Any) -> Any:
    """`value`, unless it is a method that somebody forgot to call."""
    if callable(value) and not isinstance(value, StrictUndefined):
        raise SecurityError("a method is not a value: call it, as in context.get('key')")
    return value


def joined(values: Iterable[Any], separator: str = "") -> str:
    parts, size = [], 0
    for value in values:
        text = str(value)
        size += len(text) + len(separator)
        _refuse_beyond(size)
        parts.append(text)
    return separator.join(parts)


def read_parts(environment: Environment, source: str) -> list[nodes.Expr]:
    """What `source` puts out: texts and expressions in turn, checked.

    Raises:
        TemplateProblem: it is more than output of expressions, or uses what is not offered.
        jinja2.TemplateError, RecursionError: it does not parse.
    """
    tree = environment.parse(source)
    if not all(isinstance(statement, nodes.Output) for statement in tree.body):
        raise TemplateProblem("only {{ ... }} is possible here, no {% ... %}")
    _check_depth(tree)
    _check_calls(tree)
    _check_names(tree)
    tree = _WithoutConcat().visit(tree)
    return [part for statement in tree.body for part in statement.nodes]


class _WithoutConcat(NodeTransformer):
    """Makes `a ~ b` a join, which is bounded."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 -- Jinja2 names it
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None, lineno=node.lineno)


def _check_depth(tree: nodes.Template) -> None:
    """Without recursion, which is what it is to prevent."""
    to_see: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while to_see:
        node, depth = to_see.pop()
        if depth > MAX_DEPTH:
            raise TemplateProblem(f"nested too deeply: more than {MAX_DEPTH} levels")
        to_see += [(child, depth + 1) for child in node.iter_child_nodes()]


def _check_calls(tree: nodes.Template) -> None:
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Getattr) and call.node.attr in METHODS):
            raise TemplateProblem(f"only these can be called: {', '.join(sorted(METHODS))}")


def _check_names(tree: nodes.Template) -> None:
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS:
            raise TemplateProblem(f"there is no filter {used.name!r}; there are: {', '.join(sorted(FILTERS))}")
        if used.name == "map" and len(used.args) > 1:
            raise TemplateProblem("map takes a filter without arguments, or attribute='...'")
    for name in tree.find_all(nodes.Name):
        if name.name not in ("context", "credentials"):
            raise TemplateProblem(f"there is no {name.name!r} here: values of the context are context.{name.name}")


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, if its answer is not larger than one step may make."""

    @wraps(function)
    def bounded(*arguments: Any, **options: Any) -> Any:
        answer = function(*arguments, **options)
        if hasattr(answer, "__len__"):
            _refuse_beyond(len(answer))
        return answer

    return bounded


def _replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text = str(value)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    _refuse_beyond(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, count)


def _refuse_beyond(size: int) -> None:
    if size > MAX_SIZE:
        raise SecurityError(f"this would make more than {MAX_SIZE:,} characters or items")
