"""`/workflows/{id}/execute`, `/executions` and `/tasks`: runs, started and looked at."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from src.api.dependencies import MAX_ID, Id, Installed, Limit, Skip
from src.api.errors import RETRY_AFTER_SECONDS, problem
from src.api.requests import StrictRoute, preferences
from src.api.schemas import PROBLEMS, Chain, Execution, ExecutionList, Task
from src.api.views import entry_view, execution_view, server_timing, summary_view, task_view
from src.core.status import Status
from src.runtime.executions import Entry, Filter, Found

MAX_CONTEXTS_BYTES = 4_000_000
router = APIRouter(tags=["executions"], route_class=StrictRoute)


class Order(BaseModel):
    """What to run a workflow with."""

    model_config = ConfigDict(extra="forbid")

    client_slug: str | None = Field(None, description="The client that the run is made for.")
    initial_context: dict[str, Any] = Field({}, description="Laid over the workflow's own.")


@router.post(
    "/workflows/{workflow_id}/execute",
    responses={
        200: {"model": Execution, "description": "It is finished: `status` says how."},
        202: {"model": Execution, "description": "It goes on elsewhere: look at `Location` after `Retry-After`."},
        **PROBLEMS,
    },
)
async def execute_workflow(
    workflow_id: Id, request: Request, nova: Installed, order: Annotated[Order | None, Body()] = None
) -> Response:
    """Run a workflow inside this request. A failed run is an answer too: 200 with its `error`, unless
    `Prefer: handling=strict` asks for a problem document.
    """
    asked = order or Order()

    def run() -> Found:
        return nova.executions.run_inline(nova.executions.order(workflow_id, asked.initial_context, asked.client_slug))

    found = await asyncio.wrap_future(nova.dispatcher.submit(run))
    if not Status(found.row.status).is_final:
        return _unfinished(found)
    if found.row.status == Status.FAILED and preferences(request).get("handling") == "strict":
        return _failure(request, found)
    headers = {"Content-Location": f"/executions/{found.row.id}", "Server-Timing": server_timing(found.nodes)}
    return JSONResponse(execution_view(found), headers=headers)


@router.get("/executions", responses={200: {"model": ExecutionList}, **PROBLEMS})
def list_executions(
    nova: Installed,
    workflow_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    status: Status | None = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Older than this execution.")] = None,
    limit: Limit = 50,
    skip: Skip = 0,
) -> Response:
    rows, total = nova.executions.page(Filter(workflow_id, status, before), limit=limit, skip=skip)
    return JSONResponse({"executions": [summary_view(row) for row in rows], "total": total})


@router.get("/executions/{execution_id}", responses={200: {"model": Execution}, **PROBLEMS})
def get_execution(execution_id: Id, nova: Installed) -> Response:
    return JSONResponse(execution_view(nova.executions.find(execution_id)))


@router.get("/executions/{execution_id}/chain", responses={200: {"model": Chain}, **PROBLEMS})
def get_chain(execution_id: Id, nova: Installed, limit: Limit = 500, skip: Skip = 0) -> Response:
    """The attempts in the order they were written, each with the context that its node saw."""
    entries = nova.executions.chain(execution_id)
    page = entries[skip : skip + limit]
    return StreamingResponse(_chain(execution_id, page, len(entries)), media_type="application/json")


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


def _unfinished(found: Found) -> Response:
    """Another runner has taken it over, and goes on with it."""
    headers = {"Location": f"/executions/{found.row.id}", "Retry-After": str(RETRY_AFTER_SECONDS)}
    return JSONResponse(execution_view(found), 202, headers=headers)


def _failure(request: Request, found: Found) -> Response:
    error = found.row.error or {}
    told = {"execution_id": found.row.id, "node_id": error.get("node_id"), "class": error.get("class")}
    detail = f"Node {error.get('node_id')!r} failed: {error.get('type')}: {error.get('message')}"
    answer = problem(request, 500, "execution_failed", detail, **told)
    answer.headers["Preference-Applied"] = "handling=strict"
    answer.headers["Content-Location"] = f"/executions/{found.row.id}"
    return answer
