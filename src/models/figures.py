"""`figures`: what all processes have counted so far. `/metrics` shows it."""

from sqlalchemy.orm import Mapped, mapped_column

from src.models.columns import Base


class Figure(Base):
    __tablename__ = "figures"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    """A JSON object with its keys sorted."""
    value: Mapped[float]
