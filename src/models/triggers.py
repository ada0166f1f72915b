"""`trigger_checks`: what the five checks found, week by week. A forecast is drawn from it."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import DOCUMENT, Base, Id


class TriggerCheck(Base):
    __tablename__ = "trigger_checks"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[Id]
    checked_at: Mapped[datetime]
    results: Mapped[dict[str, Any]] = mapped_column(DOCUMENT)
    """As `GET /triggers` answers."""
