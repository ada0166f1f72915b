"""`/clients`: the customers that runs are made for, and their credentials, which only runs can read."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import ADMIN, READ, WRITE
from src.api.dependencies import Installed, Limit, Skip
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Client, ClientList, Credential, CredentialList
from src.api.views import client_view, credential_view
from src.nova import Nova

MAX_NAME = 200
router = APIRouter(prefix="/clients", tags=["clients"], route_class=StrictRoute, dependencies=[ADMIN])
Slug = Annotated[str, Path(max_length=MAX_NAME)]
Name = Annotated[str, Path(max_length=MAX_NAME)]
Values = Annotated[
    dict[str, Any],
    Body(
        description="Flat: nodes find each value under its key in `context`. Kept encrypted, and never shown again.",
        openapi_examples={"mail": {"value": {"email_user": "invoices@example.com", "email_password": "correct horse"}}},
    ),
]
Plain = Annotated[list[str], Query(description="Keys whose values are no secrets, and may stand in logs and outputs.")]


MaxConcurrent = Annotated[
    int | None,
    Field(ge=1, le=10_000, description="Runs for it at the same time; more wait in the queue, in order. Null: any."),
]


class NewClient(BaseModel):
    model_config = ConfigDict(extra="forbid")

    slug: str = Field(description="What requests call it: a-z, 0-9, _ and -.", pattern="^[a-z0-9][a-z0-9_-]{0,62}$")
    name: str | None = Field(None, min_length=1, max_length=MAX_NAME, description="The slug, where it says nothing.")
    is_active: bool = Field(True, description="Whether runs may be started for it.")
    max_concurrent: MaxConcurrent = None


NULLABLE = ("max_concurrent",)


class ClientChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, min_length=1, max_length=MAX_NAME)
    is_active: bool | None = None
    max_concurrent: MaxConcurrent = None


@router.post("", status_code=201, responses={201: {"model": Client}, **PROBLEMS})
def create_client(new: NewClient, nova: Installed) -> Response:
    nova.clients.create(new.slug, new.name or new.slug, **new.model_dump(include={"is_active", "max_concurrent"}))
    return _shown(nova, new.slug, 201)


@router.get("", responses={200: {"model": ClientList}, **PROBLEMS})
def list_clients(nova: Installed, limit: Limit = 100, skip: Skip = 0) -> Response:
    rows, total = nova.clients.page(limit=limit, skip=skip)
    return JSONResponse({"clients": [client_view(row) for row in rows], "total": total})


@router.get("/{slug}", dependencies=[READ], responses={200: {"model": Client}, **PROBLEMS})
def get_client(slug: Slug, nova: Installed) -> Response:
    return _shown(nova, slug)


@router.patch("/{slug}", responses={200: {"model": Client}, **PROBLEMS})
def change_client(slug: Slug, change: ClientChange, nova: Installed) -> Response:
    given = change.model_dump(exclude_unset=True)
    nova.clients.change(slug, **{name: value for name, value in given.items() if name in NULLABLE or value is not None})
    return _shown(nova, slug)


@router.delete("/{slug}", status_code=204, responses=PROBLEMS)
def delete_client(slug: Slug, nova: Installed) -> Response:
    """With its credentials and keys. 409 where workflows or executions belong to it: it can be made inactive."""
    nova.clients.delete(slug)
    return Response(status_code=204)


@router.put(
    "/{slug}/credentials/{name}",
    dependencies=[WRITE],
    responses={200: {"model": Credential}, 201: {"model": Credential, "description": "It is new."}, **PROBLEMS},
)
def put_credential(slug: Slug, name: Name, values: Values, nova: Installed, plain: Plain = []) -> Response:  # noqa: B006 -- FastAPI copies it
    """Store values in the place of those that had this name. 409 where there is no key to encrypt them with."""
    stored = nova.vault.put(slug, name, values, plain)
    view = credential_view(nova.vault.find(slug, name)) | {"unmasked": stored.unmasked}
    return JSONResponse(view, 201 if stored.is_new else 200)


@router.get("/{slug}/credentials", dependencies=[READ], responses={200: {"model": CredentialList}, **PROBLEMS})
def list_credentials(slug: Slug, nova: Installed) -> Response:
    """Names and dates; values never come back."""
    views = [credential_view(row) for row in nova.vault.listing(slug)]
    return JSONResponse({"credentials": views, "total": len(views)})


@router.get("/{slug}/credentials/{name}", dependencies=[READ], responses={200: {"model": Credential}, **PROBLEMS})
def get_credential(slug: Slug, name: Name, nova: Installed) -> Response:
    return JSONResponse(credential_view(nova.vault.find(slug, name)))


@router.delete("/{slug}/credentials/{name}", status_code=204, dependencies=[WRITE], responses=PROBLEMS)
def delete_credential(slug: Slug, name: Name, nova: Installed) -> Response:
    nova.vault.delete(slug, name)
    return Response(status_code=204)


def _shown(nova: Nova, slug: str, status: int = 200) -> Response:
    return JSONResponse(client_view(nova.clients.find(slug)), status)
