"""What the queue needs: when an execution was rung for, how urgent it is, which request asked for it; who lives."""

import sqlalchemy as sa
from alembic import op

MOMENT = sa.DateTime(timezone=True)

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("priority", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("executions", sa.Column("request_sha256", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("queued_at", MOMENT, nullable=True))
    op.add_column("executions", sa.Column("rung_at", MOMENT, nullable=True))
    op.add_column("executions", sa.Column("rings", sa.Integer(), nullable=False, server_default="0"))
    for name, columns, condition in (
        ("uq_executions_idempotency_key", ["idempotency_key"], "client_id IS NULL AND idempotency_key IS NOT NULL"),
        (
            "uq_executions_client_id_idempotency_key",
            ["client_id", "idempotency_key"],
            "client_id IS NOT NULL AND idempotency_key IS NOT NULL",
        ),
    ):
        where = sa.text(condition)
        op.create_index(name, "executions", columns, unique=True, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "processes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("last_bell_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_processes"),
    )


def downgrade() -> None:
    op.drop_table("processes")
    op.drop_index("uq_executions_client_id_idempotency_key", "executions")
    op.drop_index("uq_executions_idempotency_key", "executions")
    for name in ("rings", "rung_at", "queued_at", "request_sha256", "priority"):
        op.drop_column("executions", name)
