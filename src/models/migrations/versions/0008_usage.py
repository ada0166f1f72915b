"""What an attempt took of a language model."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    document = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("chain_of_work", sa.Column("usage", document, nullable=True))


def downgrade() -> None:
    op.drop_column("chain_of_work", "usage")
