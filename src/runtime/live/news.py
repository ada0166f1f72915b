"""Notices for everybody who listens in this process: read once, told to all."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady
from src.runtime.live.notices import LATE_SECONDS, TASK_STARTED, Board, Notice, Notices, progress_of
from src.runtime.live.signals import CHANGED, PROGRESS, Signal

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
"""What happens so closely together is read at once."""
MAX_KNOWN = 10_000
MAX_WAITING = 1000
"""Notices that wait for a slow listener. Then it is let go: it comes back and says what it had last."""


class Listener:
    def __init__(self, board: Board) -> None:
        self._board = board
        self._notices: asyncio.Queue[Notice | None] = asyncio.Queue(MAX_WAITING)
        self.is_lost = False

    def offer(self, notices: Sequence[Notice]) -> None:
        for notice in self._board.chosen(notices):
            try:
                self._notices.put_nowait(notice)
            except asyncio.QueueFull:
                self.is_lost = True

    def end(self) -> None:
        self.is_lost = True
        if not self._notices.full():
            self._notices.put_nowait(None)

    async def notices(self) -> AsyncIterator[Notice]:
        while not self.is_lost:
            notice = await self._notices.get()
            if notice is not None:
                yield notice


class News:
    def __init__(self, notices: Notices) -> None:
        self.listeners: set[Listener] = set()
        self._notices = notices
        self._signals: list[Signal] = []
        self._told = asyncio.Event()
        self._known: dict[str, None] = {}
        self._started: dict[int, Notice] = {}
        """Of recent executions, for what is told of their progress."""
        self._begun_at = self._looked_at = datetime.now(UTC)

    def join(self, listener: Listener) -> None:
        if not self.listeners:
            self._begun_at = self._looked_at = datetime.now(UTC) - timedelta(seconds=LATE_SECONDS)
        self.listeners.add(listener)

    def tell(self, signals: Sequence[Signal]) -> None:
        self._signals += [signal for signal in signals if signal.kind in (CHANGED, PROGRESS)]
        self._told.set()

    async def follow(self) -> None:
        while True:
            await self._told.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._told.clear()
            signals, self._signals = self._signals, []
            changed = {signal.execution_id for signal in signals if signal.execution_id not in self._started}
            changed |= {signal.execution_id for signal in signals if signal.kind == CHANGED}
            await self._read(changed)
            self._offer([_progress(self._started[each.execution_id], each) for each in self._newest(signals)])

    async def look(self) -> None:
        """For what no signal has told of."""
        since, self._looked_at = self._looked_at, datetime.now(UTC)
        try:
            self._publish(await asyncio.to_thread(self._notices.since, since))
        except (NotReady, SQLAlchemyError) as error:
            self._looked_at = since
            logger.warning("news could not be read: %s", type(error).__name__)

    async def _read(self, execution_ids: set[int]) -> None:
        if not execution_ids:
            return
        try:
            self._publish(await asyncio.to_thread(self._notices.of, execution_ids))
        except (NotReady, SQLAlchemyError) as error:  # the next look finds what this one did not
            logger.warning("news could not be read: %s", type(error).__name__)

    def _newest(self, signals: Sequence[Signal]) -> list[Signal]:
        told = [each for each in signals if each.kind == PROGRESS and each.execution_id in self._started]
        return list({(each.execution_id, each.node_id): each for each in told}.values())

    def _publish(self, notices: Sequence[Notice]) -> None:
        self._offer([each for each in notices if each.id not in self._known and each.at >= self._begun_at])
        self._known |= {notice.id: None for notice in notices}
        self._started |= {each.execution_id: each for each in notices if each.type == TASK_STARTED}
        _shorten(self._known)
        _shorten(self._started)

    def _offer(self, notices: Sequence[Notice]) -> None:
        for listener in self.listeners:
            listener.offer(notices)


def _progress(started: Notice, signal: Signal) -> Notice:
    return progress_of(started, signal.node_id, signal.fraction, signal.text)


def _shorten(kept: dict[Any, Any]) -> None:
    """Let go of the oldest."""
    for key in list(kept)[:-MAX_KNOWN] if len(kept) > 2 * MAX_KNOWN else ():
        del kept[key]
