"""One who watches, and the execution that is watched by any number of them."""

import asyncio
import json
import logging

from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady
from src.runtime.live.rows import NODE, Cursor, Event, Rows
from src.runtime.live.signals import CHANGED, Signal

logger = logging.getLogger(__name__)

MAX_WAITING = 256
"""Events that wait for a slow watcher. Beyond it they are dropped, and it goes on from SQL."""


class Watcher:
    def __init__(self) -> None:
        self._events: list[Event] = []
        self._told = asyncio.Event()
        self._has_missed = False

    def offer(self, event: Event) -> None:
        if len(self._events) < MAX_WAITING:
            self._events.append(event)
            self._told.set()
        else:
            self.interrupt()

    def interrupt(self) -> None:
        """Nothing more comes this way."""
        self._has_missed = True
        self._told.set()

    def begin(self) -> None:
        """What waits is about to be read from SQL instead."""
        self._events = []
        self._has_missed = False

    async def take(self) -> list[Event]:
        """All that waits; nothing where some are missing."""
        while not (self._events or self._has_missed):
            self._told.clear()
            await self._told.wait()
        events, self._events = self._events, []
        return [] if self._has_missed else events


class Channel:
    """An execution that is watched. However many watch it, its rows are read once for all of them."""

    def __init__(self, execution_id: int, rows: Rows) -> None:
        self.watchers: set[Watcher] = set()
        self.cursor: Cursor | None = None
        """How far its rows have been read; None before the first look."""
        self._execution_id = execution_id
        self._rows = rows
        self._signals: list[Signal] = []
        self._told = asyncio.Event()
        self._ended: dict[str, int] = {}
        """The last attempt that has ended, by node."""
        self.follower = asyncio.create_task(self._follow())

    def tell(self, signal: Signal) -> None:
        self._signals.append(signal)
        self._told.set()

    async def begin(self) -> None:
        """Everything from here on is offered. What was before, each watcher reads for itself."""
        if self.cursor is None:
            heads = await asyncio.to_thread(self._rows.heads, [self._execution_id])
            if self.cursor is None:
                self.cursor = heads.get(self._execution_id, Cursor())

    async def _follow(self) -> None:
        """Turn signals into events, in an order that makes sense: rows first, then what has started since."""
        while True:
            await self._told.wait()
            self._told.clear()
            signals, self._signals = self._signals, []
            if any(signal.kind == CHANGED for signal in signals):
                await self._read_rows()
            for signal in signals:
                if signal.kind != CHANGED and signal.attempt > self._ended.get(signal.node_id, 0):
                    self._offer(event_of(signal))

    async def _read_rows(self) -> None:
        if self.cursor is None:
            return
        try:
            events = await asyncio.to_thread(self._rows.since, self._execution_id, self.cursor)
        except (NotReady, SQLAlchemyError) as error:  # the next look finds what this one did not
            logger.warning("an execution that is watched could not be read: %s", type(error).__name__)
            return
        for event in events:
            self.cursor = self.cursor.after(event)
            if event.name == NODE:
                self._ended[event.node[0]] = event.node[1]
            self._offer(event)

    def _offer(self, event: Event) -> None:
        for watcher in self.watchers:
            watcher.offer(event)


def event_of(signal: Signal) -> Event:
    """`started` or `progress`: of no row, so without a place to come back to."""
    told = {"execution_id": signal.execution_id, "node_id": signal.node_id, "attempt": signal.attempt}
    told |= {"started_at": signal.at, "progress": signal.fraction, "message": signal.text}
    return Event(signal.kind, json.dumps(told, ensure_ascii=False), node=(signal.node_id, signal.attempt))
