"""`/keys`: who may ask for what. A key is shown when it is made, and never again."""

from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from src.api.access import ADMIN
from src.api.dependencies import Installed
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Key, KeyList, NewKey
from src.api.views import key_view
from src.runtime.keys import Scope

router = APIRouter(prefix="/keys", tags=["keys"], route_class=StrictRoute, dependencies=[ADMIN])


class KeyOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w .:@/-]+$", description="Who or what it is for.")
    scopes: set[Scope] = Field(min_length=1, description="What it may do.")
    client_slug: str | None = Field(None, description="It sees and does nothing that is not this client's.")
    expires_at: AwareDatetime | None = None


@router.post("", status_code=201, responses={201: {"model": NewKey}, **PROBLEMS})
def create_key(order: KeyOrder, nova: Installed) -> Response:
    expires_at: datetime | None = order.expires_at
    public_id, key = nova.keys.create(order.name, order.scopes, client_slug=order.client_slug, expires_at=expires_at)
    return JSONResponse(key_view(nova.keys.find(public_id)) | {"key": key}, 201)


@router.get("", responses={200: {"model": KeyList}, **PROBLEMS})
def list_keys(nova: Installed) -> Response:
    views = [key_view(row) for row in nova.keys.listing()]
    return JSONResponse({"keys": views, "total": len(views)})


@router.get("/{key_id}", responses={200: {"model": Key}, **PROBLEMS})
def get_key(key_id: str, nova: Installed) -> Response:
    return JSONResponse(key_view(nova.keys.find(key_id)))


@router.delete("/{key_id}", status_code=204, responses=PROBLEMS)
def revoke_key(key_id: str, nova: Installed) -> Response:
    """From now on it is refused; by other processes within seconds."""
    nova.keys.revoke(key_id)
    return Response(status_code=204)
