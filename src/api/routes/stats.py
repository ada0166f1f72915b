"""`/workflows/{id}/stats`: how a workflow does."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from src.api.access import READ
from src.api.dependencies import Id, Installed
from src.api.schemas import PROBLEMS
from src.api.schemas_operations import WorkflowStats
from src.core.status import Status

router = APIRouter(tags=["workflows"], dependencies=[READ])


@router.get("/workflows/{workflow_id}/stats", responses={200: {"model": WorkflowStats}, **PROBLEMS})
def get_stats(workflow_id: Id, nova: Installed) -> Response:
    """Runs and attempts within the last 24 hours, 7 and 30 days: how many, how many failed, how long they took."""
    periods, nodes = nova.stats.of(workflow_id)
    told = {
        "workflow_id": workflow_id,
        "periods": {row.period: _view(row, "executions") for row in periods},
        "nodes": [_view(row, "node_id", "node_type", "period", "attempts") for row in nodes],
    }
    return JSONResponse(told)


def _view(row: Any, *names: str) -> dict[str, Any]:
    figures = ("failure_rate", "p50_seconds", "p95_seconds", "p99_seconds")
    view = {name: getattr(row, name) for name in names} | {Status.FAILED.value: int(row.failed)}
    return view | {name: float(getattr(row, name)) for name in figures}
