"""`/audit`: who did what."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from src.api.access import ADMIN
from src.api.dependencies import Installed, Limit, Moment, Text
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS
from src.api.schemas_operations import AuditList
from src.api.views import audit_view
from src.runtime.audit import Wanted

router = APIRouter(tags=["audit"], route_class=StrictRoute, dependencies=[ADMIN])


@router.get("/audit", responses={200: {"model": AuditList}, **PROBLEMS})
def list_audit(
    nova: Installed,
    actor: Text | None = None,
    action: Text | None = None,
    subject: Text | None = None,
    before: Annotated[Moment | None, Query(description="Done earlier: `next_before` of a page.")] = None,
    limit: Limit = 100,
) -> Response:
    """What was saved, run, paused, reviewed or changed, by whom, the newest first."""
    wanted = Wanted(actor, action, subject, before)
    events = [audit_view(row) for row in nova.audit.page(wanted, limit=limit)]
    return JSONResponse({"events": events, "next_before": events[-1]["at"] if len(events) == limit else None})
