"""The customers that runs are made for."""

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from src.core.errors import DuplicateSlug, InUse, Invalid, NotFound, Problem
from src.core.status import Status
from src.database import Database
from src.models import Client, Execution
from src.runtime.audit import note

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_LISTED: tuple[Any, ...] = (
    Client.id,
    Client.slug,
    Client.name,
    Client.is_active,
    Client.max_concurrent,
    Client.created_at,
)


class Clients:
    def __init__(self, database: Database) -> None:
        self._database = database

    def id_of(self, slug: str | None) -> int | None:
        """The id of an active client; None for no client.

        Raises:
            NotFound: there is none, or it is not active.
        """
        if slug is None:
            return None
        found = self._find(slug)
        if found is None or not found.is_active:
            raise NotFound("active client", slug)
        return int(found.id)

    def find(self, slug: str) -> Row[Any]:
        """Raises NotFound."""
        found = self._find(slug)
        if found is None:
            raise NotFound("client", slug)
        return found

    def page(self, *, limit: int, skip: int = 0) -> tuple[list[Row[Any]], int]:
        """A page of clients by slug, and how many there are in all."""
        with self._database.read() as connection:
            rows = connection.execute(select(*_LISTED).order_by(Client.slug).limit(limit).offset(skip)).all()
            total: int = connection.execute(select(func.count()).select_from(Client)).scalar_one()
        return list(rows), total

    def create(self, slug: str, name: str, *, is_active: bool = True, max_concurrent: int | None = None) -> None:
        """Raises Invalid, DuplicateSlug."""
        if not SLUG.fullmatch(slug):
            raise Invalid([Problem("/slug", "expected a-z, 0-9, _ and -, not at the beginning, 63 at most")])
        _check_name(name)
        row = {"slug": slug, "name": name, "is_active": is_active, "max_concurrent": max_concurrent}
        try:
            with self._database.write("client") as connection:
                connection.execute(insert(Client).values(**row, created_at=datetime.now(UTC)))
                note(connection, "client.create", f"client/{slug}", after=row)
        except IntegrityError:
            raise DuplicateSlug(slug) from None

    def change(self, slug: str, **values: Any) -> None:
        """Raises NotFound, Invalid."""
        client = self.find(slug)
        _check_name(values.get("name", ""))
        if values:
            with self._database.write("client") as connection:
                connection.execute(update(Client).where(Client.id == client.id).values(**values))
                if "max_concurrent" in values:  # the next sweep rings for those that were held up
                    connection.execute(_HELD_UP.where(Execution.client_id == client.id))
                before = {name: getattr(client, name) for name in values}
                note(connection, "client.change", f"client/{slug}", before=before, after=values)

    def delete(self, slug: str) -> None:
        """With its credentials and keys. Raises NotFound; InUse where anything else belongs to it."""
        client = self.find(slug)
        try:
            with self._database.write("client") as connection:
                connection.execute(delete(Client).where(Client.id == client.id))
                note(connection, "client.delete", f"client/{slug}")
        except IntegrityError:
            raise InUse(slug) from None

    def _find(self, slug: str) -> Row[Any] | None:
        if not slug.isprintable():  # PostgreSQL knows no NUL, nobody a half character
            return None
        with self._database.read() as connection:
            found: Row[Any] | None = connection.execute(select(*_LISTED).where(Client.slug == slug)).one_or_none()
        return found


_HELD_UP = (
    update(Execution)
    .where(Execution.status == Status.QUEUED, Execution.completed_at.is_(None))
    .values(rung_at=None, rings=0)
)


def _check_name(name: str) -> None:
    if not name.isprintable():
        raise Invalid([Problem("/name", "expected a name of printable characters")])
