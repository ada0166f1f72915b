"""The end of a process, told in time: runs leave at their next node boundary, and what is still under way at the end of
the grace is given up, so that others take it over at once. Nobody waits for a lease to run out.
"""

import logging
import os
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady

logger = logging.getLogger(__name__)

LINGER_SECONDS = 2.0
"""Between giving up and the end: for answers that are on their way. A thread that hangs does not hold up the end."""


class Drain:
    """Begun once, from a signal. Python cannot end a thread: where one still runs after all, the process ends hard."""

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._exit_code: int | None = None
        self._begun = threading.Event()
        self._given_up = threading.Event()

    def watch(self, *, announce: Callable[[], object], give_up: Callable[[], object]) -> None:
        """Be ready for `begin`, which starts no thread of its own: a signal handler must not.

        Args:
            announce: called when it has begun.
            give_up: called at the end of the grace, for what is still under way.
        """
        threading.Thread(target=self._see_it_through, args=(announce, give_up), name="drain", daemon=True).start()

    def begin(self, *, exit_code: int | None = None) -> None:
        """From now on nothing new is taken. Fit for a signal handler.

        Args:
            exit_code: leave with it, some time after the grace, if the process has not ended by itself.
        """
        self._exit_code = exit_code
        self._begun.set()

    def is_begun(self) -> bool:
        return self._begun.is_set()

    def is_not_begun(self) -> bool:
        return not self._begun.is_set()

    def is_over(self) -> bool:
        """What runs here now runs for nobody."""
        return self._given_up.is_set()

    def _see_it_through(self, announce: Callable[[], object], give_up: Callable[[], object]) -> None:
        self._begun.wait()
        give_up_at = time.monotonic() + self._grace_seconds
        self._tell(announce)
        time.sleep(max(0.0, give_up_at - time.monotonic()))
        self._tell(give_up)
        self._given_up.set()
        time.sleep(LINGER_SECONDS)
        if self._exit_code is not None:
            os._exit(self._exit_code)

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (NotReady, SQLAlchemyError) as error:  # then others find out when leases run out
            logger.warning("the end of this process could not be told: %s", error.__class__.__name__)
