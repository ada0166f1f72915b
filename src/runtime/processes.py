"""The table `processes`: this one says that it lives, and sees which others do."""

import os
import secrets
import socket
from collections.abc import Callable

from sqlalchemy import delete, func, insert, select, update

from src.database import Database
from src.models import Process
from src.models.columns import moment, seconds_since

ALIVE_SECONDS = 60.0
"""Who was not heard of for longer is taken for dead. Several sweeps, and a pause of the database, fit into it."""
FORGOTTEN_SECONDS = 86_400.0
WORKER = "worker"


def own_name() -> str:
    """Of this process, and of no other."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Processes:
    def __init__(
        self, database: Database, *, own_id: str, role: str, gauges: Callable[[], dict[str, float]] = dict
    ) -> None:
        """
        Args:
            gauges: how this process is just now.
        """
        self._database = database
        self._id = own_id
        self._role = role
        self._has_left = False
        self._gauges = gauges
        self.bell_heard: Callable[[], bool] = lambda: False
        """Whether a bell was heard since it was asked last; a worker's own way to know."""

    def beat(self) -> None:
        """Say that this process lives."""
        if self._has_left:
            return
        seen = {"seen_at": moment(0.0), "gauges": self._gauges()} | (
            {"last_bell_at": moment(0.0)} if self.bell_heard() else {}
        )
        with self._database.write("beat") as connection:
            if connection.execute(update(Process).where(Process.id == self._id).values(**seen)).rowcount:
                return
            connection.execute(delete(Process).where(Process.seen_at < moment(-FORGOTTEN_SECONDS)))
            connection.execute(insert(Process).values(id=self._id, role=self._role, **seen))

    def leave(self) -> None:
        """Say that it is about to end. Nobody depends on it: who dies without a word is missed after a while."""
        self._has_left = True
        with self._database.write("leave") as connection:
            connection.execute(delete(Process).where(Process.id == self._id))

    def are_there_workers(self) -> bool:
        return self.count_workers() > 0

    def count_workers(self) -> int:
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(*_LIVING_WORKERS)).scalar_one()

    def seconds_since_a_bell(self) -> float | None:
        """How long ago a bell reached any of the workers."""
        query = select(func.min(seconds_since(Process.last_bell_at))).where(*_LIVING_WORKERS)
        with self._database.read() as connection:
            return connection.execute(query).scalar()


_LIVING_WORKERS = (Process.role == WORKER, Process.seen_at > moment(-ALIVE_SECONDS))
