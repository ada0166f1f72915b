"""Finds the unfinished children of an execution without looking at those that have ended."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("completed_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_executions_parent_id",
        "executions",
        ["parent_id"],
        sqlite_where=UNFINISHED,
        postgresql_where=UNFINISHED,
    )


def downgrade() -> None:
    op.drop_index("ix_executions_parent_id", "executions")
