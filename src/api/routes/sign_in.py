"""`/sign-in`: a browser gives its key once, and keeps a cookie that no script can read."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import COOKIE, OWN, PUBLIC, READ, Who, refuse_key, same_origin
from src.api.dependencies import Installed
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Session
from src.nova import Nova
from src.runtime.keys import Caller

SESSION_SECONDS = 12 * 3600
router = APIRouter(tags=["sign-in"], route_class=StrictRoute)


class SignIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=500)


@router.post("/sign-in", dependencies=[PUBLIC], responses={200: {"model": Session}, **PROBLEMS})
def sign_in(given: SignIn, request: Request, nova: Installed) -> Response:
    same_origin(request)
    caller = nova.keys.check(given.key.strip())
    if caller is None:
        return refuse_key(request)
    answer = _shown(nova, caller)
    session = nova.keys.session_for(caller, seconds=SESSION_SECONDS)
    is_tls = request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").startswith("https")
    answer.set_cookie(COOKIE, session, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=is_tls)
    return answer


@router.get("/sign-in", dependencies=[READ, OWN], responses={200: {"model": Session}, **PROBLEMS})
def who_is_signed_in(nova: Installed, who: Who) -> Response:
    return _shown(nova, who)


@router.post("/sign-out", status_code=204, dependencies=[PUBLIC], responses=PROBLEMS)
def sign_out(request: Request) -> Response:
    same_origin(request)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE)
    return answer


def _shown(nova: Nova, caller: Caller) -> Response:
    told = {"actor": caller.actor, "scopes": sorted(caller.scopes), "client_slug": caller.client_slug}
    return JSONResponse(told | {"needs_key": nova.settings.asks_for_keys})
