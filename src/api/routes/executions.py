"""`/executions` and `/tasks`: runs, looked at."""

import json
import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse

from src.api.access import OWN, READ, RUN, Who
from src.api.dependencies import Id, Installed, Limit, Skip
from src.api.requests import StrictRoute
from src.api.running import until_final
from src.api.schemas import PROBLEMS, Chain, EventList, Execution, ExecutionGraph, ExecutionList, Explanation, Task
from src.api.search import Search
from src.api.views import (
    choice_view,
    entry_view,
    event_view,
    execution_view,
    graph_view,
    outline,
    summary_view,
    task_view,
)  # fmt: skip
from src.core.status import Status
from src.runtime.executions import Entry

MAX_CONTEXTS_BYTES = 4_000_000
LONGEST_WAIT_SECONDS = 60
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for its end.")]
router = APIRouter(tags=["executions"], route_class=StrictRoute, dependencies=[READ])


@router.get("/executions", dependencies=[OWN], responses={200: {"model": ExecutionList}, **PROBLEMS})
def list_executions(nova: Installed, who: Who, search: Search) -> Response:
    """Newest first, without contexts and results."""
    wanted = search.filter(who.client_id)
    rows, total = nova.executions.page(wanted, limit=search.limit, skip=search.skip, count_to=search.count_to)
    return JSONResponse({"executions": [summary_view(row) for row in rows], "total": total})


@router.get("/executions/{execution_id}", responses={200: {"model": Execution}, **PROBLEMS})
async def get_execution(execution_id: Id, nova: Installed, wait: Wait = 0.0) -> Response:
    """One execution. With `wait` the answer comes when it has ended, or after so many seconds."""
    found = await until_final(nova, execution_id, give_up_at=time.monotonic() + wait)
    if Status(found.row.status).is_final:
        return JSONResponse(execution_view(found))
    return JSONResponse(execution_view(found, await run_in_threadpool(nova.stats.seconds_left, found.row)))


@router.get("/executions/{execution_id}/graph", responses={200: {"model": ExecutionGraph}, **PROBLEMS})
def get_graph(execution_id: Id, nova: Installed, who: Who) -> Response:
    """The graph that an execution runs: of its version, also of a workflow that is archived; of an item of a `map` the
    one inside that node. A key of a client sees of others' workflows what a picture needs, and nothing of what the
    nodes do.
    """
    row, definition = nova.executions.definition(execution_id)
    is_theirs = who.client_id is not None and row.owner_id != who.client_id
    return JSONResponse(graph_view(row, outline(definition) if is_theirs else definition))


@router.get("/executions/{execution_id}/explain", responses={200: {"model": Explanation}, **PROBLEMS})
def explain_execution(execution_id: Id, nova: Installed) -> Response:
    """For each decision that was taken: the branch, what its code read, and where each value came from."""
    choices = nova.executions.explain(execution_id)
    return JSONResponse({"execution_id": execution_id, "decisions": list(map(choice_view, choices))})


@router.post("/executions/{execution_id}/pause", dependencies=[RUN], responses={200: {"model": Execution}, **PROBLEMS})
def pause_execution(execution_id: Id, nova: Installed, who: Who) -> Response:
    """Hold an execution at its next node boundary. 409 where it has ended."""
    nova.control.pause(execution_id, actor=who.named)
    return JSONResponse(execution_view(nova.executions.find(execution_id)))


@router.post("/executions/{execution_id}/resume", dependencies=[RUN], responses={200: {"model": Execution}, **PROBLEMS})
def resume_execution(execution_id: Id, nova: Installed, who: Who) -> Response:
    """Let an execution go on that was paused. 409 where it is not."""
    nova.control.resume(execution_id, actor=who.named)
    return JSONResponse(execution_view(nova.executions.find(execution_id)))


@router.post("/executions/{execution_id}/stop", dependencies=[RUN], responses={200: {"model": Execution}, **PROBLEMS})
def stop_execution(execution_id: Id, nova: Installed, who: Who) -> Response:
    """End an execution at once; code in flight is killed. 409 where it has ended."""
    nova.control.stop(execution_id, actor=who.named)
    return JSONResponse(execution_view(nova.executions.find(execution_id)))


@router.get("/executions/{execution_id}/chain", responses={200: {"model": Chain}, **PROBLEMS})
def get_chain(execution_id: Id, nova: Installed, limit: Limit = 500, skip: Skip = 0) -> Response:
    """The attempts in the order they were written, each with the context that its node saw."""
    entries = nova.executions.chain(execution_id)
    page = entries[skip : skip + limit]
    return StreamingResponse(_chain(execution_id, page, len(entries)), media_type="application/json")


@router.get("/executions/{execution_id}/events", responses={200: {"model": EventList}, **PROBLEMS})
def list_events(execution_id: Id, nova: Installed) -> Response:
    """What has happened to an execution beyond its nodes: handed off, recovered, paused, reviewed, stopped ..."""
    events = [event_view(row) for row in nova.executions.events(execution_id)]
    return JSONResponse({"execution_id": execution_id, "events": events, "total": len(events)})


@router.get("/tasks/{task_id}", responses={200: {"model": Task}, **PROBLEMS})
def get_task(task_id: str, nova: Installed) -> Response:
    """The same run in Celery's words, read from its row. An unknown task is 404, never PENDING."""
    return JSONResponse(task_view(nova.executions.find_by_task(task_id)))


def _chain(execution_id: int, page: list[Entry], total: int) -> Iterator[str]:
    """An entry at a time. Each shows a whole context: beyond `MAX_CONTEXTS_BYTES` in all it is left out, and `skip` and
    `limit` show it.
    """
    yield f'{{"execution_id":{execution_id},"total":{total},"entries":['
    left = MAX_CONTEXTS_BYTES
    for place, entry in enumerate(page):
        context = json.dumps(entry.input_context, ensure_ascii=False, separators=(",", ":"))
        left -= len(context)
        view = json.dumps(entry_view(entry), ensure_ascii=False, separators=(",", ":"))
        yield f'{"," if place else ""}{view[:-1]},"input_context":{context if left >= 0 or not place else "null"}}}'
    yield "]}"
