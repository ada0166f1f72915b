"""Big values of a context are kept once, by hash, beside the rows that name them: `{"$blob": <sha256>}`."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, select

from src.core.outcome import Context, Json
from src.models import Blob

MARK = "$blob"
BIG_BYTES = 256 * 1024
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def slim(context: Context) -> tuple[Context, dict[str, str]]:
    """`context` with its big values replaced by marks, and their JSON by hash. A value of the user's that looks like a
    mark goes the same way, so that what looks like a mark always is one.
    """
    written = _ENCODE(context)
    if len(written) < BIG_BYTES and MARK not in written:
        return context, {}
    found: dict[str, str] = {}
    slimmed = {key: _slim(value, found) for key, value in context.items()}
    return (slimmed, found) if found else (context, found)


def fatten(connection: Connection, contexts: Iterable[Context | None]) -> list[Context | None]:
    """The contexts as they were before `slim`."""
    slimmed = list(contexts)
    hashes = {value[MARK] for context in slimmed for value in (context or {}).values() if _is_mark(value)}
    if not hashes:
        return slimmed
    rows = connection.execute(select(Blob.sha256, Blob.content).where(Blob.sha256.in_(hashes)))
    contents = {row.sha256: row.content for row in rows}
    return [context and {key: _fat(value, contents) for key, value in context.items()} for context in slimmed]


def names_in(context: Context | None) -> list[str]:
    """The hashes of the big values that a slim context names."""
    return [value[MARK] for value in (context or {}).values() if _is_mark(value)]


def _slim(value: Json, found: dict[str, str]) -> Json:
    text = _ENCODE(value)
    if len(text) < BIG_BYTES and not _is_mark(value):
        return value
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    found[sha256] = text
    return {MARK: sha256}


def _fat(value: Json, contents: Mapping[str, str]) -> Json:
    return json.loads(contents[value[MARK]]) if _is_mark(value) else value


def _is_mark(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {MARK}
