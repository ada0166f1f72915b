"""The shapes of answers, for the OpenAPI document; `views.py` makes the answers themselves."""

from datetime import datetime
from typing import Any

from pydantic import Field

from src.api.shape import Shape
from src.core.outcome import ErrorClass
from src.core.status import AttemptStatus, Status


class ProblemAt(Shape):
    pointer: str
    """JSON Pointer into the request's body."""
    detail: str


class ProblemDocument(Shape):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemAt] = Field([])


class Workflow(Shape):
    id: int
    name: str
    description: str | None
    client_id: int | None
    version: int
    graph_definition: dict[str, Any] | None = None
    initial_context: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    paused_at: datetime | None
    """New runs are held back since then."""
    warnings: list[ProblemAt] = Field([])


class WorkflowList(Shape):
    workflows: list[Workflow]
    total: int


class WorkflowVersion(Shape):
    workflow_id: int
    version: int
    sha256: str
    graph_definition: dict[str, Any]
    created_at: datetime


class WorkflowVersionList(Shape):
    versions: list[WorkflowVersion]
    total: int


class Validation(Shape):
    valid: bool
    errors: list[ProblemAt]
    warnings: list[ProblemAt]


class Client(Shape):
    id: int
    slug: str
    name: str
    is_active: bool
    max_concurrent: int | None
    created_at: datetime


class ClientList(Shape):
    clients: list[Client]
    total: int


class Credential(Shape):
    """A value never comes back."""

    name: str
    created_at: datetime
    updated_at: datetime
    unmasked: list[str] = Field([])
    """Keys whose values are too short to be kept out of what nodes print."""


class CredentialList(Shape):
    credentials: list[Credential]
    total: int


class Key(Shape):
    id: str
    name: str
    scopes: list[str]
    client_slug: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKey(Key):
    key: str
    """Shown this once."""


class KeyList(Shape):
    keys: list[Key]
    total: int


class Session(Shape):
    """Who is signed in, and what that may do."""

    actor: str
    scopes: list[str]
    client_slug: str | None
    needs_key: bool


class ExecutionError(Shape):
    type: str
    error_class: ErrorClass = Field(alias="class")
    node_id: str | None
    message: str
    traceback: str | None


class NodeState(Shape):
    id: str
    status: AttemptStatus
    attempt: int
    execution_time: float


class Summary(Shape):
    id: int
    task_id: str
    workflow_id: int
    workflow_version: int
    client_id: int | None
    status: Status
    mode: str
    waiting_for: str | None
    wake_at: datetime | None
    error: ExecutionError | None
    execution_time: float | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    schedule_id: int | None
    """The schedule that started it."""
    fire_at: datetime | None
    """When it was due by that schedule."""
    parent_id: int | None
    """The execution that has started this one, from its node `parent_node_id`, for its item `parent_item` (from 0)."""
    parent_node_id: str | None
    parent_item: int | None
    origin_id: int | None
    """The execution whose results stand here, for nodes that a retry or a rerun did not repeat."""
    origin_node_id: str | None
    """The node that was run again first."""


class Execution(Summary):
    eta_seconds: float | None = None
    """How long it will likely take from now, learned from earlier runs; None where nothing can be said."""
    result: dict[str, Any] | None
    nodes: list[NodeState]


class Accepted(Execution):
    links: dict[str, str]


class ExecutionList(Shape):
    executions: list[Summary]
    total: int


class ExecutionGraph(Shape):
    """What an execution runs."""

    execution_id: int
    workflow_id: int
    workflow: str
    version: int
    inside: list[str]
    """The `map` nodes that hold the graph, the outermost first; none where it is the whole of the version."""
    graph_definition: dict[str, Any]


class RunningNode(Shape):
    node_id: str
    attempt: int
    started_at: datetime
    progress: float
    """From 0 to 1, as the node itself says."""
    message: str


