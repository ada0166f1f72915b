"""What the readers pass on to one another: a node or an edge half read, and what there is to say about the document."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from src.core.errors import Problem, escape_pointer

_QUOTED = 60
"""Characters: the longest string that a message repeats."""


@dataclass
class Draft:
    """A node or an edge on its way to the native form: its fields, and where each of them was written."""

    at: str
    fields: dict[str, Any]
    inside: str = ""
    """Where its fields stand, but for those in `origins`."""
    origins: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inside = self.inside or self.at

    def where(self, name: str) -> str:
        return self.origins.get(name, f"{self.inside}/{escape_pointer(name)}")

    def set(self, name: str, value: Any, origin: str) -> None:
        self.fields[name] = value
        self.origins[name] = origin


class Findings:
    """Every problem and every warning, in the order in which they were met."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def refuse(self, pointer: str, detail: str) -> None:
        self.problems.append(Problem(pointer, detail))

    def warn(self, pointer: str, detail: str) -> None:
        self.warnings.append(Problem(pointer, detail))


def same(one: object, other: object) -> bool:
    """Equal, for what holds nothing else. Never descends: a hostile value nests deeper than == can follow."""
    scalar = (str, int, float, type(None))
    return one is other or (isinstance(one, scalar) and isinstance(other, scalar) and one == other)


def blank(value: object) -> bool:
    """Not there, as far as its author is concerned."""
    return value is None or (isinstance(value, str) and not value.strip())


def quoted(value: object) -> str:
    """A value in a message: short, whatever it is."""
    words: Sequence[tuple[type, str]] = (
        (bool, "true or false"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "an object"),
    )
    if isinstance(value, str):
        return repr(value if len(value) <= _QUOTED else f"{value[:_QUOTED]}...")
    if value is None:
        return "null"
    return next((word for kind, word in words if isinstance(value, kind)), f"a {type(value).__name__}")
