"""The hash chain: the seal of each row of `chain_of_work`, and the last one of an execution that has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chain_of_work", sa.Column("seal", sa.String(), nullable=True))
    op.add_column("executions", sa.Column("last_seal", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("executions", "last_seal")
    op.drop_column("chain_of_work", "seal")
