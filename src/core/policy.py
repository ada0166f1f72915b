"""What a definition says about its runs as a whole, beside its nodes and edges."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from src.core.outcome import Json
from src.core.retry import RetryPolicy

QUEUE = r"[A-Za-z0-9_.-]{1,100}"
"""The name of a worker queue."""
QueueName = Annotated[str, Field(pattern=f"^{QUEUE}$")]
LONGEST_SECONDS = 31 * 86_400


class RunPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: QueueName | None = None
    """The worker queue of the workflow; nodes may name others."""
    retry: RetryPolicy | None = None
    """For nodes that have none of their own."""
    timeout: Annotated[float | None, Field(gt=0, le=LONGEST_SECONDS)] = None
    """Seconds for a whole run from its first start, waiting included. Looked at between nodes."""
    inputs: dict[str, Json] | None = None
    """A JSON Schema of what a run is given: the form on the page is made from it."""
    max_concurrent: Annotated[int | None, Field(ge=1, le=10_000)] = None
    """Runs of the workflow at the same time; more wait in the queue, in order."""
