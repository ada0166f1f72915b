"""Where two executions part, and why: the code changed, the input changed, or the same gave something else. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from src.core.outcome import Context, Json

LOOKS = ("label", "position")
"""Fields of a node that change nothing in what it does."""
MISSING = object()
Definitions = Mapping[str, Mapping[str, Json]]
"""Of the nodes of a graph, by their ids."""


class Why(StrEnum):
    CODE = "code"
    """The node is written in another way, or only one of the graphs has it."""
    INPUT = "input"
    """It saw other values."""
    OUTPUT = "output"
    """Nothing differs but what came of it."""
    PATH = "path"
    """Only one of the runs came to it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A node as it was attempted last in one execution."""

    node_id: str
    definition: Mapping[str, Json]
    seen: Context
    output: Context
    status: str
    branch: str | None = None
    error: str | None = None

    @property
    def ended_as(self) -> tuple[Json, ...]:
        return self.status, self.branch, self.error, self.output


@dataclass(frozen=True, slots=True)
class Difference:
    """A node on which two executions differ."""

    node_id: str
    why: Why
    keys: Sequence[str] = ()
    """Of its input, or of its output."""

    @property
    def text(self) -> str:
        keys = ", ".join(self.keys)
        match self.why:
            case Why.CODE:
                return f"{self.node_id}: its definition differs."
            case Why.INPUT:
                return f"{self.node_id}: its input differs in {keys}."
            case Why.PATH:
                return f"{self.node_id}: only one of the two came to it."
        where = f" in {keys}" if keys else ""
        return f"{self.node_id}: the same code on the same input ended differently{where}."


Pair = tuple[str, Ran | None, Ran | None]
"""A node, as each of the two executions has it."""


def aligned(one: Sequence[Ran], other: Sequence[Ran]) -> list[Pair]:
    """The nodes of both in the order in which they ran, each beside its counterpart."""
    firsts, seconds = ({ran.node_id: ran for ran in each} for each in (one, other))
    order = _merged(list(firsts), list(seconds))
    return [(node_id, firsts.get(node_id), seconds.get(node_id)) for node_id in order]


def differences(pairs: Sequence[Pair], graphs: Sequence[Definitions]) -> Iterator[Difference]:
    """The nodes that ended differently, in their order, each with its reason."""
    for node_id, one, other in pairs:
        if one is None or other is None:
            is_in_both = all(node_id in graph for graph in graphs)
            yield Difference(node_id, Why.PATH if is_in_both else Why.CODE)
        elif one.ended_as != other.ended_as:
            yield _reason(node_id, one, other)


def different_keys(one: Context, other: Context) -> list[str]:
    """The keys that one of two contexts lacks, or that have another value there."""
    keys = dict.fromkeys([*one, *other])
    return [key for key in keys if one.get(key, MISSING) != other.get(key, MISSING)]


def _reason(node_id: str, one: Ran, other: Ran) -> Difference:
    if _works(one) != _works(other):
        return Difference(node_id, Why.CODE)
    keys = different_keys(one.seen, other.seen)
    if keys:
        return Difference(node_id, Why.INPUT, keys)
    return Difference(node_id, Why.OUTPUT, different_keys(one.output, other.output))


def _works(ran: Ran) -> dict[str, Json]:
    return {name: value for name, value in ran.definition.items() if name not in LOOKS}


def _merged(one: list[str], other: list[str]) -> list[str]:
    """Both orders in one: what only the second has comes where it came there."""
    merged, rest = [], list(other)
    for node_id in one:
        if node_id in rest:
            place = rest.index(node_id)
            merged += [each for each in rest[:place] if each not in one]
            rest = [each for each in rest[:place] if each in one] + rest[place + 1 :]
        merged.append(node_id)
    return merged + [each for each in rest if each not in one]
