"""`/executions/{id}/stream`, `/executions/{id}/progress` and `/ws`: runs, as they happen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Query, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.status import WS_1008_POLICY_VIOLATION, WS_1012_SERVICE_RESTART

from src.api.access import OWN, READ
from src.api.dependencies import Id, Installed
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Progress
from src.core.errors import NotReady
from src.nova import Nova
from src.runtime.live.notices import Board, moment_of
from src.runtime.live.rows import PING, Cursor, Event

RETRY_MILLISECONDS = 1000
"""How long a browser waits before it comes back."""
FAREWELL_SECONDS = 0.25
"""Between the last event of a stream and its end. Executions that end together have many watchers, and taking their
connections down would hold up the last events of the others. A browser does not wait: it goes at `done`.
"""
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The second: nginx passes on what comes as it comes."""
EVENTS = {
    "type": "object",
    "description": "One event of the stream; `data` is JSON.",
    "properties": {
        "event": {"enum": ["execution", "node", "started", "progress", "done"]},
        "data": {"type": "string"},
        "id": {"type": "string"},
    },
}
router = APIRouter(tags=["live"], route_class=StrictRoute, dependencies=[READ])


@router.get(
    "/executions/{execution_id}/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": EVENTS}}}, **PROBLEMS},
)
async def stream_execution(
    execution_id: Id, nova: Installed, last_event_id: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """Server-sent events: `execution` when its state changes, `node` for every attempt that has ended, `started` and
    `progress` as they happen, `done` at the end. `Last-Event-ID` goes on where an earlier stream broke off, on any
    process; `started` and `progress` have no id and are not sent again.
    """
    if nova.drain.is_begun():
        raise NotReady("This process is about to end.")
    # A stream that has begun can answer 404 no more.
    status = await run_in_threadpool(nova.executions.status, execution_id)
    told = _stream(nova, execution_id, Cursor.read(last_event_id), is_over=status.is_final)
    return EventSourceResponse(told, headers=STREAM_HEADERS)


async def _stream(nova: Nova, execution_id: int, cursor: Cursor, *, is_over: bool) -> AsyncIterator[bytes]:
    """FastAPI would encode each event for each watcher, and pass it on through two queues of its own. With 500 watchers
    an event costs what is written to their connections, so what comes together is written together.
    """
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async for told in nova.live.hub.watch(execution_id, cursor):
        yield b"".join(_wired(event, after) for event, after in told)
    if not is_over and not nova.drain.is_begun():  # it has ended while it was watched
        await asyncio.sleep(FAREWELL_SECONDS)


def _wired(event: Event, after: Cursor) -> bytes:
    if event is PING:
        return KEEPALIVE_COMMENT
    return event.head + (b"\n" if event.cursor is None else f"id: {after}\n\n".encode())


@router.get("/executions/{execution_id}/progress", responses={200: {"model": Progress}, **PROBLEMS})
def get_progress(execution_id: Id, nova: Installed) -> Response:
    """How far an execution is, as cheap as it can be asked: most of the time without SQL."""
    found = nova.live.progress(execution_id)
    running: list[dict[str, Any]] = [
        {
            "node_id": signal.node_id,
            "attempt": signal.attempt,
            "started_at": signal.at,
            "progress": signal.fraction,
            "message": signal.text,
        }
        for signal in found.running
    ]
    told = {"status": found.status, "nodes_done": found.done, "nodes_total": found.total, "under_way": running}
    return JSONResponse({"execution_id": execution_id, **told})


@router.websocket("/ws", dependencies=[OWN])
async def notify(socket: WebSocket, last_event_id: Annotated[str | None, Query(max_length=400)] = None) -> None:
    """Notices of all runs: `task_started`, `task_progress`, `task_complete`, `task_failed`, `hitl_pending`. With the
    `event_id` that came last as `last_event_id`, what was missed comes first; some of it may be known, by its id.
    """
    nova: Nova = socket.app.state.nova
    if not _is_of_this_site(socket):
        await socket.close(WS_1008_POLICY_VIOLATION)  # before it is accepted: the answer is 403
        return
    await socket.accept()
    board = Board(socket.scope["nova.caller"].client_id, last_event_id=last_event_id)
    sending = asyncio.create_task(_send(socket, nova, board, moment_of(last_event_id)))
    with suppress(WebSocketDisconnect):
        while not sending.done():
            await _read_or_end(socket, sending)
    sending.cancel()


async def _send(socket: WebSocket, nova: Nova, board: Board, since: datetime | None) -> None:
    with suppress(WebSocketDisconnect):
        async for notice in nova.live.hub.listen(board, since):
            await socket.send_text(notice.text)
        await socket.close(WS_1012_SERVICE_RESTART)


async def _read_or_end(socket: WebSocket, sending: "asyncio.Task[None]") -> None:
    """Who listens has nothing to say but that it goes."""
    reading = asyncio.create_task(socket.receive())
    await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
    if reading.done() and reading.result()["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    reading.cancel()


def _is_of_this_site(socket: WebSocket) -> bool:
    """A browser lets any page open a connection to any server, with its cookies; it tells from where."""
    origin = socket.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == socket.headers.get("host")
