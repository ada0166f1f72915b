"""The column types that the tables share, and the moment a lease is measured by."""

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Float, Integer, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

BIG = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""
MAX_ID = 2**63 - 1
"""The greatest that it holds."""
MAX_DIGITS = len(str(MAX_ID)) - 1
"""Any number of so many is an id."""
TRAVELLING = JSON()
"""What a run reads back: JSON as it was written. JSONB would give objects in another order of keys, and a resumed run
would not see what the first one saw (docs/decisions/0004)."""
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
"""JSON that is only looked at."""


def is_id(text: str) -> bool:
    """Whether it can be one of a row, as a path writes it. More digits may be a number that no database holds."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class moment(GenericFunction[datetime]):  # noqa: N801 -- it reads as the SQL function it is
    """`moment(seconds)`: the database's own clock, that many seconds from now. Leases know no other clock."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(moment, "postgresql")
def _postgresql_moment(element: moment, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


@compiles(moment, "sqlite")
def _sqlite_moment(element: moment, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds') || '000')"


class seconds_since(GenericFunction[float]):  # noqa: N801
    """`seconds_since(moment)`: how long ago it is by the database's own clock."""

    type = Float()
    inherit_cache = True


@compiles(seconds_since, "postgresql")
def _postgresql_seconds_since(element: seconds_since, compiler: SQLCompiler, **options: Any) -> str:
    return f"extract(epoch FROM clock_timestamp() - {compiler.process(element.clauses, **options)})::float"


@compiles(seconds_since, "sqlite")
def _sqlite_seconds_since(element: seconds_since, compiler: SQLCompiler, **options: Any) -> str:
    return f"((julianday('now') - julianday({compiler.process(element.clauses, **options)})) * 86400.0)"


class new_uuid(GenericFunction[str]):  # noqa: N801
    """`new_uuid()`: a random one for each row, as `str(uuid.uuid4())` writes it."""

    type = String()
    inherit_cache = True


@compiles(new_uuid, "postgresql")
def _postgresql_new_uuid(*_: Any, **__: Any) -> str:
    return "gen_random_uuid()::text"


@compiles(new_uuid, "sqlite")
def _sqlite_new_uuid(*_: Any, **__: Any) -> str:
    parts = (
        "hex(randomblob(4))", "'-'", "hex(randomblob(2))", "'-4'", "substr(hex(randomblob(2)), 2)", "'-'",
        "substr('89ab', 1 + (random() & 3), 1)", "substr(hex(randomblob(2)), 2)", "'-'", "hex(randomblob(6))",
    )  # fmt: skip
    return f"lower({' || '.join(parts)})"


class json_rows(GenericFunction[list[Any]]):  # noqa: N801
    """`json_rows(a, b)`: the rows of a query as one JSON array of arrays."""

    type = JSON()
    inherit_cache = True


@compiles(json_rows, "postgresql")
def _postgresql_json_rows(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_agg(json_build_array({compiler.process(element.clauses, **options)}))"


@compiles(json_rows, "sqlite")
def _sqlite_json_rows(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array(json_array({compiler.process(element.clauses, **options)}))"


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {str: String(), datetime: UtcDateTime(), dict[str, Any]: TRAVELLING}  # noqa: RUF012


Id = Annotated[int, mapped_column(BIG, primary_key=True, autoincrement=True)]
