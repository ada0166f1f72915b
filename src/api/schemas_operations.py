"""The shapes of what operators are told, for the OpenAPI document."""

from datetime import datetime

from src.api.shape import Shape


class AuditEvent(Shape):
    actor: str
    action: str
    subject: str
    before_sha256: str | None
    after_sha256: str | None
    request_id: str | None
    at: datetime


class AuditList(Shape):
    events: list[AuditEvent]
    next_before: datetime | None
    """What `before` is for the next page; None on the last."""


class Figures(Shape):
    failed: int
    failure_rate: float
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


class PeriodStats(Figures):
    executions: int


class NodeStats(Figures):
    node_id: str
    node_type: str
    period: str
    attempts: int


class WorkflowStats(Shape):
    workflow_id: int
    periods: dict[str, PeriodStats]
    """`24h`, `7d`, `30d`: those in which it ran."""
    nodes: list[NodeStats]
