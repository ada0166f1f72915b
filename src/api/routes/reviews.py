"""`/reviews`: what waits for a person; and the answer to it."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import OWN, READ, RUN, Who
from src.api.dependencies import Id, Installed, Limit, Skip
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Execution, ReviewList
from src.api.views import execution_view, review_view
from src.runtime.reviews import Answer

router = APIRouter(tags=["reviews"], route_class=StrictRoute, dependencies=[READ])


class Decision(BaseModel):
    """A person's answer."""

    model_config = ConfigDict(extra="forbid")

    decision: str = Field(max_length=200, description="One of `decisions`.")
    comment: str | None = Field(None, max_length=10_000)
    output: dict[str, Any] | None = Field(None, description="What the form asks for, or a corrected output.")


@router.get("/reviews", dependencies=[OWN], responses={200: {"model": ReviewList}, **PROBLEMS})
def list_reviews(nova: Installed, who: Who, limit: Limit = 50, skip: Skip = 0) -> Response:
    """The inbox, the oldest first."""
    found, total = nova.reviews.inbox(limit=limit, skip=skip, client_id=who.client_id)
    inputs = [nova.executions.input_of(each.row.execution_id, each.row.node_id) for each in found]
    views = [review_view(each, seen) for each, seen in zip(found, inputs, strict=True)]
    return JSONResponse({"reviews": views, "total": total})


@router.post(
    "/executions/{execution_id}/nodes/{node_id:path}/review",
    dependencies=[RUN],
    responses={200: {"model": Execution}, **PROBLEMS},
)
def review_node(execution_id: Id, node_id: str, decision: Decision, nova: Installed, who: Who) -> Response:
    """Decide; the run goes on. 409 where somebody was first, the time is over, or nothing waits."""
    nova.reviews.decide(execution_id, node_id, Answer(decision.decision, decision.comment, decision.output, who.named))
    return JSONResponse(execution_view(nova.executions.find(execution_id)))
