"""The parameters that routes share."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field

from src.api.errors import RefusedRequest
from src.models.columns import MAX_ID
from src.nova import Nova

MAX_KEY = 200
"""Characters of an `Idempotency-Key`."""


async def _installed(request: Request) -> Nova:  # async: a plain function would be called in a thread of its own
    nova: Nova = request.app.state.nova
    return nova


async def _key(
    idempotency_key: Annotated[
        str | None,
        Header(max_length=MAX_KEY, min_length=1, description="The same request with the same key starts one run."),
    ] = None,
) -> str | None:
    if idempotency_key is not None and not idempotency_key.isprintable():
        raise RefusedRequest(400, "malformed_idempotency_key", "Idempotency-Key has characters that cannot be kept.")
    return idempotency_key


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("expected a moment such as 2026-01-31T12:00:00Z") from None


def _kept(text: str) -> str:
    """What no row can hold is found in none."""
    return text if text.isprintable() else "\ufffd"


Installed = Annotated[Nova, Depends(_installed)]
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=500)]
Skip = Annotated[int, Query(ge=0, le=MAX_ID)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
"""With its zone, whichever; in UTC from here on."""
Text = Annotated[str, Field(max_length=200), AfterValidator(_kept)]
IdempotencyKey = Annotated[str | None, Depends(_key)]
