"""`/audit`: who did what."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from src.api.access import ADMIN
from src.api.dependencies import Installed, Limit
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS
from src.api.schemas_operations import AuditList
from src.api.views import audit_view
from src.core.errors import Problem, ValueRefused
from src.runtime.audit import Wanted

router = APIRouter(tags=["audit"], route_class=StrictRoute, dependencies=[ADMIN])
Text = Annotated[str | None, Query(max_length=200)]


@router.get("/audit", responses={200: {"model": AuditList}, **PROBLEMS})
def list_audit(
    nova: Installed,
    actor: Text = None,
    action: Text = None,
    subject: Text = None,
    before: Annotated[str | None, Query(max_length=40, description="Done earlier: `next_before` of a page.")] = None,
    limit: Limit = 100,
) -> Response:
    """What was saved, run, paused, reviewed or changed, by whom, the newest first."""
    wanted = Wanted(_kept(actor), _kept(action), _kept(subject), _moment(before))
    events = [audit_view(row) for row in nova.audit.page(wanted, limit=limit)]
    return JSONResponse({"events": events, "next_before": events[-1]["at"] if len(events) == limit else None})


def _kept(text: str | None) -> str | None:
    """What no row can hold is found in none."""
    return text if text is None or text.isprintable() else "\ufffd"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        expected = "query parameter before: expected a moment such as 2026-01-31T12:00:00Z"
        raise ValueRefused([Problem("", expected)]) from None
