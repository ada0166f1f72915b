"""What a list of executions can be asked for, as query parameters. All of them hold at once."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field

from src.api.dependencies import Moment, Text
from src.core.status import Status
from src.models.columns import MAX_ID
from src.runtime.search import Filter

OptionalId = Annotated[int | None, Field(ge=1, le=MAX_ID)]


class ExecutionQuery(BaseModel):
    workflow_id: OptionalId = None
    status: Status | None = None
    client_id: OptionalId = Field(None, description="Made for this client.")
    schedule_id: OptionalId = Field(None, description="Started by this schedule.")
    parent_id: OptionalId = Field(None, description="Started by this execution.")
    origin_id: OptionalId = Field(None, description="Run again from this execution.")
    top_level: bool = Field(False, description="Without what other executions have started.")
    error_type: Text | None = Field(None, description="Failed with this `type` of error, such as `HttpError`.")
    created_from: Moment | None = Field(None, description="Created then or later.")
    created_before: Moment | None = Field(None, description="Created earlier.")
    before: OptionalId = Field(None, description="Older than this execution.")
    limit: int = Field(50, ge=1, le=500)
    skip: int = Field(0, ge=0, le=MAX_ID)
    count_to: int | None = Field(
        None, ge=1, le=MAX_ID, description="Count no further: `total` is at most this. Counting a million takes time."
    )

    def filter(self, owner_id: int | None) -> Filter:
        """Args:
        owner_id: the client that the caller's key belongs to.
        """
        return Filter(**self.model_dump(exclude={"limit", "skip", "count_to"}), owner_id=owner_id)


Search = Annotated[ExecutionQuery, Query()]
