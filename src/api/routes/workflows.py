"""`/workflows`: saved definitions and their versions."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import OWN, READ, WRITE, Who
from src.api.dependencies import Id, Installed, Limit, Skip
from src.api.errors import MAX_SHOWN, RefusedRequest, problem_view
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Validation, Workflow, WorkflowList, WorkflowVersionList
from src.api.views import version_view, workflow_view
from src.core.errors import Invalid
from src.nova import Nova

router = APIRouter(prefix="/workflows", tags=["workflows"], route_class=StrictRoute, dependencies=[READ])

EXAMPLE = {
    "name": "hello",
    "graph_definition": {
        "nodes": [
            {"id": "start", "type": "start"},
            {"id": "greet", "type": "transform", "set": {"greeting": "Hello, {{ context.name }}!"}},
            {"id": "end", "type": "end"},
        ],
        "edges": [{"from": "start", "to": "greet"}, {"from": "greet", "to": "end"}],
    },
}
Document = Annotated[
    dict[str, Any],
    Body(
        description="A definition in any accepted form: with `graph_definition`, bare, or as React Flow saves it.",
        openapi_examples={"hello": {"value": EXAMPLE}},
    ),
]
ETAG = re.compile(r'(?:W/)?"(\d{1,9})"', re.ASCII)
IfMatch = Annotated[str | None, Header(description='The ETag that was read, such as `"3"`, or `*`.')]


@router.post("", status_code=201, dependencies=[WRITE, OWN], responses={201: {"model": Workflow}, **PROBLEMS})
def create_workflow(document: Document, nova: Installed, who: Who) -> Response:
    draft, warnings = nova.read_draft(document, client_id=who.client_id)
    workflow_id = nova.workflows.create(draft)
    answer = _shown(nova, workflow_id, 201, [problem_view(found) for found in warnings])
    answer.headers["Location"] = f"/workflows/{workflow_id}"
    return answer


@router.post("/validate", dependencies=[READ, OWN], responses={200: {"model": Validation}, **PROBLEMS})
def validate_workflow(document: Document, nova: Installed, who: Who) -> Response:
    """Everything that saving would find; nothing is saved. A definition with problems is an answer here, no error."""
    try:
        draft, warnings = nova.read_draft(document, name="unnamed", client_id=who.client_id)
        nova.workflows.check(draft)
    except Invalid as error:
        errors = [problem_view(found) for found in error.problems[:MAX_SHOWN]]
        return JSONResponse({"valid": False, "errors": errors, "warnings": []})
    return JSONResponse({"valid": True, "errors": [], "warnings": list(map(problem_view, warnings))})


@router.get("", dependencies=[OWN], responses={200: {"model": WorkflowList}, **PROBLEMS})
def list_workflows(nova: Installed, who: Who, limit: Limit = 100, skip: Skip = 0) -> Response:
    rows, total = nova.workflows.page(limit=limit, skip=skip, client_id=who.client_id)
    return JSONResponse({"workflows": [workflow_view(row, with_graph=False) for row in rows], "total": total})


@router.get("/{workflow_id}", responses={200: {"model": Workflow}, **PROBLEMS})
def get_workflow(workflow_id: Id, nova: Installed) -> Response:
    return _shown(nova, workflow_id)


@router.put("/{workflow_id}", dependencies=[WRITE], responses={200: {"model": Workflow}, **PROBLEMS})
def save_workflow(workflow_id: Id, document: Document, nova: Installed, if_match: IfMatch = None) -> Response:
    """Save another version. Runs that have begun stay on theirs."""
    expected_version = _expected_version(nova, workflow_id, if_match)
    current = nova.workflows.find(workflow_id)
    draft, warnings = nova.read_draft(document, name=current.name, client_id=current.client_id)
    nova.workflows.save(workflow_id, draft, expected_version=expected_version)
    return _shown(nova, workflow_id, 200, [problem_view(found) for found in warnings])


class Change(BaseModel):
    model_config = ConfigDict(extra="forbid")

    paused: bool = Field(description="Whether new runs are held back: 409, or with async_mode they wait.")


@router.patch("/{workflow_id}", dependencies=[WRITE], responses={200: {"model": Workflow}, **PROBLEMS})
def change_workflow(workflow_id: Id, change: Change, nova: Installed) -> Response:
    """Hold new runs of a workflow back, for a deploy, and let them go on."""
    if change.paused:
        nova.control.pause_workflow(workflow_id)
    else:
        nova.control.resume_workflow(workflow_id)
    return _shown(nova, workflow_id)


@router.delete("/{workflow_id}", status_code=204, dependencies=[WRITE], responses=PROBLEMS)
def delete_workflow(workflow_id: Id, nova: Installed, if_match: IfMatch = None) -> Response:
    """Take a workflow out of use. Its executions stay, and its name is free again."""
    nova.workflows.archive(workflow_id, expected_version=_expected_version(nova, workflow_id, if_match))
    return Response(status_code=204)


@router.get("/{workflow_id}/versions", responses={200: {"model": WorkflowVersionList}, **PROBLEMS})
def list_versions(workflow_id: Id, nova: Installed) -> Response:
    versions = [version_view(row) for row in nova.workflows.versions(workflow_id)]
    return JSONResponse({"versions": versions, "total": len(versions)})


def _shown(nova: Nova, workflow_id: int, status: int = 200, warnings: list[dict[str, str]] | None = None) -> Response:
    row = nova.workflows.find(workflow_id)
    view = workflow_view(row) | ({"warnings": warnings} if warnings else {})
    return JSONResponse(view, status, headers={"ETag": f'"{row.version}"'})


def _expected_version(nova: Nova, workflow_id: int, if_match: str | None) -> int | None:
    """The version that `If-Match` names; None for `*`. What is no ETag of ours matches nothing (RFC 9110, 13.1.1)."""
    nova.workflows.find(workflow_id)  # an unknown workflow is 404 before anything else is asked
    if if_match is None:
        detail = "If-Match is needed: read the workflow and send its ETag, so that nobody's change is lost."
        raise RefusedRequest(428, "if_match_needed", detail)
    tag = if_match.strip()
    if tag == "*":
        return None
    found = ETAG.fullmatch(tag)
    return int(found[1]) if found else 0
