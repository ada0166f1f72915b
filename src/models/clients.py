"""`clients`: the customers that runs are made for."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import Base, Id


class Client(Base):
    __tablename__ = "clients"

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    max_concurrent: Mapped[int | None]
    """Executions for it that run at once; more wait in the queue, in order. Nothing: any number."""
    created_at: Mapped[datetime]
