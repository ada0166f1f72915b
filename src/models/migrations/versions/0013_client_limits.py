"""How many executions may run for a client at once."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clients", sa.Column("max_concurrent", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("clients", "max_concurrent")
