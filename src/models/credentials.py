"""`credentials`: what the runs of a client may use, encrypted."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import BIG, Base, Id


class Credential(Base):
    __tablename__ = "credentials"
    __table_args__ = (UniqueConstraint("client_id", "name"),)

    id: Mapped[Id]
    client_id: Mapped[int] = mapped_column(BIG, ForeignKey("clients.id", ondelete="CASCADE"))
    name: Mapped[str]
    secret: Mapped[str]
    """A Fernet token. Client and name stand within it too: a row that is put into another's place is refused."""
    key_id: Mapped[str]
    """Which of ENCRYPTION_KEYS made it; see `python -m src rotate-keys`."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
