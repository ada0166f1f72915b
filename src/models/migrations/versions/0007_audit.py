"""Who did what: `audit_events`, which the database itself keeps from being changed; and who asked for an execution."""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SQLITE = """
CREATE TRIGGER audit_events_{what} BEFORE {what} ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END
"""
POSTGRESQL = (
    """
CREATE FUNCTION audit_events_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit_events is append-only'; END $$
""",
    """
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION audit_events_is_append_only()
""",
)


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("before_sha256", sa.String(), nullable=True),
        sa.Column("after_sha256", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_events_subject", "audit_events", ["subject", "id"], unique=False)
    op.create_index("ix_audit_events_at", "audit_events", ["at"], unique=False)
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in [SQLITE.format(what=what) for what in ("UPDATE", "DELETE")] if is_sqlite else POSTGRESQL:
        op.execute(statement)
    op.add_column("executions", sa.Column("actor", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("request_id", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("executions", "request_id")
    op.drop_column("executions", "actor")
    op.drop_table("audit_events")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_events_is_append_only")
