"""How workflows and their nodes do, in SQL that anybody can ask: the views `workflow_stats` and `node_stats`."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

PERIODS = {"24h": 1, "7d": 7, "30d": 30}
SQLITE = "strftime('%Y-%m-%d %H:%M:%f', 'now', '-{days} days')"
POSTGRESQL = "now() - interval '{days} days'"
FIGURES = """
    sum(failed) * 1.0 / count(*) AS failure_rate,
    min(CASE WHEN place >= 0.50 * ranked THEN seconds END) AS p50_seconds,
    min(CASE WHEN place >= 0.95 * ranked THEN seconds END) AS p95_seconds,
    min(CASE WHEN place >= 0.99 * ranked THEN seconds END) AS p99_seconds
"""
"""The percentiles by nearest rank: PostgreSQL's percentile_disc, which SQLite has not."""
WORKFLOWS = """
CREATE VIEW workflow_stats AS
SELECT workflow_id, period, count(*) AS executions, sum(failed) AS failed, {figures}
FROM (
    SELECT executions.workflow_id, periods.period, executions.execution_time AS seconds,
        CASE WHEN executions.status = 'failed' THEN 1 ELSE 0 END AS failed,
        row_number() OVER (PARTITION BY workflow_id, period ORDER BY executions.execution_time) AS place,
        count(*) OVER (PARTITION BY workflow_id, period) AS ranked
    FROM executions JOIN ({periods}) AS periods ON executions.completed_at > periods.since
    WHERE executions.execution_time IS NOT NULL
) AS runs
GROUP BY workflow_id, period
"""
NODES = """
CREATE VIEW node_stats AS
SELECT workflow_id, node_id, node_type, period, count(*) AS attempts, sum(failed) AS failed, {figures}
FROM (
    SELECT executions.workflow_id, chain_of_work.node_id, chain_of_work.node_type, periods.period,
        chain_of_work.execution_time AS seconds,
        CASE WHEN chain_of_work.status IN ('failed', 'retry') THEN 1 ELSE 0 END AS failed,
        row_number() OVER (
            PARTITION BY workflow_id, node_id, node_type, period ORDER BY chain_of_work.execution_time
        ) AS place,
        count(*) OVER (PARTITION BY workflow_id, node_id, node_type, period) AS ranked
    FROM executions
    JOIN chain_of_work ON chain_of_work.execution_id = executions.id
    JOIN ({periods}) AS periods ON chain_of_work.timestamp > periods.since
    WHERE chain_of_work.origin_attempt_id IS NULL
) AS attempts
GROUP BY workflow_id, node_id, node_type, period
"""


def upgrade() -> None:
    since = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL
    periods = " UNION ALL ".join(
        f"SELECT '{name}' AS period, {since.format(days=days)} AS since" for name, days in PERIODS.items()
    )
    for view in (WORKFLOWS, NODES):
        op.execute(view.format(figures=FIGURES, periods=periods))


def downgrade() -> None:
    op.execute("DROP VIEW node_stats")
    op.execute("DROP VIEW workflow_stats")
