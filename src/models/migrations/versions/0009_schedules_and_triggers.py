"""Schedules, the runs that they start, what the trigger checks found; and `since`, the windows that all checks share.

`since` is a view of one row, so that the same query means the same days in SQLite and in PostgreSQL, which have no
arithmetic of dates in common: `WHERE created_at >= (SELECT month FROM since)`.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

FIRED = sa.text("fire_at IS NOT NULL")
ENABLED = sa.text("enabled")
DAYS = {"day": 1, "week": 7, "month": 30}


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("workflow_id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("initial_context", sa.JSON(), nullable=False),
        sa.Column("client_id", BIG, nullable=True),
        sa.Column("overlap", sa.String(), nullable=False),
        sa.Column("catch_up", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_fire_at", MOMENT, nullable=True),
        sa.Column("last_fire_at", MOMENT, nullable=True),
        sa.Column("last_skipped_at", MOMENT, nullable=True),
        sa.Column("last_skipped_for", sa.String(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflows.id"], name="fk_schedules_workflow_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_schedules_client_id"),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_schedules_due", "schedules", ["next_fire_at"], sqlite_where=ENABLED, postgresql_where=ENABLED)
    op.create_index("ix_schedules_workflow_id", "schedules", ["workflow_id"])
    op.add_column("executions", sa.Column("schedule_id", BIG, nullable=True))
    op.add_column("executions", sa.Column("fire_at", MOMENT, nullable=True))
    op.create_index(
        "uq_executions_schedule_id_fire_at",
        "executions",
        ["schedule_id", "fire_at"],
        unique=True,
        sqlite_where=FIRED,
        postgresql_where=FIRED,
    )
    op.create_table(
        "trigger_checks",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("checked_at", MOMENT, nullable=False),
        sa.Column("results", DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_trigger_checks"),
        sqlite_autoincrement=True,
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    ago = "strftime('%Y-%m-%d %H:%M:%f', 'now', '-{0} days') || '000'" if is_sqlite else "now() - interval '{0} days'"
    columns = ", ".join(f"{ago.format(days)} AS {name}" for name, days in DAYS.items())
    op.execute(f"CREATE VIEW since AS SELECT {columns}")


def downgrade() -> None:
    op.execute("DROP VIEW since")
    op.drop_table("trigger_checks")
    op.drop_index("uq_executions_schedule_id_fire_at", "executions")
    for name in ("fire_at", "schedule_id"):
        op.drop_column("executions", name)
    op.drop_table("schedules")
