"""Finds secrets by their values, in the forms that programs give them, and puts their names in their place.

It is against accidents: a form that is not listed here (a secret letter by letter, reversed, encrypted) gets through.
"""

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from src.core.outcome import Json

MIN_LENGTH = 6
"""Characters. A shorter value would be found in half of all texts, and masking it would tell that it is there."""
MIN_LINE_LENGTH = 16
"""Of one line of a secret that has many, such as a private key."""
MAX_JSON_LEVELS = 3
CUT = "\n[cut: "
"""Where what was printed is cut off, part of a secret may stand before it."""
STARTS = (0, 2, 3)
"""The first character of base64 that depends on nothing before, after 0, 1 and 2 other bytes."""
_MARK = re.compile(r"\[secret:\w+\]")
_LINE_BREAKS = re.compile(r"\r?\n|\\r|\\n")


class Mask:
    """Replaces the values of `secrets` by `[secret:<name>]`. False where there is nothing to look for."""

    def __init__(self, secrets: Mapping[str, Json]) -> None:
        self._names: dict[str, str] = {}
        """Form -> what stands in its place. Longer ones first: one secret may be the beginning of another."""
        self._numbers: dict[float, str] = {}
        found: dict[str, str] = {}
        for name, value in secrets.items():
            mark = f"[secret:{name}]"
            for form in forms_of(value):
                found.setdefault(form, mark)
            if isinstance(value, int | float) and not isinstance(value, bool) and len(_text_of(value)) >= MIN_LENGTH:
                self._numbers[value] = mark
        self._names = dict(sorted(found.items(), key=lambda each: -len(each[0])))
        self._needles = {json.dumps(form, ensure_ascii=False)[1:-1]: mark for form, mark in self._names.items()}
        """The forms, as they stand within JSON."""

    def __bool__(self) -> bool:
        return bool(self._names)

    def text(self, text: str) -> str:
        if len(text) < MIN_LENGTH:
            return text
        found = [form for form in self._names if form in text]
        if found:
            text = re.sub("|".join(map(re.escape, found)), lambda match: self._names[match.group()], text)
        if "\n" in text or "\\n" in text:
            text = self._over_line_breaks(text)
        return self._before_the_cut(text) if CUT in text else text

    def value(self, value: Json) -> Json:
        """`value` with every text, number and key in it masked; itself where there is nothing to mask."""
        return self._deep(value) if self.finds_in(value) else value

    def finds_in(self, value: Json) -> bool:
        """Cheap: one look at the whole of it as text, before anything is taken apart."""
        if not self._names:
            return False
        written = json.dumps(value, ensure_ascii=False)
        if any(needle in written for needle in self._needles) or CUT[1:] in written:
            return True
        if "\\n" not in written:
            return False
        joined = _LINE_BREAKS.sub("", written)
        return any(needle in joined for needle in self._needles)

    def names_in(self, text: str) -> set[str]:
        """Whose values stand there, in whatever form; marks are none."""
        text = _MARK.sub("", text)
        joined = _LINE_BREAKS.sub("", text)
        forms = {**self._names, **self._needles}
        return {mark for form, mark in forms.items() if form in text or form in joined}

    @property
    def count(self) -> int:
        """How many secrets it knows."""
        return len(set(self._names.values()))

    def _deep(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self._deep(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._deep(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._numbers.get(value, value)
        return value

    def _over_line_breaks(self, text: str) -> str:
        """Base64 is broken into lines in mail."""
        joined = _LINE_BREAKS.sub("", text)
        found = [form for form in self._names if form in joined and form.isascii()]
        if not found:
            return text
        place_of = _places(text)
        whole, end = [], 0
        for start, length, mark in sorted(self._apart(found, joined)):
            whole += [text[end : place_of(start)], mark]
            end = place_of(start + length - 1) + 1
        return "".join([*whole, text[end:]])

    def _apart(self, forms: Iterable[str], text: str) -> Iterator[tuple[int, int, str]]:
        """Where they stand, how long they are, and what is to stand there; of two that overlap, the first alone."""
        taken = bytearray(len(text))
        for form in forms:
            start = text.find(form)
            while start >= 0:
                end = start + len(form)
                overlap = taken.rfind(1, start, end)
                if overlap < 0:
                    taken[start:end] = b"\1" * len(form)
                    yield start, len(form), self._names[form]
                start = text.find(form, end if overlap < 0 else overlap + 1)

    def excerpt(self, text: str) -> str:
        """Likewise, of what somebody may have cut off without a word: in errors that quote an answer."""
        return self._without_a_beginning(self.text(text), MIN_LENGTH) if self._names else text

    def _before_the_cut(self, text: str) -> str:
        head, cut, tail = text.rpartition(CUT)
        return f"{self._without_a_beginning(head, MIN_LENGTH // 2 + 1)}{cut}{tail}"

    def _without_a_beginning(self, text: str, shortest: int) -> str:
        """`text` without the beginning of a secret at its end."""
        end = text.rstrip("\n")
        for form, mark in self._names.items():
            for length in range(min(len(form) - 1, len(end)), shortest - 1, -1):
                if end.endswith(form[:length]):
                    return f"{end[:-length]}{mark}{text[len(end) :]}"
        return text


def _places(text: str) -> Callable[[int], int]:
    """Tells where a character stands in `text` that stands at a place in it without its line breaks."""
    joined, lengths, gone = [], [0], 0
    for found in _LINE_BREAKS.finditer(text):
        joined.append(found.start() - gone)
        gone += found.end() - found.start()
        lengths.append(gone)
    return lambda place: place + lengths[bisect_right(joined, place)]


def forms_of(value: Json) -> set[str]:
    """How the value may be written: as it is, in small letters as a host is, for JSON, for a URL, for HTML, in base64
    and in hexadecimal digits.
    """
    text = _text_of(value)
    if len(text) < MIN_LENGTH:
        return set()
    forms = {text, text.strip(), text.lower(), repr(text)[1:-1], html.escape(text)}
    forms |= {*_in_json(text), *_lines(text), *_in_urls(text)}
    content = text.encode()
    forms |= {content.hex(), content.hex().upper(), *_in_base64(content)}
    return {form for form in forms if len(form) >= MIN_LENGTH}


def _text_of(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None or isinstance(value, bool) else json.dumps(value)


def _in_json(text: str) -> Iterator[str]:
    """Also as a text within JSON that is a text within JSON: queues and logs wrap things up."""
    for ascii_alone in (True, False):
        escaped = text
        for _ in range(MAX_JSON_LEVELS):
            escaped = json.dumps(escaped, ensure_ascii=ascii_alone)[1:-1]
            yield escaped


def _lines(text: str) -> Iterator[str]:
    """Of a private key, say, without what stands around every private key."""
    for line in map(str.strip, text.splitlines()):
        if len(line) >= MIN_LINE_LENGTH and not line.startswith("-----"):
            yield line


def _in_urls(text: str) -> Iterator[str]:
    for quoted in (quote(text, ""), quote(text), quote_plus(text)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), quoted)


def _in_base64(content: bytes) -> Iterator[str]:
    """Wherever it stands in what was encoded: 0, 1 or 2 bytes after a multiple of three."""
    whole = base64.b64encode(content).decode()
    parts = [whole, whole.rstrip("=")]
    for before, start in enumerate(STARTS):
        end = (before + len(content)) * 8 // 6
        parts.append(base64.b64encode(b"\0" * before + content)[start:end].decode())
    for part in parts:
        yield part
        yield part.replace("+", "-").replace("/", "_")
