"""`workflows` and their immutable `workflow_versions`."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import BIG, Base, Id


class Workflow(Base):
    __tablename__ = "workflows"
    __table_args__ = (
        Index(
            "uq_workflows_name",
            "name",
            unique=True,
            sqlite_where=text("archived_at IS NULL"),
            postgresql_where=text("archived_at IS NULL"),
        ),
    )

    id: Mapped[Id]
    name: Mapped[str]
    description: Mapped[str | None]
    client_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("clients.id"))
    version: Mapped[int]
    """The current one."""
    graph_definition: Mapped[dict[str, Any]]
    """Of the current version, in native form."""
    initial_context: Mapped[dict[str, Any] | None]
    """What a run starts with where the request does not say otherwise."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    archived_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    """New runs are held back since then."""


class WorkflowVersion(Base):
    __tablename__ = "workflow_versions"

    workflow_id: Mapped[int] = mapped_column(BIG, ForeignKey("workflows.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    graph_definition: Mapped[dict[str, Any]]
    sha256: Mapped[str]
    """Of the definition with its keys sorted."""
    created_at: Mapped[datetime]
