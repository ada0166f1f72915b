"""`/health`, `/health/ready`, and what stands at the door."""

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from src.api.dependencies import Installed
from src.api.schemas import PROBLEMS, Door, Health, Readiness
from src.bootstrap import VERSION
from src.core.errors import NotReady

router = APIRouter(tags=["health"])


@router.get("/", responses={200: {"model": Door}})
async def door() -> Response:
    links = {"docs": "/docs", "workflows": "/workflows", "executions": "/executions", "health": "/health/ready"}
    return JSONResponse({"name": "nova", "version": VERSION, "links": links})


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
