"""Signals between processes, through Redis, and a hash for each execution that says what is under way. Redis may lose
all of it, or be away: who listens then looks at SQL.
"""

import asyncio
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from src.core.status import Status
from src.runtime.live.signals import Hot, Signal, Signals

logger = logging.getLogger(__name__)

CHANNEL = "nova:live"
KEY = "nova:live:"
KEPT_SECONDS = 24 * 3600
FRESH_SECONDS = 5.0
"""A hash that says that a run goes on is believed for so long: whoever wrote it may have died."""
GATHER_SECONDS = 0.002
"""Signals that come so close together share one message."""
SILENCE_SECONDS = 5.0
"""How long a Redis that did not answer is left alone."""
LISTEN_SECONDS = 5.0
MAX_SIGNALS = 500
"""In one message."""
MAX_RUNNING_BYTES = 800
"""Of the nodes under way, so that a hash stays under 1 kB."""
Told = tuple[Signal, Hot | None]


class Wire:
    """Opens nothing before the first use."""

    def __init__(self, url: str, signals: Signals, *, owner: str, verify_tls: bool) -> None:
        self._url = url
        self._signals = signals
        self._owner = owner
        self._options: dict[str, Any] = {"socket_connect_timeout": 2, "health_check_interval": 10}
        if url.startswith("rediss://"):
            self._options["ssl_cert_reqs"] = ssl.CERT_REQUIRED if verify_tls else ssl.CERT_NONE
        self._redis = Redis.from_url(url, socket_timeout=2, decode_responses=True, **self._options)
        self._told: SimpleQueue[Told | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._silent_until = 0.0
        self.is_listening = False
        signals.listen(self._tell)

    # Out: from the threads that run executions, through one thread that sends.

    def _tell(self, signals: Sequence[Signal]) -> None:
        if time.monotonic() < self._silent_until:
            return
        self._start()
        for signal in signals:
            self._told.put((signal, self._signals.hot(signal.execution_id)))

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_sending, name="live", daemon=True)
                self._thread.start()

    def _keep_sending(self) -> None:
        while first := self._told.get():
            time.sleep(GATHER_SECONDS)
            batch = [first]
            with suppress(Empty):
                while len(batch) < MAX_SIGNALS and (following := self._told.get_nowait()):
                    batch.append(following)
            try:
                self._send(batch)
            except (RedisError, OSError) as error:
                self._silent_until = time.monotonic() + SILENCE_SECONDS
                logger.warning("live events cannot be sent: %s", type(error).__name__)

    def _send(self, batch: Sequence[Told]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        hot = {signal.execution_id: state for signal, state in batch if state}
        for execution_id, state in hot.items():
            pipeline.hset(KEY + str(execution_id), mapping=_fields(state))
            pipeline.expire(KEY + str(execution_id), KEPT_SECONDS)
        pipeline.publish(CHANNEL, json.dumps([self._owner, _newest(signal for signal, _ in batch)]))
        pipeline.execute()

    def close(self) -> None:
        self._signals.ignore(self._tell)
        if self._thread is not None:
            self._told.put(None)
            self._thread.join(timeout=SILENCE_SECONDS)
        self._redis.close()

    # In.

    async def listen(self, hear: Callable[[Sequence[Signal]], None], doubt: Callable[[], None]) -> None:
        """Until it is cancelled: what others tell; `doubt` is called when something may have been missed."""
        while True:
            redis = AsyncRedis.from_url(self._url, decode_responses=True, **self._options)
            try:
                await self._listen(redis, hear, doubt)
            except (RedisError, OSError) as error:
                logger.warning("live events are not heard: %s", type(error).__name__)
            finally:
                self.is_listening = False
                await redis.aclose()
            doubt()
            await asyncio.sleep(1.0)

    async def _listen(
        self, redis: AsyncRedis, hear: Callable[[Sequence[Signal]], None], doubt: Callable[[], None]
    ) -> None:
        async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(CHANNEL)
            self.is_listening = True
            doubt()
            while True:
                message = await subscription.get_message(timeout=LISTEN_SECONDS)
                if message:
                    owner, signals = json.loads(message["data"])
                    if owner != self._owner:
                        hear([Signal(*signal) for signal in signals])

    def hot(self, execution_id: int) -> Hot | None:
        """What Redis says of an execution; None where it says nothing that can be believed."""
        if time.monotonic() < self._silent_until:
            return None
        try:
            fields: Any = self._redis.hgetall(KEY + str(execution_id))
        except (RedisError, OSError) as error:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
            logger.warning("live states cannot be read: %s", type(error).__name__)
            return None
        return _read(fields) if fields else None


def _fields(hot: Hot) -> dict[str, str | int | float]:
    return {"status": hot.status, "done": hot.done, "total": hot.total, "at": hot.at, "under_way": _as_text(hot)}


def _as_text(hot: Hot) -> str:
    """The nodes under way, as many as there is room for."""
    running = list(hot.running.values())
    while len(text := json.dumps(running, separators=(",", ":"))) > MAX_RUNNING_BYTES:
        running.pop()
    return text


def _read(fields: dict[str, str]) -> Hot | None:
    status, at = Status(fields["status"]), float(fields["at"])
    if not status.is_final and time.time() - at > FRESH_SECONDS:
        return None
    running = [Signal(*signal) for signal in json.loads(fields["under_way"])]
    return Hot(status, int(fields["total"]), int(fields["done"]), {signal.node_id: signal for signal in running}, at)


def _newest(signals: Iterable[Signal]) -> list[Signal]:
    """The last of each kind, execution and node, in the order of the last ones."""
    newest: dict[tuple[str, int, str], Signal] = {}
    for signal in signals:
        key = (signal.kind, signal.execution_id, signal.node_id)
        newest.pop(key, None)
        newest[key] = signal
    return list(newest.values())
