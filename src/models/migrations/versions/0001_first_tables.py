"""The first tables: workflows and their versions, executions and what is written while they run, clients, blobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
TRAVELLING = sa.JSON()
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("content", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_blobs"),
    )
    op.create_table(
        "clients",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clients"),
        sa.UniqueConstraint("slug", name="uq_clients_slug"),
    )
    op.create_table(
        "workflows",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("client_id", BIG, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("graph_definition", TRAVELLING, nullable=False),
        sa.Column("initial_context", TRAVELLING, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("archived_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_workflows_client_id"),
        sa.PrimaryKeyConstraint("id", name="pk_workflows"),
    )
    op.create_index(
        "uq_workflows_name",
        "workflows",
        ["name"],
        unique=True,
        sqlite_where=sa.text("archived_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL"),
    )

    op.create_table(
        "workflow_versions",
        sa.Column("workflow_id", BIG, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("graph_definition", TRAVELLING, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workflow_id"], ["workflows.id"], name="fk_workflow_versions_workflow_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workflow_id", "version", name="pk_workflow_versions"),
    )
    op.create_table(
        "executions",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("workflow_id", BIG, nullable=False),
        sa.Column("workflow_version", sa.Integer(), nullable=False),
        sa.Column("client_id", BIG, nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("waiting_for", sa.String(), nullable=True),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=True),
        sa.Column("initial_context", TRAVELLING, nullable=False),
        sa.Column("result", TRAVELLING, nullable=True),
        sa.Column("error", DOCUMENT, nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("parent_id", BIG, nullable=True),
        sa.Column("parent_node_id", sa.String(), nullable=True),
        sa.Column("origin_id", BIG, nullable=True),
        sa.Column("origin_node_id", sa.String(), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("wake_at", MOMENT, nullable=True),
        sa.Column("requested", sa.String(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.Column("execution_time", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.id"], name="fk_executions_client_id"),
        sa.ForeignKeyConstraint(["origin_id"], ["executions.id"], name="fk_executions_origin_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["executions.id"], name="fk_executions_parent_id"),
        sa.ForeignKeyConstraint(
            ["workflow_id", "workflow_version"],
            ["workflow_versions.workflow_id", "workflow_versions.version"],
            name="fk_executions_workflow_id",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
        sa.UniqueConstraint("task_id", name="uq_executions_task_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_executions_unfinished",
        "executions",
        ["status"],
        unique=False,
        sqlite_where=sa.text("completed_at IS NULL"),
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.create_index("ix_executions_workflow_id", "executions", ["workflow_id", "id"], unique=False)

    op.create_table(
        "chain_of_work",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("execution_id", BIG, nullable=False),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("node_type", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("output_result", TRAVELLING, nullable=True),
        sa.Column("code_executed", sa.String(), nullable=True),
        sa.Column("decision_result", sa.String(), nullable=True),
        sa.Column("path_taken", sa.String(), nullable=True),
        sa.Column("error_type", sa.String(), nullable=True),
        sa.Column("error_class", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("error_traceback", sa.String(), nullable=True),
        sa.Column("logs", sa.String(), nullable=True),
        sa.Column("execution_time", sa.Double(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("timestamp", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_chain_of_work_execution_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_chain_of_work"),
        sa.UniqueConstraint("execution_id", "node_id", "attempt", name="uq_chain_of_work_execution_id_node_id_attempt"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "execution_events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("execution_id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=True),
        sa.Column("data", DOCUMENT, nullable=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_execution_events_execution_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_execution_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_execution_events_execution_id", "execution_events", ["execution_id"], unique=False)


def downgrade() -> None:
    op.drop_table("execution_events")
    op.drop_table("chain_of_work")
    op.drop_table("executions")
    op.drop_table("workflow_versions")
    op.drop_table("workflows")
    op.drop_table("clients")
    op.drop_table("blobs")
