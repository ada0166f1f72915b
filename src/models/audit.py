"""`audit_events`: who changed what, and what it was before. Rows are added, and never changed or taken out."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import Base, Id


class AuditEvent(Base):
    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_subject", "subject", "id"), {"sqlite_autoincrement": True})

    id: Mapped[Id]
    actor: Mapped[str]
    """An API key by its name, `command line`, or `anonymous`."""
    action: Mapped[str]
    """`workflow.save`, `execution.stop`, ..."""
    subject: Mapped[str]
    """`workflow/12`"""
    before_sha256: Mapped[str | None]
    after_sha256: Mapped[str | None]
    """Of the thing as JSON with its keys sorted; never the thing itself."""
    request_id: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(index=True)
