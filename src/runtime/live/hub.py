"""All who watch executions in this process: one look at SQL for all of them, one subscription to Redis.

Lives in the event loop of a web process; SQL is read in threads. Signals come from the runs of this process and,
through Redis, from those of others; a look every so often finds what no signal told of.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import NotReady
from src.runtime.live.news import Listener, News
from src.runtime.live.notices import Board, Notice, Notices
from src.runtime.live.rows import DONE, PING, Cursor, Event, Rows
from src.runtime.live.signals import CHANGED, Signal, Signals
from src.runtime.live.watcher import Channel, Watcher, event_of

if TYPE_CHECKING:
    from src.runtime.live.wire import Wire

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
"""How soon a watcher hears that the process is about to end."""
LOOK_TICKS = 4
"""Between two looks for what no signal told of: other processes' runs where there is no Redis."""
LOOK_TICKS_WITH_REDIS = 20
PING_TICKS = 60
"""Proxies close connections over which nothing comes; most wait for half a minute or longer."""
Told = tuple[Event, Cursor]
"""An event, and how far a watcher is with it."""


class Hub:
    def __init__(
        self, rows: Rows, notices: Notices, signals: Signals, wire: "Wire | None", *, is_over: Callable[[], bool]
    ) -> None:
        """
        Args:
            is_over: this process is about to end: who watches must come back, and finds another.
        """
        self._rows = rows
        self._notices = notices
        self._signals = signals
        self._wire = wire
        self._is_over = is_over
        self._channels: dict[int, Channel] = {}
        self._news = News(notices)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def count_watchers(self) -> int:
        return sum(len(channel.watchers) for channel in list(self._channels.values()))

    async def watch(self, execution_id: int, cursor: Cursor) -> AsyncIterator[list[Told]]:
        """What happens to an execution from `cursor` on, all that is there at once, until it has ended or this process
        is about to. Raises NotFound.
        """
        self._start()
        watcher = Watcher()
        channel = self._join(execution_id, watcher)
        try:
            await channel.begin()
            while not self._is_over():
                async for events in self._events(execution_id, watcher, cursor):
                    if told := list(_unseen(events, cursor)):
                        yield told
                        last, cursor = told[-1]
                        if last.name == DONE:
                            return
        finally:
            self._leave(execution_id, watcher)

    async def listen(self, board: Board, since: datetime | None) -> AsyncIterator[Notice]:
        """What happens to all executions that `board` shows, and what it has missed since a moment; until this process
        is about to end, or the listener is too slow.
        """
        self._start()
        listener = Listener(board)
        self._news.join(listener)
        try:
            if since is not None:
                for notice in board.chosen(await asyncio.to_thread(self._notices.since, since)):
                    yield notice
            async for notice in listener.notices():
                yield notice
        finally:
            self._news.listeners.discard(listener)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._end_all()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks)
        self._stop()

    async def _events(self, execution_id: int, watcher: Watcher, cursor: Cursor) -> AsyncIterator[list[Event]]:
        """First from SQL, then as they come, for as long as none is missing."""
        watcher.begin()
        yield await asyncio.to_thread(self._rows.since, execution_id, cursor)
        yield await self._under_way(execution_id)
        while events := await watcher.take():
            yield events

    async def _under_way(self, execution_id: int) -> list[Event]:
        hot = self._signals.hot(execution_id)
        if hot is None and self._wire is not None:
            hot = await asyncio.to_thread(self._wire.hot, execution_id)
        return [event_of(signal) for signal in list(hot.running.values())] if hot else []

    # Who watches what.

    def _join(self, execution_id: int, watcher: Watcher) -> Channel:
        channel = self._channels.get(execution_id)
        if channel is None:
            channel = self._channels[execution_id] = Channel(execution_id, self._rows)
        channel.watchers.add(watcher)
        return channel

    def _leave(self, execution_id: int, watcher: Watcher) -> None:
        channel = self._channels[execution_id]
        channel.watchers.discard(watcher)
        if not channel.watchers:
            del self._channels[execution_id]
            channel.follower.cancel()

    # What is heard. Nobody who watches, nobody who listens.

    def _start(self) -> None:
        if self._tasks:
            return
        self._loop = asyncio.get_running_loop()
        self._signals.listen(self._overhear)
        self._tasks = [asyncio.create_task(self._keep_looking()), asyncio.create_task(self._news.follow())]
        if self._wire:
            self._tasks.append(asyncio.create_task(self._wire.listen(self._hear, self._doubt)))

    def _stop(self) -> None:
        if self._tasks:
            self._signals.ignore(self._overhear)
            self._tasks = []

    def _overhear(self, signals: Sequence[Signal]) -> None:
        """From a thread that runs an execution."""
        has_listeners = bool(self._news.listeners)
        watched = [signal for signal in signals if has_listeners or signal.execution_id in self._channels]
        if watched and self._loop:
            with suppress(RuntimeError):  # the loop has ended, and so has everybody who watched
                self._loop.call_soon_threadsafe(self._hear, watched)

    def _hear(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            if channel := self._channels.get(signal.execution_id):
                channel.tell(signal)
        if self._news.listeners:
            self._news.tell(signals)

    def _doubt(self) -> None:
        """Signals may have been missed."""
        self._hear([Signal(CHANGED, execution_id) for execution_id in self._channels])

    async def _keep_looking(self) -> None:
        tick = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            tick += 1
            if self._is_over():
                self._end_all()
            if tick % PING_TICKS == 0:
                for watcher in self._watchers():
                    watcher.offer(PING)
            is_told = self._wire is not None and self._wire.is_listening
            if tick % (LOOK_TICKS_WITH_REDIS if is_told else LOOK_TICKS) == 0:
                await self._look()

    def _watchers(self) -> list[Watcher]:
        return [watcher for channel in self._channels.values() for watcher in channel.watchers]

    def _end_all(self) -> None:
        for watcher in self._watchers():
            watcher.interrupt()
        for listener in self._news.listeners:
            listener.end()

    async def _look(self) -> None:
        if self._news.listeners:
            await self._news.look()
        if not self._channels:
            return
        known = {execution_id: channel.cursor for execution_id, channel in self._channels.items()}
        try:
            heads = await asyncio.to_thread(self._rows.heads, list(known))
        except (NotReady, SQLAlchemyError) as error:
            logger.warning("what is watched could not be looked at: %s", type(error).__name__)
            return
        moved = [each for each, head in heads.items() if known[each] is not None and head != known[each]]
        self._hear([Signal(CHANGED, execution_id) for execution_id in moved])


def _unseen(events: Iterable[Event], cursor: Cursor) -> Iterator[Told]:
    """What a watcher at `cursor` has not been sent yet, and nothing after the end."""
    for event in events:
        after = cursor.after(event)
        if event.cursor is None or after != cursor or event.name == DONE:
            cursor = after
            yield event, cursor
        if event.name == DONE:
            return
