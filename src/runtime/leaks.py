"""Looks for the values of credentials everywhere that anything is kept: tables, Redis, files of logs."""

import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select, tuple_

from src.core.masking import Mask
from src.database import Database
from src.models import Base

PIECE = 1024 * 1024
OVERLAP = 128 * 1024
"""Of two pieces of a file: a secret may stand where one ends."""
PAGE = 200
"""Rows."""
ENCRYPTED = "credentials"


@dataclass(frozen=True, slots=True)
class Leak:
    where: str
    client: str
    name: str
    """As `[secret:name]`."""


class Search:
    """For the secrets of every client: slug -> what recognises them."""

    def __init__(self, masks: Mapping[str, Mask]) -> None:
        self._masks = masks

    def in_tables(self, database: Database) -> Iterator[Leak]:
        for table in Base.metadata.sorted_tables:
            if table.name != ENCRYPTED:
                yield from self._in_table(database, table)

    def in_redis(self, url: str, *, verify_tls: bool) -> Iterator[Leak]:
        from redis import Redis  # noqa: PLC0415 -- who has no broker does not pay for its library

        is_tls = url.startswith("rediss:")
        options = {"ssl_cert_reqs": ssl.CERT_REQUIRED if verify_tls else ssl.CERT_NONE} if is_tls else {}
        with Redis.from_url(url, **options) as redis:
            for key in redis.scan_iter(count=1000):
                name = key.decode(errors="replace")
                yield from self.in_text(f"redis {name}", name + _as_text(_content(redis, key)))

    def in_file(self, path: Path) -> Iterator[Leak]:
        found = set()
        with path.open(encoding="utf-8", errors="replace") as file:
            before = ""
            while piece := file.read(PIECE):
                found |= set(self.in_text(str(path), before + piece))
                before = piece[-OVERLAP:]
        yield from sorted(found, key=lambda leak: (leak.client, leak.name))

    def in_text(self, where: str, text: str) -> Iterator[Leak]:
        for client, mask in self._masks.items():
            for name in sorted(mask.names_in(text)):
                yield Leak(where, client, name)

    def _in_table(self, database: Database, table: Table) -> Iterator[Leak]:
        names = [column.name for column in table.primary_key]
        for row in _rows(database, table):
            which = ", ".join(str(row[name]) for name in names)
            for name, value in row.items():
                yield from self.in_text(f"{table.name}.{name} where {', '.join(names)} = {which}", _as_text(value))


def _rows(database: Database, table: Table) -> Iterator[dict[str, Any]]:
    """Page by page along the key, so that neither memory nor a transaction holds all of it."""
    key = tuple_(*table.primary_key)
    page = select(*table.columns).order_by(*table.primary_key).limit(PAGE)
    rows: Sequence[Any] = ()
    while True:
        after = [key > tuple(rows[-1]._mapping[column.name] for column in table.primary_key)] if rows else []
        with database.read() as connection:
            rows = connection.execute(page.where(*after)).all()
        yield from (dict(row._mapping) for row in rows)
        if len(rows) < PAGE:
            return


def _as_text(value: Any) -> str:
    """As JSON says it: what is recognised is looked for as it stands within JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _content(redis: Any, key: bytes) -> Any:
    kind = redis.type(key).decode()
    read = {
        "string": lambda: redis.get(key),
        "list": lambda: redis.lrange(key, 0, -1),
        "hash": lambda: redis.hgetall(key),
        "set": lambda: redis.smembers(key),
        "zset": lambda: redis.zrange(key, 0, -1, withscores=True),
        "stream": lambda: redis.xrange(key),
    }
    return _decoded(read[kind]()) if kind in read else None


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return [[_decoded(key), _decoded(item)] for key, item in value.items()]
    return [_decoded(item) for item in value] if isinstance(value, list | set | tuple) else value
