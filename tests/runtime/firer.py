"""`python -m tests.runtime.firer DATABASE_URL FOLDER`: a process that fires schedules by the clock in `FOLDER/now`.

Writes the moment that it has swept at into `FOLDER/<its number>.swept`, and ends with its standard input.
"""

import os
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from src.core.failpoint import arm
from src.core.status import Mode
from src.runtime.bells import Silence
from src.runtime.clients import Clients
from src.runtime.executions import Executions
from src.runtime.firing import Firing
from src.runtime.queue import Queue
from tests.runtime.building import parts


def main(url: str, folder: Path) -> None:
    if failpoint := os.environ.get("FAILPOINT"):
        arm(failpoint)
    with parts(url) as made:
        executions = Executions(made.database, made.workflows, Clients(made.database), max_context_bytes=10_000)
        queue = Queue(made.database, Silence())
        now = Hand(folder / "now")
        firing = Firing(
            made.database, made.workflows, executions, made.store, queue, queued_as=Mode.BACKGROUND, clock=now
        )
        while True:
            now.wait_for_a_move()
            firing.fire_due()
            replace(folder / f"{os.getpid()}.swept", now.shown)


class Hand:
    """A clock whose hand somebody else moves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shown = ""

    def __call__(self, connection: Connection) -> datetime:
        return datetime.fromisoformat(self.shown)

    def wait_for_a_move(self) -> None:
        while (shown := self._path.read_text()) == self.shown:
            time.sleep(0.005)
        self.shown = shown


def replace(path: Path, content: str) -> None:
    """At once: whoever reads it sees all of it."""
    written = path.with_suffix(f".{os.getpid()}")
    written.write_text(content)
    written.replace(path)


def _end_with_standard_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    main(sys.argv[1], Path(sys.argv[2]))
