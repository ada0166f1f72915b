"""What processes count for `/metrics`: `figures`, which only grow, and how each is just now, in `processes`."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "figures",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("labels", sa.String(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", name="pk_figures"),
    )
    document = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("processes", sa.Column("gauges", document, nullable=True))


def downgrade() -> None:
    op.drop_column("processes", "gauges")
    op.drop_table("figures")
