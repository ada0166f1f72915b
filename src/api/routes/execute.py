"""`POST /workflows/{id}/execute`: a run, inside the request or behind it."""

import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import RUN, Who
from src.api.dependencies import Id, IdempotencyKey, Installed
from src.api.errors import RETRY_AFTER_SECONDS, problem
from src.api.requests import StrictRoute, preferences
from src.api.running import InlineRequest
from src.api.schemas import PROBLEMS, Accepted, Execution
from src.api.views import accepted_view, execution_view, server_timing
from src.core.errors import KeyTaken
from src.core.status import Status
from src.nova import Nova
from src.runtime.executions import Found
from src.runtime.queue import Priority
from src.runtime.store import NewExecution

LONGEST_RETRY_SECONDS = 60
router = APIRouter(tags=["executions"], route_class=StrictRoute, dependencies=[RUN])


class Order(BaseModel):
    """What to run a workflow with."""

    model_config = ConfigDict(extra="forbid")

    client_slug: str | None = Field(None, description="The client that the run is made for.")
    initial_context: dict[str, Any] = Field({}, description="Laid over the workflow's own.")
    priority: Literal["high", "normal", "low"] = Field("normal", description="Its place in the queue, when it queues.")


@router.post(
    "/workflows/{workflow_id}/execute",
    responses={
        200: {"model": Execution, "description": "It is finished: `status` says how."},
        202: {"model": Accepted, "description": "It goes on behind the request: look at `Location`."},
        **PROBLEMS,
    },
)
async def execute_workflow(
    workflow_id: Id,
    request: Request,
    nova: Installed,
    who: Who,
    idempotency_key: IdempotencyKey,
    order: Annotated[Order | None, Body()] = None,
    async_mode: Annotated[bool, Query(description="Answer 202 at once, as with `Prefer: respond-async`.")] = False,
) -> Response:
    """Run a workflow. A failed run is an answer too: 200 with its `error`, unless `Prefer: handling=strict` asks for a
    problem document. `Prefer: wait=N` says how many seconds to wait for the end; `Prefer: respond-async` not to wait.
    """
    asked = order or Order()
    prefer = preferences(request)

    def new() -> NewExecution:
        return nova.executions.order(
            workflow_id,
            asked.initial_context,
            who.client_for(asked.client_slug),
            priority=Priority[asked.priority.upper()],
            idempotency_key=idempotency_key,
        )

    budget = 0.0 if async_mode else budget_seconds(prefer, nova.settings.inline_budget_seconds)
    if budget > 0:
        found = await InlineRequest(nova, new, budget_seconds=budget, has_left=request.is_disconnected).answer()
    else:
        found = await run_in_threadpool(_enqueue, nova, new)
    is_final = Status(found.row.status).is_final
    eta_seconds = None if is_final else await run_in_threadpool(nova.stats.seconds_left, found.row)
    return answer(request, prefer, found, waited=budget > 0, eta_seconds=eta_seconds)


def budget_seconds(prefer: dict[str, str], longest: float) -> float:
    """How long the request waits. `respond-async` alone: not at all (RFC 7240, 4.1); with `wait`, so long (4.3)."""
    try:
        wished = float(prefer.get("wait", "0" if "respond-async" in prefer else longest))
    except ValueError:  # a preference that cannot be read is none
        return longest
    return min(wished, longest) if math.isfinite(wished) and wished >= 0 else longest


def _enqueue(nova: Nova, new: Any) -> Found:
    try:
        execution_id = nova.dispatcher.enqueue(new())
    except KeyTaken as taken:
        execution_id = nova.executions.started_by(taken)
    return nova.executions.find(execution_id)


def answer(
    request: Request, prefer: dict[str, str], found: Found, *, waited: bool, eta_seconds: float | None = None
) -> Response:
    """Who did not want to wait gets 202, however quick the run was."""
    status, here = Status(found.row.status), f"/executions/{found.row.id}"
    if not (status.is_final and waited):
        retry_after = min(LONGEST_RETRY_SECONDS, max(RETRY_AFTER_SECONDS, math.ceil(eta_seconds or 0.0)))
        headers = {"Location": here, "Retry-After": str(retry_after)}
        if "respond-async" in prefer:
            headers["Preference-Applied"] = "respond-async"
        return JSONResponse(accepted_view(found, eta_seconds), 202, headers=headers)
    if status is Status.FAILED and prefer.get("handling") == "strict":
        return _failure(request, found)
    headers = {"Content-Location": here, "Server-Timing": server_timing(found.nodes)}
    return JSONResponse(execution_view(found), headers=headers)


def _failure(request: Request, found: Found) -> Response:
    error = found.row.error or {}
    told = {"execution_id": found.row.id, "node_id": error.get("node_id"), "class": error.get("class")}
    detail = f"Node {error.get('node_id')!r} failed: {error.get('type')}: {error.get('message')}"
    answer = problem(request, 500, "execution_failed", detail, **told)
    answer.headers["Preference-Applied"] = "handling=strict"
    answer.headers["Content-Location"] = f"/executions/{found.row.id}"
    return answer
