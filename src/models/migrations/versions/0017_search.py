"""What executions are looked up by: client, schedule, status, time, what no other one started; and what goes on."""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

Indexes = dict[str, tuple[list[str], str]]

NEW: Indexes = {
    "ix_executions_client_id": (["client_id", "id"], "client_id IS NOT NULL"),
    "ix_executions_schedule_id": (["schedule_id", "id"], "schedule_id IS NOT NULL"),
    "ix_executions_schedule_id_unfinished": (["schedule_id"], "completed_at IS NULL AND schedule_id IS NOT NULL"),
    "ix_executions_not_completed": (["status", "id"], "status <> 'completed' AND completed_at IS NOT NULL"),
    "ix_executions_top_level": (["id"], "parent_id IS NULL"),
    "ix_executions_status_unfinished": (["status", "id"], "completed_at IS NULL"),
    "ix_executions_parent_id_unfinished": (
        ["parent_id", "parent_node_id", "parent_item"],
        "completed_at IS NULL AND parent_id IS NOT NULL",
    ),
}
OLD: Indexes = {
    "ix_executions_unfinished": (["status"], "completed_at IS NULL"),
    "ix_executions_parent_id": (["parent_id"], "completed_at IS NULL"),
}


def upgrade() -> None:
    op.create_index("ix_executions_created_at", "executions", ["created_at", "id"])
    _create(NEW)
    _drop(OLD)  # last: from here on PostgreSQL holds up those that read, too


def downgrade() -> None:
    _create(OLD)
    _drop(["ix_executions_created_at", *NEW])


def _create(indexes: Indexes) -> None:
    for name, (columns, where) in indexes.items():
        op.create_index(name, "executions", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def _drop(names: Iterable[str]) -> None:
    for name in names:
        op.drop_index(name, "executions")
