"""What may be kept: plain JSON, checked and copied in one pass, so that a resumed run sees what the first one saw."""

import math
from collections.abc import Mapping

from src.core.errors import Problem, ValueRefused, pointer_to
from src.core.outcome import Context, Json

MAX_DEPTH = 100
"""Levels of nesting. Python's own parser and PostgreSQL's give up at about a thousand."""
UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""Control characters, as they are written in Python."""
MAX_INTEGER_BITS = 14_280
"""About 4,300 digits: Python itself refuses to print more."""


class _Refused(Exception):
    """Carries the reason outwards; every level adds its key, so a pointer costs nothing where all is well."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.keys: list[str | int] = []


def plain_object(value: object, *, max_bytes: int, pointer: str = "") -> Context:
    """A JSON copy of the object `value`: tuples become lists, the order of keys stays.

    Raises:
        ValueRefused: with a pointer to the first value that cannot be kept: what JSON cannot say, NaN and infinity,
            NUL and lone surrogates (PostgreSQL refuses both), more than `MAX_DEPTH` levels, about `max_bytes` bytes.
    """
    try:
        if not isinstance(value, Mapping):
            raise _Refused(f"expected an object, got {_name(value)}")
        return _Copy(max_bytes).mapping(value, 0)
    except _Refused as refused:
        where = pointer + pointer_to(reversed(refused.keys))
        raise ValueRefused([Problem(where, str(refused))]) from None


def plain_text(text: str, *, max_length: int) -> str:
    """`text` as any database keeps it: NUL and lone surrogates replaced, cut (and marked as cut) at `max_length`."""
    if len(text) > max_length:
        text = f"{text[:max_length]}\n[cut: {len(text) - max_length:,} more characters]"
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def visible(text: str) -> str:
    """`text` for a terminal: what would be an order to it stands there in letters."""
    return text.translate(UNSEEN)


class _Copy:
    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes

    def mapping(self, value: Mapping[object, object], depth: int) -> Context:
        copy: Context = {}
        for key, item in value.items():
            try:
                if not isinstance(key, str):
                    raise _Refused(f"keys are strings in JSON, this one is {_name(key)}")
                copy[self._text(key)] = self._value(item, depth + 1)
            except _Refused as refused:
                refused.keys.append(_shown(key))
                raise
        return copy

    def _array(self, value: list[object] | tuple[object, ...], depth: int) -> list[Json]:
        copy: list[Json] = []
        for index, item in enumerate(value):
            try:
                copy.append(self._value(item, depth + 1))
            except _Refused as refused:
                refused.keys.append(index)
                raise
        return copy

    def _value(self, value: object, depth: int) -> Json:
        if isinstance(value, str):
            return self._text(value)
        self._spend(2)  # also for what is empty: there may be a million of it
        if value is None or value is True or value is False:
            return value
        if isinstance(value, int | float):
            return self._number(value)
        if depth >= MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple):
            return self._array(value, depth)
        raise _Refused(f"{_name(value)} is not JSON")

    def _text(self, value: str) -> str:
        self._spend(len(value) + 4)
        if "\x00" in value:
            raise _Refused("contains a NUL character, which PostgreSQL cannot keep")
        if not value.isascii():
            try:
                self._spend(len(value.encode()) - len(value))
            except UnicodeEncodeError:
                raise _Refused("contains a lone surrogate, which is not a character") from None
        return value if type(value) is str else str.__str__(value)

    def _number(self, value: float) -> float:
        self._spend(8)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise _Refused(f"{value} is not a JSON number")
            return float(value)
        if value.bit_length() > MAX_INTEGER_BITS:
            raise _Refused("an integer of more than 4,300 digits")
        return int(value)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _Refused(f"larger than {self._max_bytes:,} bytes in all")


def _shown(key: object) -> str:
    try:
        return str(key)
    except Exception:  # noqa: BLE001 -- an int of too many digits, or a key of somebody's own class
        return _name(key)


def _name(value: object) -> str:
    return f"a value of type {type(value).__name__}"
