"""What an attempt in the sandbox took: processor time, memory, and the level of its walls."""

import sqlalchemy as sa
from alembic import op

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_of_work", sa.Column("sandbox_level", sa.String(), nullable=True))
    op.add_column("chain_of_work", sa.Column("cpu_seconds", sa.Double(), nullable=True))
    op.add_column("chain_of_work", sa.Column("max_rss_kb", BIG, nullable=True))


def downgrade() -> None:
    for name in ("max_rss_kb", "cpu_seconds", "sandbox_level"):
        op.drop_column("chain_of_work", name)
