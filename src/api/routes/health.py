"""`/health`, `/health/ready`, `/health/celery`."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from src.api.access import PUBLIC
from src.api.dependencies import Installed
from src.api.errors import problem
from src.api.schemas import PROBLEMS, CeleryHealth, Health, Readiness
from src.core.errors import NotReady
from src.runtime.queue import DEFAULT_QUEUE

router = APIRouter(tags=["health"], dependencies=[PUBLIC])


@router.get("/health", responses={200: {"model": Health}})
async def health() -> Response:
    """The process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/health/ready", responses={200: {"model": Readiness}, 503: PROBLEMS[503]})
async def ready(nova: Installed) -> Response:
    """The process can run workflows: its database answers and has the right schema. 503 otherwise, with what to do."""
    if nova.drain.is_begun():
        raise NotReady("This process is about to end.")
    await run_in_threadpool(nova.check)
    level = await run_in_threadpool(lambda: nova.sandbox.level)
    database = "sqlite" if nova.database.is_sqlite else "postgresql"
    return JSONResponse({"status": "ready", "database": database, "sandbox": level})


@router.get("/health/celery", responses={200: {"model": CeleryHealth}, 503: PROBLEMS[503]})
def celery(request: Request, nova: Installed) -> Response:
    """How the workers are. 503 when none answers, or when work waits and nothing moves."""
    if nova.workers is None:
        return JSONResponse({"status": "disabled"})
    health = nova.workers.health()
    told: dict[str, Any] = {
        "workers": health.workers,
        "running": health.running,
        "queues": {name or DEFAULT_QUEUE: depth._asdict() for name, depth in health.queues.items()},
        "oldest_queued_seconds": health.oldest_queued_seconds,
        "seconds_since_a_bell": health.seconds_since_a_bell,
    }
    if health.complaint:
        return problem(request, 503, "workers_unhealthy", f"{health.complaint}.".capitalize(), **told)
    return JSONResponse({"status": "ok", **told})
