"""`/executions/{id}/stream` and `/progress`: a run, as it happens."""

from collections.abc import AsyncIterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from src.api.dependencies import Id, Installed
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Progress
from src.core.errors import NotReady
from src.runtime.live.rows import Cursor

RETRY_MILLISECONDS = 1000
"""How long a browser waits before it comes back."""
router = APIRouter(tags=["live"], route_class=StrictRoute)


async def _is_there(execution_id: Id, nova: Installed) -> None:
    """Before the first byte: a stream that has begun can answer 404 no more."""
    if nova.drain.is_begun():
        raise NotReady("This process is about to end.")
    await run_in_threadpool(nova.executions.status, execution_id)


@router.get(
    "/executions/{execution_id}/stream",
    response_class=EventSourceResponse,
    dependencies=[Depends(_is_there)],
    responses=PROBLEMS,
)
async def stream_execution(
    execution_id: Id, nova: Installed, last_event_id: Annotated[str | None, Header(max_length=200)] = None
) -> AsyncIterable[ServerSentEvent]:
    """Server-sent events: `execution` when its state changes, `node` for every attempt that has ended, `started` and
    `progress` as they happen, `done` at the end. `Last-Event-ID` goes on where an earlier stream broke off, on any
    process; `started` and `progress` have no id and are not sent again.
    """
    is_first = True
    async for event, cursor in nova.live.hub.watch(execution_id, Cursor.read(last_event_id)):
        yield ServerSentEvent(
            raw_data=event.text,
            event=event.name,
            id=str(cursor) if event.cursor else None,
            retry=RETRY_MILLISECONDS if is_first else None,
        )
        is_first = False


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