class Progress(Shape):
    execution_id: int
    status: Status
    nodes_done: int
    nodes_total: int
    under_way: list[RunningNode]


class ChainEntry(Shape):
    id: int
    node_id: str
    node_type: str
    attempt: int
    status: AttemptStatus
    input_context: dict[str, Any] | None
    """None where the contexts of the page are too large in all."""
    output_result: dict[str, Any] | None
    code_executed: str | None
    decision_result: str | None
    path_taken: str | None
    error_type: str | None
    error_class: ErrorClass | None
    error_message: str | None
    error_traceback: str | None
    logs: str | None
    execution_time: float
    sandbox_level: str | None
    cpu_seconds: float | None
    max_rss_kb: int | None
    usage: dict[str, Any] | None
    """Of a language model: model, calls, input_tokens, output_tokens, cost_usd."""
    waiting_for: str | None
    details: dict[str, Any] | None
    origin_attempt_id: int | None
    wakes_at: datetime | None
    started_at: datetime
    timestamp: datetime


class Chain(Shape):
    execution_id: int
    entries: list[ChainEntry]
    total: int


class ExecutionEvent(Shape):
    id: int
    kind: str
    """`handed_off`, `recovered`, `woken`, `paused`, `resumed`, `reviewed`, `stopped` ..."""
    actor: str | None
    data: dict[str, Any] | None
    at: datetime


class EventList(Shape):
    execution_id: int
    events: list[ExecutionEvent]
    total: int


class Review(Shape):
    execution_id: int
    node_id: str
    node_type: str
    attempt: int
    workflow_id: int
    workflow: str
    title: str | None
    form: dict[str, Any] | None
    assignees: list[str] | None
    decisions: list[str]
    error_type: str | None
    error_message: str | None
    input: dict[str, Any]
    output: dict[str, Any] | None
    """What the node would have changed, where it has failed for a person to look at."""
    since: datetime
    due_at: datetime | None


class ReviewList(Shape):
    reviews: list[Review]
    total: int


class ReadValue(Shape):
    key: str
    value: Any
    source: str | None = Field(alias="from")
    """The node that wrote it, or `initial_context`; None where it was not there."""


class Explained(Shape):
    node_id: str
    branch: str
    path_taken: str | None
    text: str
    read: list[ReadValue]


class Explanation(Shape):
    execution_id: int
    decisions: list[Explained]


class Task(Shape):
    task_id: str
    status: str
    execution_id: int
    result: dict[str, Any] | None
    error: ExecutionError | None


class Door(Shape):
    name: str
    version: str
    links: dict[str, str]


class Health(Shape):
    status: str


class Readiness(Shape):
    status: str
    database: str
    sandbox: str


class QueueDepth(Shape):
    waiting: int
    oldest_seconds: float | None


class CeleryHealth(Shape):
    status: str
    """`disabled` where the switch is off: then nothing else stands here."""
    workers: int | None = None
    running: int | None = None
    queues: dict[str, QueueDepth] = Field({})
    oldest_queued_seconds: float | None = None
    seconds_since_a_bell: float | None = None


_REASONS = {
    400: "The body is not JSON, a header cannot be read, or the name is taken.",
    401: "A key is needed, or there is no such key.",
    403: "The key may not do this, or the request comes from a page of another site.",
    404: "There is no such thing.",
    409: "Its status does not allow it.",
    412: "It was changed in between.",
    413: "The body is too large.",
    422: "The request is not what was expected; `errors` lists every problem.",
    428: "If-Match is needed.",
    429: "Too many requests of this key, or too many wrong keys from this address: `Retry-After` says for how long.",
    500: "The run failed and `Prefer: handling=strict` was sent, or Nova made a mistake.",
    503: "No room now, or the installation is not ready: `Retry-After` says when to come back.",
}
_PROBLEM = ProblemDocument.model_json_schema()
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": reason,
        "content": {"application/problem+json": {"schema": _PROBLEM}},
    }
    for status, reason in _REASONS.items()
}
