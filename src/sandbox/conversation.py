"""One attempt, as seen from Nova: its request goes into a process, its answer and what it asks on the way come out,
within its limits. Which process that is, is another's to say.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Protocol

from src.core.outcome import Json
from src.sandbox.call import Call
from src.sandbox.executor import CodeRequest, Ended
from src.sandbox.kept import HEAD, Inbox, Printed, framed

USUAL_PIPE = 64 * 1024
TICK_SECONDS = 0.1
"""How often a wait looks whether the run was cancelled, and at what the process takes."""
MOST_THREADS = 512
"""More than the memory of most code holds. The kernel counts them for each user, and this user may be Nova's own."""
MOST_WORDS = 8 * 1024
"""Characters of progress: whoever watches is shown a hundred, but first they are searched for secrets."""
GRACE_SECONDS = 10.0
"""Between the kill and the news that the process has ended; after that something must be ill."""


class Process(Protocol):
    """What runs the code: three pipes to it that do not block, and one place to hear of its end."""

    @property
    def request(self) -> int: ...
    @property
    def answer(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def news(self) -> int | None:
        """To be read when `take_news` has something to hear; None where the end of all pipes says as much."""

    def take_news(self) -> bool:
        """False after the last."""

    def widen(self) -> None:
        """A large request is on its way."""

    def cpu_seconds(self) -> float:
        """Since its beginning."""

    def threads(self) -> int:
        """That it has now; 0 where that cannot be told."""

    def kill(self) -> None: ...


class Conversation:
    def __init__(self, request: CodeRequest, process: Process, cpu_seconds: float) -> None:
        self._request, self._limits, self._process = request, request.limits, process
        self.output = Printed(request.limits.logs_bytes)
        self.result: dict[str, Json] | None = None
        """What the code has answered: anything, it may be forged."""
        self.goes_on = False
        """The process says that it can take another request, and nothing else."""
        self.stopped_as: Ended | None = None
        """Why we have ended it."""
        self._inbox = Inbox(request.limits.result_bytes)
        self._outbox = framed({"run": request.message})
        self._call: Call | None = None
        self._progress: tuple[float, str] | None = None
        self._patience_ends = time.monotonic() + request.limits.wall_seconds
        self._look_at = time.monotonic() + TICK_SECONDS
        self._cpu_ends = process.cpu_seconds() + cpu_seconds
        self._poll = select.poll()
        self._listeners: dict[int, Callable[[int], bool]] = {}
        """Descriptor -> what to do when it is ready; answers whether to go on listening."""

    def hold(self, cancelled: threading.Event) -> None:
        """Pass data on until the code has answered, or its process has ended or been ended."""
        process, lacking = self._process, len(self._outbox)
        if lacking > USUAL_PIPE:
            process.widen()
        if self._send(process.request):  # most requests fit into the pipe
            self._listen(process.request, self._send, select.POLLOUT)
        # The kernel looks at them in this order, and output is written before its answer: whoever is told of the answer
        # is told of output with it, and need not look for more.
        self._listen(process.answer, self._take_answer)
        self._listen(process.output, self.output.take)
        if process.news is not None:
            self._listen(process.news, lambda _: process.take_news())
        try:
            self._pass_on(cancelled)
        finally:
            if self._call:
                self._call.give_up()
        self._take_rest()

    def _pass_on(self, cancelled: threading.Event) -> None:
        while not self._is_over():
            left = self._patience_ends - time.monotonic()
            if left <= 0 and self.stopped_as:
                return
            if left <= 0 or cancelled.is_set():
                self._stop("timeout" if left <= 0 else "cancelled")
            ready = self._poll.poll(1000 * max(0.0, min(left, TICK_SECONDS)))
            for descriptor, _ in ready:
                if not self._listeners[descriptor](descriptor):
                    self._deafen(descriptor)
            self._check_amounts()
            self._look_at_process()

    def _look_at_process(self) -> None:
        """Now and then, however much it has to say."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + TICK_SECONDS
        if self._process.cpu_seconds() > self._cpu_ends:
            self._stop("timeout")
        elif self._process.threads() > MOST_THREADS:
            self._stop("memory")

    def _is_over(self) -> bool:
        if self.result is not None and self.stopped_as is None:
            return True
        news = self._process.news
        if news is None:
            return self.stopped_as is not None or not self._listeners
        return news not in self._listeners

    def _take_answer(self, answer: int) -> bool:
        goes_on = self._inbox.take(answer)
        for message in self._inbox.messages():
            self._hear(message)
        self._pass_progress_on()
        if self._inbox.is_senseless:
            self._stop("crashed")
        self.goes_on = self.goes_on and self._inbox.is_empty
        return goes_on

    def _hear(self, message: dict[str, Json]) -> None:
        """Whatever it is, anybody in the process may have written it."""
        match message:
            case {"result": dict(result)} if self.result is None:
                self.result, self.goes_on = result, message.get("goes_on") is True
            case {"http": dict(call)} if self._call is None and self.result is None:
                self._make(call)
            case {"progress": {"fraction": int() | float() as fraction, "text": str(text)}}:
                if 0 <= fraction <= 1:
                    self._progress = float(fraction), text[:MOST_WORDS]
            case _:
                self._stop("crashed")

    def _pass_progress_on(self) -> None:
        """Once for all that came together: only the last word counts, and there may be a hundred thousand a second."""
        told, self._progress = self._progress, None
        if told and self._request.on_progress:
            self._request.on_progress(*told)

    def _make(self, call: dict[str, Json]) -> None:
        left = max(0.0, self._patience_ends - time.monotonic())
        self._call = Call(self._request.http, call, left)
        self._listen(self._call.done, self._answer_call)

    def _answer_call(self, _: int) -> bool:
        assert self._call
        self._outbox = framed({"http": self._call.answer})
        self._deafen(self._call.done)
        self._call.give_up()
        self._call = None
        if self._send(self._process.request):
            self._listen(self._process.request, self._send, select.POLLOUT)
        return True

    def _send(self, request: int) -> bool:
        """Whether there is more to send."""
        try:
            while self._outbox:
                self._outbox = self._outbox[os.write(request, self._outbox) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:
            self._outbox = self._outbox[:0]
        return False

    def _take_rest(self) -> None:
        """What is in the pipes by the end."""
        if self.result is None or self.output.has_more:
            self.output.take_rest(self._process.output, self._limits.output_bytes)
        if self.result is None:
            self._inbox.take_rest(self._process.answer, HEAD + self._limits.result_bytes)
            results = [message.get("result") for message in self._inbox.messages()]
            self.result = next((result for result in results if isinstance(result, dict)), None)
        self._check_amounts()

    def _check_amounts(self) -> None:
        if self.output.total > self._limits.output_bytes:
            self._stop("output_limit")
        elif self._inbox.is_full:
            self._stop("result_limit")

    def _stop(self, ended: Ended) -> None:
        if self.stopped_as:
            return
        self.stopped_as = ended
        self._patience_ends = time.monotonic() + GRACE_SECONDS
        self._process.kill()

    def _listen(self, descriptor: int, listener: Callable[[int], bool], events: int = select.POLLIN) -> None:
        self._poll.register(descriptor, events)
        self._listeners[descriptor] = listener

    def _deafen(self, descriptor: int) -> None:
        if self._listeners.pop(descriptor, None):
            with contextlib.suppress(KeyError):
                self._poll.unregister(descriptor)
