"""`processes`: who lives. A row is one process of Nova, and how long ago it was heard of."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import DOCUMENT, Base


class Process(Base):
    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(primary_key=True)
    """host:pid:random, the start of every `lease_owner` of the process."""
    role: Mapped[str]
    """`web` or `worker`."""
    gauges: Mapped[dict[str, Any] | None] = mapped_column(DOCUMENT)
    """How it was just then, for `/metrics`: `pool_used` and the like."""
    seen_at: Mapped[datetime]
    """On the database's clock."""
    last_bell_at: Mapped[datetime | None]
    """When a message last reached the pool of a worker."""
