"""The shapes of what schedules answer."""

from datetime import datetime
from typing import Any

from src.api.shape import Shape
from src.core.schedule import CatchUp, Overlap, Skipped
from src.core.status import Status


class Schedule(Shape):
    id: int
    workflow_id: int
    workflow: str
    workflow_paused_at: datetime | None
    name: str | None
    cron: str
    timezone: str
    description: str
    """The cron expression in English."""
    initial_context: dict[str, Any]
    client_id: int | None
    client_slug: str | None
    overlap: Overlap
    catch_up: CatchUp
    enabled: bool
    next_fire_at: datetime | None
    next_times: list[datetime]
    last_fire_at: datetime | None
    """The fire time that was dealt with last."""
    last_execution_id: int | None
    last_status: Status | None
    last_skipped_at: datetime | None
    """The last fire time that went by without a run, and why."""
    last_skipped_for: Skipped | None
    created_at: datetime
    updated_at: datetime


class ScheduleList(Shape):
    schedules: list[Schedule]
    total: int


class Preview(Shape):
    cron: str
    timezone: str
    description: str
    times: list[datetime]
