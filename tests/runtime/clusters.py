"""A PostgreSQL of a test's own, which it may stop as a power cut would, and start again."""

import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from src.database import migrate
from tests import servers
from tests.runtime.building import eventually


class Cluster:
    def __init__(self) -> None:
        program = servers.find_postgres()
        self._postgres, self._process = servers.start_postgres(program)
        self._folder = self._process.folder
        copied = sorted(self._folder.glob("*/pginstall/bin"))
        self._bin = copied[0] if copied else program.path.parent
        self._started_again: list[servers.Process] = []
        self._postgres.wait_until_ready()
        migrate(self.url)

    @property
    def url(self) -> str:
        return self._postgres.url

    def stop_at_once(self) -> None:
        """What `pg_ctl stop -m immediate` does: every process of it ends without another word."""
        self._postgres.wait_until_ready()  # it may have been started just now
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        eventually((self._folder / "ended").exists, what="the end of PostgreSQL")

    def start_again(self) -> None:
        (self._folder / "ended").unlink()
        account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        command = servers.postgres_command(self._bin, Path(self._folder), make_url(self.url).port or 5432)
        self._started_again.append(servers.start(f"exec {command}", self._folder, account))

    def keep_moments_of_commits(self) -> None:
        """From now on `pg_xact_commit_timestamp` answers."""
        self._postgres.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        self.stop_at_once()
        self.start_again()
        self._postgres.wait_until_ready()

    def close(self) -> None:
        for process in [*self._started_again, self._process]:
            process.stop()


@contextmanager
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    try:
        yield made
    finally:
        made.close()
