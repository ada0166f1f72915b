"""The rows that every run looks up, without the objects for statements and results, which would cost as much again."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from sqlalchemy import Select
from sqlalchemy.engine.interfaces import DBAPICursor

from src.database import Database


class Lookup:
    """A SELECT of one row by its parameter `which`, compiled once for each kind of database. Rows are named tuples of
    the values that SQLAlchemy would give.
    """

    def __init__(self, query: "Select[*tuple[Any, ...]]") -> None:
        self._query = query
        self._row = namedtuple("Row", query.selected_columns.keys())  # type: ignore[misc]
        self._statements: dict[str, str] = {}
        self._converters: dict[str, list[Callable[[Any], Any] | None]] = {}
        """Make of what the driver gives what it stands for; None where that is the same. By kind of database."""

    def one_or_none(self, database: Database, which: object) -> Any:
        """Raises NotReady."""
        statement = self._statements.get(database.engine.name) or self._compile(database)
        with database.cursor() as cursor:
            cursor.execute(statement, (which,) if database.is_sqlite else {"which": which})
            values = cursor.fetchone()
        if values is None:
            return None
        converters = self._converters.get(database.engine.name) or self._find_converters(database, cursor)
        pairs = zip(converters, values, strict=True)
        return self._row(*[value if convert is None else convert(value) for convert, value in pairs])

    def _compile(self, database: Database) -> str:
        compiled = self._query.compile(dialect=database.engine.dialect)
        assert compiled.params.keys() == {"which"}, "nothing else is given"
        statement = self._statements[database.engine.name] = str(compiled)
        return statement

    def _find_converters(self, database: Database, cursor: DBAPICursor) -> list[Callable[[Any], Any] | None]:
        dialect = database.engine.dialect
        columns = zip(self._query.selected_columns, cursor.description, strict=True)
        converters: list[Callable[[Any], Any] | None] = [
            column.type.dialect_impl(dialect).result_processor(dialect, told[1]) for column, told in columns
        ]
        self._converters[database.engine.name] = converters
        return converters
