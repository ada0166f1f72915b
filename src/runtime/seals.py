"""The hash chain of `chain_of_work`: every row bears the SHA-256 of the seal before it and of its own contents.

The runner that holds the fence writes the rows of its execution in order and knows the last seal, so sealing costs no
query. Who changes a row afterwards, takes one out or puts one between would have to seal all that follow anew, and the
last seal stands in `executions` too.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Float, func, select

from src.core.store import Claim
from src.models import Blob, ChainOfWork
from src.models.columns import UtcDateTime
from src.runtime.blobs import names_in
from src.runtime.ledger import Row
from src.runtime.rows import timestamp

NOT_SEALED = ("id", "execution_id", "seal")
"""The first two are others in a Nova that has imported the run; which run it is the first seal of a chain says."""
SEALED = frozenset(column.name for column in ChainOfWork.__table__.columns) - {*NOT_SEALED}
_ENCODE = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class Seals:
    """The last seal of each execution that this process drives."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], str] = {}

    def go_on(self, execution_id: int, token: int, last: str | None) -> None:
        """From where another runner has left it."""
        if last is not None:
            self._last[execution_id, token] = last

    def put_on(self, claim: Claim, rows: Sequence[Row]) -> str:
        """Seal the rows, in the order in which they will be written; answers the last seal."""
        key = (claim.execution_id, claim.token)
        last = self._last.get(key) or first_seal(claim.task_id)
        for row in rows:
            last = row["seal"] = seal_of(last, row)
        self._last[key] = last
        return last

    def forget(self, claim: Claim) -> None:
        self._last.pop((claim.execution_id, claim.token), None)


def first_seal(task_id: str) -> str:
    return hashlib.sha256(task_id.encode()).hexdigest()


def seal_of(before: str, row: Mapping[str, Any]) -> str:
    """Of what has a value: a column that a later release adds leaves the seals of older rows right."""
    contents = [
        (name, _PLAIN[name](value) if name in _PLAIN else value)
        for name, value in sorted(row.items())
        if value is not None and name in SEALED
    ]
    return hashlib.sha256(f"{before}\n{_ENCODE(contents)}".encode()).hexdigest()


def broken(connection: Connection, task_id: str, rows: Sequence[Any], last_seal: str | None) -> Iterator[str]:
    """What does not fit the seals, a sentence each. Rows before the first seal are from before there were any, or stand
    for rows of another execution.

    Args:
        rows: of `chain_of_work`, as they stand, in the order they were written.
        last_seal: as it stands in the row of the execution, where that has ended.
    """
    last, is_sealed = first_seal(task_id), False
    for row in rows:
        name = f"{row.node_id!r} attempt {row.attempt}"
        if row.seal is None:
            if is_sealed:
                yield f"{name} has no seal, though rows before it have one"
            continue
        if row.seal != seal_of(last, row._mapping):
            yield f"{name} was changed after it was written, or what stood before it was"
        last, is_sealed = row.seal, True
    if last_seal is not None and last_seal != last:
        yield "the last seal is not the one that the execution ended with: rows were taken out or put in at the end"
    yield from _changed_blobs(connection, rows)


def count_unsealed(connection: Connection) -> int:
    """Rows from before there were seals."""
    own = (ChainOfWork.seal.is_(None), ChainOfWork.origin_attempt_id.is_(None))
    return connection.execute(select(func.count()).select_from(ChainOfWork).where(*own)).scalar_one()


def _changed_blobs(connection: Connection, rows: Sequence[Any]) -> Iterator[str]:
    names = {name for row in rows for name in names_in(row.output_result)}
    found = connection.execute(select(Blob.sha256, Blob.content).where(Blob.sha256.in_(names))).all() if names else []
    for sha256, content in found:
        if hashlib.sha256(content.encode()).hexdigest() != sha256:
            yield f"the big value {sha256[:12]} was changed after it was written"
    missing = names - {row.sha256 for row in found}
    yield from (f"the big value {name[:12]} is gone" for name in sorted(missing))


def _moment(value: datetime | str) -> str:
    return value if isinstance(value, str) else timestamp(value)


def _document(value: Any) -> str:
    return json.dumps(_as_jsonb(value), sort_keys=True)


def _as_jsonb(value: Any) -> Any:
    """JSONB knows numbers by their value alone: 1e3 comes back as 1000."""
    if isinstance(value, float):
        exact = Decimal(repr(value))
        return int(exact) if exact == exact.to_integral_value() else value
    if isinstance(value, dict):
        return {key: _as_jsonb(each) for key, each in value.items()}
    return [_as_jsonb(each) for each in value] if isinstance(value, list) else value


_PLAIN: dict[str, Callable[[Any], Any]] = {
    **{column.name: float for column in ChainOfWork.__table__.columns if isinstance(column.type, Float)},
    **{column.name: _moment for column in ChainOfWork.__table__.columns if isinstance(column.type, UtcDateTime)},
    **dict.fromkeys(("details", "usage"), _document),
}
"""Makes of a value what it is both before it is written and after it was read, on either database. PostgreSQL keeps the
last two as JSONB: their keys come back in another order, their numbers in another form.
"""
