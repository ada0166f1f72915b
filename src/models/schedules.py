"""`schedules`: when workflows are run by the clock."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import BIG, Base, Id


class Schedule(Base):
    __tablename__ = "schedules"
    __table_args__ = (
        Index("ix_schedules_due", "next_fire_at", sqlite_where=text("enabled"), postgresql_where=text("enabled")),
        Index("ix_schedules_workflow_id", "workflow_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[Id]
    """Never given twice: executions keep it when the schedule has been deleted."""
    workflow_id: Mapped[int] = mapped_column(BIG, ForeignKey("workflows.id", ondelete="CASCADE"))
    name: Mapped[str | None]
    cron: Mapped[str]
    """Minute, hour, day of the month, month, day of the week."""
    timezone: Mapped[str]
    """In which `cron` is meant."""
    initial_context: Mapped[dict[str, Any]]
    client_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("clients.id"))
    overlap: Mapped[str]
    """`skip`, `queue` or `allow`."""
    catch_up: Mapped[str]
    """`skip` or `one`."""
    enabled: Mapped[bool]
    next_fire_at: Mapped[datetime | None]
    """Whoever moves it on from here starts the run, in the same transaction. Nothing while it is not enabled, and where
    there is no next time."""
    last_fire_at: Mapped[datetime | None]
    """The fire time that was dealt with last."""
    last_skipped_at: Mapped[datetime | None]
    """The last fire time that went by without a run."""
    last_skipped_for: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
