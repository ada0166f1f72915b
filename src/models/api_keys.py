"""`api_keys`: who may ask for what over HTTP. A key itself is shown once and kept nowhere."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import BIG, Base, Id


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[Id]
    public_id: Mapped[str] = mapped_column(unique=True)
    """The part of the key that is no secret: what it is found by, and called in logs."""
    name: Mapped[str]
    sha256: Mapped[str]
    """Of the secret part: 256 random bits need no slow hash."""
    scopes: Mapped[str]
    """With commas between."""
    client_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("clients.id", ondelete="CASCADE"))
    """All that it may see and do belongs to this client; where there is none, to anybody."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """About."""
