"""What control needs: what attempts wait for, answers of persons, children by their place, workflows that are held."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
TRAVELLING = sa.JSON()
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None

CHILD = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("chain_of_work", sa.Column("waiting_for", sa.String(), nullable=True))
    op.add_column("chain_of_work", sa.Column("wakes_at", MOMENT, nullable=True))
    op.add_column("chain_of_work", sa.Column("details", DOCUMENT, nullable=True))
    op.add_column("chain_of_work", sa.Column("origin_attempt_id", BIG, nullable=True))
    op.add_column("executions", sa.Column("parent_item", sa.Integer(), nullable=True))
    op.add_column("executions", sa.Column("subgraph", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("depth", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        "uq_executions_parent_id_parent_node_id_parent_item",
        "executions",
        ["parent_id", "parent_node_id", "parent_item"],
        unique=True,
        sqlite_where=CHILD,
        postgresql_where=CHILD,
    )
    op.add_column("workflows", sa.Column("paused_at", MOMENT, nullable=True))
    op.create_table(
        "reviews",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("execution_id", BIG, nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=True),
        sa.Column("output", TRAVELLING, nullable=True),
        sa.Column("actor", sa.String(), nullable=True),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_reviews_execution_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint("execution_id", "node_id", "attempt", name="uq_reviews_execution_id_node_id_attempt"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("reviews")
    op.drop_column("workflows", "paused_at")
    op.drop_index("uq_executions_parent_id_parent_node_id_parent_item", "executions")
    for name in ("depth", "subgraph", "parent_item"):
        op.drop_column("executions", name)
    for name in ("origin_attempt_id", "details", "wakes_at", "waiting_for"):
        op.drop_column("chain_of_work", name)
