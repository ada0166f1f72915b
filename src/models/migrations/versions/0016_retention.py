"""What housekeeping looks for: runs by their end, and those that refer to an origin."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    ended, rerun = sa.text("completed_at IS NOT NULL"), sa.text("origin_id IS NOT NULL")
    op.create_index(
        "ix_executions_completed_at", "executions", ["completed_at"], sqlite_where=ended, postgresql_where=ended
    )
    op.create_index("ix_executions_origin_id", "executions", ["origin_id"], sqlite_where=rerun, postgresql_where=rerun)


def downgrade() -> None:
    op.drop_index("ix_executions_origin_id", "executions")
    op.drop_index("ix_executions_completed_at", "executions")
