"""`executions`, and what is written while they run: `chain_of_work`, `execution_events`, `blobs`."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from src.core.status import Status
from src.models.columns import BIG, DOCUMENT, Base, Id


def _one_for_each_key(name: str, *columns: str, client: str) -> Index:
    """A client's `Idempotency-Key` names one execution; so does one that came without a client."""
    where = text(f"client_id IS {client} AND idempotency_key IS NOT NULL")
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


def _for_search(name: str, *columns: str, where: str) -> Index:
    """What a list of executions is looked up in, or what has not ended. See runtime/search.py."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Execution(Base):
    """One run of one version of a workflow; one row, however and wherever it runs."""

    __tablename__ = "executions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["workflow_id", "workflow_version"], ["workflow_versions.workflow_id", "workflow_versions.version"]
        ),
        Index("ix_executions_workflow_id", "workflow_id", "id"),
        _for_search("ix_executions_status_unfinished", "status", "id", where="completed_at IS NULL"),
        _for_search("ix_executions_client_id", "client_id", "id", where="client_id IS NOT NULL"),
        _for_search("ix_executions_schedule_id", "schedule_id", "id", where="schedule_id IS NOT NULL"),
        _for_search(  # for the sweep, which must not read all that a schedule has ever started
            "ix_executions_schedule_id_unfinished",
            "schedule_id",
            where="completed_at IS NULL AND schedule_id IS NOT NULL",
        ),
        _for_search(
            "ix_executions_not_completed",
            "status",
            "id",
            where=f"status <> '{Status.COMPLETED}' AND completed_at IS NOT NULL",
        ),
        _for_search("ix_executions_top_level", "id", where="parent_id IS NULL"),
        Index("ix_executions_created_at", "created_at", "id"),
        Index(
            "uq_executions_parent_id_parent_node_id_parent_item",
            "parent_id",
            "parent_node_id",
            "parent_item",
            unique=True,
            sqlite_where=text("parent_id IS NOT NULL"),
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index(
            "ix_executions_completed_at",
            "completed_at",
            sqlite_where=text("completed_at IS NOT NULL"),
            postgresql_where=text("completed_at IS NOT NULL"),
        ),
        Index(
            "ix_executions_origin_id",
            "origin_id",
            sqlite_where=text("origin_id IS NOT NULL"),
            postgresql_where=text("origin_id IS NOT NULL"),
        ),
        Index(
            "uq_executions_schedule_id_fire_at",
            "schedule_id",
            "fire_at",
            unique=True,
            sqlite_where=text("fire_at IS NOT NULL"),
            postgresql_where=text("fire_at IS NOT NULL"),
        ),
        _for_search(
            "ix_executions_parent_id_unfinished",
            "parent_id",
            "parent_node_id",
            "parent_item",
            where="completed_at IS NULL AND parent_id IS NOT NULL",
        ),
        _one_for_each_key("uq_executions_idempotency_key", "idempotency_key", client="NULL"),
        _one_for_each_key("uq_executions_client_id_idempotency_key", "client_id", "idempotency_key", client="NOT NULL"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[Id]
    task_id: Mapped[str] = mapped_column(unique=True)
    """A UUID; what Celery calls the run."""
    workflow_id: Mapped[int] = mapped_column(BIG)
    workflow_version: Mapped[int]
    client_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("clients.id"))
    status: Mapped[str]
    waiting_for: Mapped[str | None]
    mode: Mapped[str]
    """`inline`, `background` or `celery`."""
    queue: Mapped[str | None]
    initial_context: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(DOCUMENT)
    """type, class, node_id, message, traceback."""
    priority: Mapped[int] = mapped_column(default=1, server_default="1")
    """0 high, 1 normal, 2 low."""
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str | None]
    """Of the request that came with the key: the same key with another one is refused."""
    parent_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("executions.id"))
    parent_node_id: Mapped[str | None]
    parent_item: Mapped[int | None]
    """Its place among the children of that node, from 0."""
    subgraph: Mapped[str | None]
    """Where the graph of a `map` is inline: the ids of the nodes that hold it, as a JSON Pointer."""
    depth: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many parents it has above it."""
    origin_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("executions.id"))
    origin_node_id: Mapped[str | None]
    schedule_id: Mapped[int | None] = mapped_column(BIG)
    """The schedule that started it, which may have been deleted since."""
    fire_at: Mapped[datetime | None]
    """The time that it was due at; nothing where a person asked the schedule to run now."""
    lease_owner: Mapped[str | None]
    lease_token: Mapped[int] = mapped_column(default=0)
    """The fence: raised by every claim; nothing is written under an older one."""
    lease_until: Mapped[datetime | None]
    """On the database's clock."""
    wake_at: Mapped[datetime | None]
    queued_at: Mapped[datetime | None]
    """When it last came into the queue; nothing where it went straight to its runner."""
    rung_at: Mapped[datetime | None]
    """When a message last said that it is in the queue."""
    rings: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many messages have said so since it came into the queue, or, from 0, since there was room for it."""
    requested: Mapped[str | None]
    """`pause` or `stop`: what the runner is asked to do at the next node boundary."""
    actor: Mapped[str | None]
    """Who asked for it."""
    request_id: Mapped[str | None]
    """By which request."""
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    last_seal: Mapped[str | None]
    """Of its rows in `chain_of_work`, when it ended."""
    execution_time: Mapped[float | None]
    """Seconds from the first start to the end, waiting included."""


class ChainOfWork(Base):
    """An attempt at a node: at once the audit trail, the point to resume from, and the source of every figure."""

    __tablename__ = "chain_of_work"
    __table_args__ = (
        UniqueConstraint("execution_id", "node_id", "attempt"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[Id]
    execution_id: Mapped[int] = mapped_column(BIG, ForeignKey("executions.id", ondelete="CASCADE"))
    lease_token: Mapped[int]
    """The claim under which the row was written; for `verify`."""
    node_id: Mapped[str]
    node_type: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[str]
    output_result: Mapped[dict[str, Any] | None]
    """What the node changed in the context. Where no value is named `$blob`, exactly that; see runtime/blobs.py."""
    code_executed: Mapped[str | None]
    """Only where it differs from the version's."""
    decision_result: Mapped[str | None]
    """The branch that a decision chose."""
    path_taken: Mapped[str | None]
    """The condition of the edge that was gone along: the branch, or `default`."""
    error_type: Mapped[str | None]
    error_class: Mapped[str | None]
    error_message: Mapped[str | None]
    error_traceback: Mapped[str | None]
    logs: Mapped[str | None]
    waiting_for: Mapped[str | None]
    """`retry`, `time`, `child` or `review`: why the attempt is not the last."""
    wakes_at: Mapped[datetime | None]
    """When the node runs again, whatever has happened by then."""
    details: Mapped[dict[str, Any] | None] = mapped_column(DOCUMENT)
    """What whoever it waits for needs to know."""
    origin_attempt_id: Mapped[int | None] = mapped_column(BIG)
    """The attempt of an earlier execution that this one stands for: a retry or a rerun did not repeat it."""
    execution_time: Mapped[float]
    """Seconds, real for failures too; without the wait for a place in the sandbox."""
    sandbox_level: Mapped[str | None]
    """How strong the walls around the code were; nothing where no code ran in the sandbox."""
    cpu_seconds: Mapped[float | None]
    """Processor time of the code, all threads together."""
    max_rss_kb: Mapped[int | None] = mapped_column(BIG)
    """The most memory of the code's process at any time, KiB."""
    usage: Mapped[dict[str, Any] | None] = mapped_column(DOCUMENT)
    """What the attempt took of a language model: model, calls, input_tokens, output_tokens, cost_usd."""
    started_at: Mapped[datetime]
    timestamp: Mapped[datetime]
    """When the attempt ended."""
    seal: Mapped[str | None]
    """SHA-256 of the seal before it and of this row; see runtime/seals.py. None: older than that, or a copy."""


class ExecutionEvent(Base):
    """The life of an execution beyond its nodes: recovered, handed off, paused, reviewed ..."""

    __tablename__ = "execution_events"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[Id]
    execution_id: Mapped[int] = mapped_column(BIG, ForeignKey("executions.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    actor: Mapped[str | None]
    data: Mapped[dict[str, Any] | None] = mapped_column(DOCUMENT)
    at: Mapped[datetime]


class Blob(Base):
    """A big value of a context, kept once."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[str]
    """JSON text."""
    created_at: Mapped[datetime]
