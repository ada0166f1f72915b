"""`/metrics`, for Prometheus."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from src.api.access import READ
from src.api.dependencies import Installed
from src.api.schemas import PROBLEMS

router = APIRouter(tags=["health"], dependencies=[READ])
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=PlainTextResponse, responses={503: PROBLEMS[503]})
def metrics(nova: Installed) -> Response:
    """Figures of all processes together, in Prometheus' text format; asked for again within 5 s, the same."""
    return Response(nova.metrics.text(), media_type=TEXT)
