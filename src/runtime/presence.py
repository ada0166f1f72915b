"""Whether other processes use the same SQLite file. Who comes alone knows that every lease in it is a dead one's."""

import fcntl
from collections.abc import Callable
from typing import IO

from src.database import Database


class Presence:
    """A lock on a file beside the database: shared by all who use it, exclusive for a moment for who comes first.

    PostgreSQL has no such moment: there a dead process' leases run out.
    """

    def __init__(self, database: Database) -> None:
        self._path = f"{database.url.database}.lock" if database.is_sqlite else None
        self._file: IO[str] | None = None

    def enter(self, when_alone: Callable[[], object]) -> None:
        """Be seen from now on; if nobody else is there, call `when_alone` before anybody else can come."""
        if self._path is None:
            return
        self._file = open(self._path, "a")  # noqa: SIM115 -- it stays open: the lock lives as long as the process
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            when_alone()
        except BlockingIOError:
            pass
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def leave(self) -> None:
        if self._file is not None:
            self._file.close()
