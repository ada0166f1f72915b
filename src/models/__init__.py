"""The rows: every table of Nova. People query them in plain SQL; their names do not change."""

from src.models.api_keys import ApiKey
from src.models.audit import AuditEvent
from src.models.clients import Client
from src.models.columns import Base
from src.models.credentials import Credential
from src.models.executions import Blob, ChainOfWork, Execution, ExecutionEvent
from src.models.figures import Figure
from src.models.processes import Process
from src.models.reviews import Review
from src.models.schedules import Schedule
from src.models.triggers import TriggerCheck
from src.models.workflows import Workflow, WorkflowVersion

__all__ = [
    "ApiKey",
    "AuditEvent",
    "Base",
    "Blob",
    "ChainOfWork",
    "Client",
    "Credential",
    "Execution",
    "ExecutionEvent",
    "Figure",
    "Process",
    "Review",
    "Schedule",
    "TriggerCheck",
    "Workflow",
    "WorkflowVersion",
]
