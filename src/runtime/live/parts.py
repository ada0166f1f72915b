"""The parts that let others watch, plugged together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from src.core.status import Status
from src.database import Database
from src.runtime.live.hub import Hub
from src.runtime.live.notices import Notices
from src.runtime.live.rows import Rows
from src.runtime.live.signals import Signal, Signals

if TYPE_CHECKING:
    from src.runtime.live.wire import Wire


class Progress(NamedTuple):
    """How far an execution is."""

    status: Status
    done: int
    total: int
    running: list[Signal]
    """The nodes under way, each with the last that it has told."""


@dataclass(frozen=True, slots=True)
class Live:
    hub: Hub
    _rows: Rows
    _signals: Signals
    _wire: "Wire | None"

    def progress(self, execution_id: int) -> Progress:
        """From memory or Redis where one of them knows, else from SQL. Raises NotFound."""
        hot = self._signals.hot(execution_id) or (self._wire.hot(execution_id) if self._wire else None)
        if hot is not None:
            return Progress(Status(hot.status), hot.done, hot.total, list(hot.running.values()))
        return Progress(*self._rows.progress(execution_id), [])

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()


def make_live(
    database: Database,
    signals: Signals,
    *,
    redis_url: str | None,
    verify_tls: bool,
    owner: str,
    is_over: Callable[[], bool],
) -> Live:
    """
    Args:
        redis_url: None where this process tells no other of its runs, and hears of none.
    """
    wire = None
    if redis_url is not None and redis_url.startswith(("redis://", "rediss://")):
        from src.runtime.live.wire import Wire  # noqa: PLC0415 -- who has no Redis does not pay for its library

        wire = Wire(redis_url, signals, owner=owner, verify_tls=verify_tls)
    rows = Rows(database)
    return Live(Hub(rows, Notices(database), signals, wire, is_over=is_over), rows, signals, wire)
