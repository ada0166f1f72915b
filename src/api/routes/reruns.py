"""Executions run again, as new ones that stand on what an earlier one has done; and two of them compared."""

import time
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import READ, RUN
from src.api.dependencies import Id, IdempotencyKey, Installed
from src.api.diff import Diff, diff_view
from src.api.requests import StrictRoute, preferences
from src.api.routes.execute import answer, budget_seconds
from src.api.running import until_final
from src.api.schemas import PROBLEMS, Accepted, Execution
from src.nova import Nova
from src.runtime.diffs import Diffs

router = APIRouter(tags=["executions"], route_class=StrictRoute, dependencies=[RUN])
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Execution, "description": "The new execution is finished: `status` says how."},
    202: {"model": Accepted, "description": "It goes on behind the request: look at `Location`."},
    **PROBLEMS,
}


class Rerun(BaseModel):
    """From where to run again, and by what."""

    model_config = ConfigDict(extra="forbid")

    from_node: str = Field(description="This node and all that comes after it run again.")
    version: Literal["same", "latest"] = Field("same", description="Of the workflow.")
    context: dict[str, Any] = Field({}, description="Laid over the initial context.")


@router.post("/executions/{execution_id}/retry", responses=ANSWERS)
async def retry_execution(
    execution_id: Id, request: Request, nova: Installed, idempotency_key: IdempotencyKey
) -> Response:
    """A new execution from the node that failed; what had ended before stands. 409 where nothing has failed."""
    new = await run_in_threadpool(nova.reruns.retry, execution_id, idempotency_key=idempotency_key)
    return await _awaited(request, nova, new)


@router.post("/executions/{execution_id}/rerun", responses=ANSWERS)
async def rerun_execution(
    execution_id: Id, rerun: Rerun, request: Request, nova: Installed, idempotency_key: IdempotencyKey
) -> Response:
    """A new execution from a node of this one, by the same version or the latest. What does not fit is named: 422."""

    def start() -> int:
        return nova.reruns.rerun(
            execution_id,
            rerun.from_node,
            latest=rerun.version == "latest",
            context=rerun.context,
            idempotency_key=idempotency_key,
        )

    new = await run_in_threadpool(start)
    return await _awaited(request, nova, new)


@router.get("/executions/{one_id}/diff/{other_id}", dependencies=[READ], responses={200: {"model": Diff}, **PROBLEMS})
def diff_executions(one_id: Id, other_id: Id, nova: Installed) -> Response:
    """Two executions node by node: where they part first, and why."""
    return JSONResponse(diff_view(Diffs(nova.executions).of(one_id, other_id)))


async def _awaited(request: Request, nova: Nova, execution_id: int) -> Response:
    prefer = preferences(request)
    budget = budget_seconds(prefer, nova.settings.inline_budget_seconds)
    found = await until_final(nova, execution_id, give_up_at=time.monotonic() + budget)
    return answer(request, prefer, found, waited=budget > 0)
