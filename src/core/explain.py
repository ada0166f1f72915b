"""Why a run went the way it went: for each decision, what its code read, and where that came from. Built from data."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from src.core.graph import Graph
from src.core.outcome import Context, Json

MAX_SHOWN = 120
"""Characters of a value in a sentence."""
INITIAL = "initial_context"
_KEY = re.compile(r"\bcontext\s*(?:\.\s*(?P<dotted>\w+)|\[\s*['\"](?P<quoted>[^'\"]+)['\"]\s*\])")


@dataclass(frozen=True, slots=True)
class Read:
    key: str
    value: Json
    source: str | None
    """The node that wrote it, or `initial_context`; None where it was not there."""


@dataclass(frozen=True, slots=True)
class Choice:
    node_id: str
    branch: str
    path_taken: str | None
    read: Sequence[Read]

    @property
    def text(self) -> str:
        because = "; ".join(map(_said, self.read)) or "its code reads no key of the context"
        is_named = self.path_taken in (self.branch, None)
        way = "" if is_named else f" (no edge is for that: it went along {self.path_taken})"
        return f"{self.node_id} chose {self.branch}{way}: {because}."


def reads_of(code: str, context: Context, sources: Mapping[str, str]) -> list[Read]:
    """The keys of the context that code or an expression names, with their values and where those came from."""
    return [Read(key, context.get(key), sources.get(key)) for key in keys_in(code)]


def sources_of(graph: Graph, node_id: str, outputs: Mapping[str, Context], initial: Context) -> dict[str, str]:
    """Which node wrote the value that a node sees under each key.

    Args:
        outputs: of the nodes that have ended well.
    """
    sources = dict.fromkeys(initial, INITIAL)
    ancestors = set(_ancestors(graph, node_id))
    for each in graph.order:
        if each in ancestors:
            sources |= dict.fromkeys(outputs.get(each, ()), each)
    return sources


def keys_in(code: str) -> list[str]:
    """The keys of `context` that are named, in the order in which they are; what is computed cannot be known."""
    try:
        found = sorted(_named_in_python(ast.parse(code)))
    except (SyntaxError, ValueError, RecursionError):  # an expression of the template language
        found = [(match.start(), 0, match["dotted"] or match["quoted"]) for match in _KEY.finditer(code)]
    return list(dict.fromkeys(key for *_, key in found))


def _named_in_python(tree: ast.AST) -> Iterator[tuple[int, int, str]]:
    """Line, column and key."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Subscript(value=ast.Name("context"), slice=ast.Constant(str(key)), ctx=ast.Load())
                | ast.Call(func=ast.Attribute(ast.Name("context"), "get"), args=[ast.Constant(str(key)), *_])
            ):
                yield node.lineno, node.col_offset, key
            case ast.Attribute(ast.Name("context"), key) if key not in dir(dict):  # the template language
                yield node.lineno, node.col_offset, key


def _ancestors(graph: Graph, node_id: str) -> Iterator[str]:
    seen: set[str] = set()
    left = [node_id]
    while left:
        for edge in graph.incoming[left.pop()]:
            if edge.source not in seen:
                seen.add(edge.source)
                left.append(edge.source)
                yield edge.source


def _said(read: Read) -> str:
    if read.source is None:
        return f"{read.key} was not there"
    shown = repr(read.value)
    shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."
    return f"{read.key} was {shown}, from {read.source}"
