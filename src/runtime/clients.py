"""The customers that runs are made for, as runs need them: by slug."""

from sqlalchemy import select

from src.core.errors import NotFound
from src.database import Database
from src.models import Client


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
        found = self._find(slug) if slug.isprintable() else None  # PostgreSQL knows no NUL, nobody a half character
        if found is None:
            raise NotFound("active client", slug)
        return found

    def _find(self, slug: str) -> int | None:
        with self._database.read() as connection:
            return connection.execute(select(Client.id).where(Client.slug == slug, Client.is_active)).scalar()
