"""How a request waits for its run: in the thread that runs it, and once that has let go of it, by looking at its row.

A request may stop waiting at any time; the run does not notice.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from fastapi.concurrency import run_in_threadpool

from src.core.errors import Busy, KeyTaken
from src.core.outcome import WaitFor
from src.core.slice import Reason
from src.core.status import Status
from src.nova import Nova
from src.runtime.callers import note_hang_up
from src.runtime.executions import Found
from src.runtime.store import NewExecution

LOOK_SECONDS = 0.25
"""How often a waiting request looks whether this process is about to end."""
HANG_UP_SECONDS = 1.0
"""How often it looks whether its caller is still there, which costs as much as half a node."""
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5
"""Between two looks at the row of a run that goes on elsewhere."""


class InlineRequest:
    """An execution that is run inside a request, which waits for it until `give_up_at` (monotonic).

    Args:
        has_left: whether the caller has gone.
    """

    def __init__(
        self,
        nova: Nova,
        order: Callable[[], NewExecution],
        *,
        budget_seconds: float,
        has_left: Callable[[], Awaitable[bool]],
    ) -> None:
        self._has_left = has_left
        self._looks_at = time.monotonic() + HANG_UP_SECONDS
        """When it looks next whether its caller has gone; never again once it has noted that."""
        self._nova = nova
        self._order = order
        self._budget_seconds = budget_seconds
        self._give_up_at = time.monotonic() + budget_seconds
        self._execution_id: int | None = None
        self._goes_on = False
        """It runs elsewhere, and may well be done in time."""

    async def answer(self) -> Found:
        """The execution, as it stands when it has ended, or when the request has waited long enough.

        Raises:
            Busy: there was no room for it; nothing was written.
        """
        work = self._nova.dispatcher.submit(self._run)
        future = asyncio.wrap_future(work)
        while not future.done() and (self._execution_id is None or self._may_wait()):
            left = max(0.0, self._give_up_at - time.monotonic())
            await asyncio.wait({future}, timeout=min(left, LOOK_SECONDS) or LOOK_SECONDS)
            if self._execution_id is None and not self._may_wait() and work.cancel():
                raise Busy("Nothing here had room for the execution in time.")
            if not future.done():
                await self._note_a_hang_up()
        if not future.done():
            assert self._execution_id is not None
            return await run_in_threadpool(self._nova.executions.find, self._execution_id)
        found = future.result()
        if self._goes_on and _ends_soon(found):
            return await until_final(self._nova, int(found.row.id), give_up_at=self._give_up_at)
        return found

    def _run(self) -> Found:
        """In a thread of its own, with the reading back: a second thread would cost as much as a node."""
        try:
            execution_id, hand_off = self._nova.dispatcher.run_inline(
                self._order(), budget_seconds=self._budget_seconds, created=self._note
            )
            self._goes_on = hand_off is None or hand_off.reason is Reason.QUEUE
        except KeyTaken as taken:
            execution_id = self._nova.executions.started_by(taken)
            self._goes_on = True
        return self._nova.executions.find(execution_id)

    async def _note_a_hang_up(self) -> None:
        now = time.monotonic()
        if self._execution_id is None or now < self._looks_at:
            return
        self._looks_at = now + HANG_UP_SECONDS
        if not await self._has_left():
            return
        self._looks_at = math.inf
        await run_in_threadpool(note_hang_up, self._nova.database, self._execution_id)

    def _note(self, execution_id: int) -> None:
        self._execution_id = execution_id

    def _may_wait(self) -> bool:
        return time.monotonic() < self._give_up_at and not self._nova.drain.is_over()


def _ends_soon(found: Found) -> bool:
    """It may end while the request waits: nobody knows when a person answers."""
    return not Status(found.row.status).is_final and found.row.waiting_for != WaitFor.REVIEW


async def until_final(nova: Nova, execution_id: int, *, give_up_at: float) -> Found:
    """The execution as it stands when it is final, or at `give_up_at`. Holds no thread meanwhile. Raises NotFound."""
    pause = FIRST_PAUSE_SECONDS
    while not (await run_in_threadpool(nova.executions.status, execution_id)).is_final:
        left = give_up_at - time.monotonic()
        if left <= 0 or nova.drain.is_begun():
            break
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return await run_in_threadpool(nova.executions.find, execution_id)
