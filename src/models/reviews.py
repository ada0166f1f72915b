"""`reviews`: what persons have decided. What waits for a decision stands in `chain_of_work`."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import BIG, Base, Id


class Review(Base):
    __tablename__ = "reviews"
    __table_args__ = (UniqueConstraint("execution_id", "node_id", "attempt"), {"sqlite_autoincrement": True})

    id: Mapped[Id]
    execution_id: Mapped[int] = mapped_column(BIG, ForeignKey("executions.id", ondelete="CASCADE"))
    node_id: Mapped[str]
    attempt: Mapped[int]
    """The one that waits. It is decided once."""
    decision: Mapped[str]
    comment: Mapped[str | None]
    output: Mapped[dict[str, Any] | None]
    """What the reviewer puts in the place of the node's own output, or fills into the form."""
    actor: Mapped[str | None]
    decided_at: Mapped[datetime]
