"""`/schedules`: workflows that are run by the clock."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from src.api.access import OWN, READ, RUN, WRITE, Who
from src.api.dependencies import Id, Installed, Limit, Skip
from src.api.errors import RETRY_AFTER_SECONDS
from src.api.requests import StrictRoute
from src.api.schemas import PROBLEMS, Accepted
from src.api.schemas_schedules import Preview, Schedule, ScheduleList
from src.api.views import accepted_view, schedule_view, times_view
from src.core.schedule import CatchUp, Overlap
from src.models.columns import MAX_ID
from src.nova import Nova
from src.runtime.cron import MAX_LENGTH, Cron
from src.runtime.schedules import ScheduleDraft

router = APIRouter(prefix="/schedules", tags=["schedules"], route_class=StrictRoute, dependencies=[READ])

CronText = Annotated[str, Field(max_length=MAX_LENGTH, examples=["30 7 * * MON-FRI"], description="Five fields.")]
Zone = Annotated[str, Field(max_length=100, examples=["Europe/Berlin"], description="The time zone it is meant in.")]
Name = Annotated[str | None, Field(max_length=200)]


class NewSchedule(BaseModel):
    """When to run a workflow, and with what."""

    model_config = ConfigDict(extra="forbid")

    workflow_id: int = Field(ge=1, le=MAX_ID)
    cron: CronText
    timezone: Zone = "UTC"
    name: Name = None
    initial_context: dict[str, Any] = Field({}, description="Laid over the workflow's own.")
    client_slug: str | None = Field(None, description="The client that the runs are made for.")
    overlap: Overlap = Field(Overlap.SKIP, description="At a time when an earlier run has not ended.")
    catch_up: CatchUp = Field(CatchUp.SKIP, description="For times that nobody has seen.")
    enabled: bool = True


class ScheduleChange(BaseModel):
    """What is to be otherwise; the rest stays."""

    model_config = ConfigDict(extra="forbid")

    cron: CronText | None = None
    timezone: Zone | None = None
    name: Name = None
    initial_context: dict[str, Any] | None = None
    client_slug: str | None = None
    overlap: Overlap | None = None
    catch_up: CatchUp | None = None
    enabled: bool | None = None


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cron: CronText
    timezone: Zone = "UTC"
    count: int = Field(5, ge=1, le=50)


@router.post("", status_code=201, dependencies=[WRITE, OWN], responses={201: {"model": Schedule}, **PROBLEMS})
def create_schedule(new: NewSchedule, nova: Installed, who: Who) -> Response:
    nova.keys.check_own(who, "workflow_id", new.workflow_id)
    fields = new.model_dump() | {"client_slug": who.client_for(new.client_slug)}
    draft = ScheduleDraft(cron=Cron(fields.pop("cron"), fields.pop("timezone")), **fields)
    schedule_id = nova.schedules.create(draft)
    return _shown(nova, schedule_id, 201, {"Location": f"/schedules/{schedule_id}"})


@router.post("/preview", dependencies=[OWN], responses={200: {"model": Preview}, **PROBLEMS})
def preview_schedule(wish: Wish, nova: Installed) -> Response:
    """When an expression would be due next. Nothing is saved."""
    cron = Cron(wish.cron, wish.timezone)
    times = times_view(nova.schedules.preview(cron, wish.count))
    told = {"cron": wish.cron, "timezone": wish.timezone, "description": cron.explained(), "times": times}
    return JSONResponse(told)


@router.get("", dependencies=[OWN], responses={200: {"model": ScheduleList}, **PROBLEMS})
def list_schedules(
    nova: Installed,
    who: Who,
    workflow_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    limit: Limit = 100,
    skip: Skip = 0,
) -> Response:
    found, total = nova.schedules.page(workflow_id=workflow_id, client_id=who.client_id, limit=limit, skip=skip)
    return JSONResponse({"schedules": list(map(schedule_view, found)), "total": total})


@router.get("/{schedule_id}", responses={200: {"model": Schedule}, **PROBLEMS})
def get_schedule(schedule_id: Id, nova: Installed) -> Response:
    return _shown(nova, schedule_id)


@router.patch("/{schedule_id}", dependencies=[WRITE], responses={200: {"model": Schedule}, **PROBLEMS})
def change_schedule(schedule_id: Id, change: ScheduleChange, nova: Installed, who: Who) -> Response:
    """Change what is named; the rest stays. `null` takes the name or the client away."""
    given = change.model_dump(exclude_unset=True)
    if "client_slug" in given:
        given["client_slug"] = who.client_for(given["client_slug"])
    may_be_nothing = ("name", "client_slug")
    changes = {name: value for name, value in given.items() if value is not None or name in may_be_nothing}
    nova.schedules.change(schedule_id, changes)
    return _shown(nova, schedule_id)


@router.delete("/{schedule_id}", status_code=204, dependencies=[WRITE], responses=PROBLEMS)
def delete_schedule(schedule_id: Id, nova: Installed) -> Response:
    """Its executions stay."""
    nova.schedules.delete(schedule_id)
    return Response(status_code=204)


@router.post(
    "/{schedule_id}/run", status_code=202, dependencies=[RUN], responses={202: {"model": Accepted}, **PROBLEMS}
)
def run_schedule(schedule_id: Id, nova: Installed) -> Response:
    """Run it now, beside what is due by the clock."""
    execution_id = nova.dispatcher.enqueue(nova.schedules.order(schedule_id))
    headers = {"Location": f"/executions/{execution_id}", "Retry-After": str(RETRY_AFTER_SECONDS)}
    return JSONResponse(accepted_view(nova.executions.find(execution_id)), 202, headers=headers)


def _shown(nova: Nova, schedule_id: int, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(schedule_view(nova.schedules.find(schedule_id)), status, headers=headers)
