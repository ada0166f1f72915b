"""`/triggers`: is it time for a worker? And where a workflow belongs."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from src.api.access import READ
from src.api.dependencies import Id, Installed, Limit, Skip
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS
from src.api.schemas_triggers import Advice, Check, CheckList
from src.api.views import check_view
from src.runtime.trigger_checks import page_of_checks

router = APIRouter(tags=["triggers"], route_class=StrictRoute, dependencies=[READ])


@router.get("/triggers", responses={200: {"model": Check}, **PROBLEMS})
def check_triggers(nova: Installed) -> Response:
    """The five checks on the last 30 days: what fires, the SQL and the runs behind each number, and what to do."""
    return JSONResponse(nova.triggers.check())


@router.get("/triggers/checks", responses={200: {"model": CheckList}, **PROBLEMS})
def list_checks(nova: Installed, limit: Limit = 53, skip: Skip = 0) -> Response:
    """What was found week by week, newest first."""
    rows, total = page_of_checks(nova.database, limit=limit, skip=skip)
    return JSONResponse({"checks": list(map(check_view, rows)), "total": total})


@router.get("/workflows/{workflow_id}/advice", responses={200: {"model": Advice}, **PROBLEMS})
def advise(workflow_id: Id, nova: Installed) -> Response:
    """Whether its runs belong inside the request or on a worker, by its history of 30 days, and why."""
    nova.workflows.find(workflow_id)
    return JSONResponse(nova.triggers.advise(workflow_id))
