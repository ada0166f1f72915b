"""The parameters that routes share."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from src.nova import Nova

MAX_ID = 2**63 - 1
"""What a BIGINT holds."""


async def _installed(request: Request) -> Nova:  # async: a plain function would be called in a thread of its own
    nova: Nova = request.app.state.nova
    return nova


Installed = Annotated[Nova, Depends(_installed)]
Id = Annotated[int, Path(ge=1, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=500)]
Skip = Annotated[int, Query(ge=0, le=MAX_ID)]
