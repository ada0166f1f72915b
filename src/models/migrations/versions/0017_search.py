"""What executions are looked up by: client, schedule, status, time, and what no other one has started."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

PARTIAL = {
    "ix_executions_client_id": (["client_id", "id"], "client_id IS NOT NULL"),
    "ix_executions_schedule_id": (["schedule_id", "id"], "schedule_id IS NOT NULL"),
    "ix_executions_schedule_id_unfinished": (["schedule_id"], "completed_at IS NULL AND schedule_id IS NOT NULL"),
    "ix_executions_not_completed": (["status", "id"], "status <> 'completed'"),
    "ix_executions_top_level": (["id"], "parent_id IS NULL"),
}


def upgrade() -> None:
    for name, (columns, where) in PARTIAL.items():
        op.create_index(name, "executions", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_index("ix_executions_created_at", "executions", ["created_at", "id"])


def downgrade() -> None:
    for name in ("ix_executions_created_at", *reversed(PARTIAL)):
        op.drop_index(name, "executions")
