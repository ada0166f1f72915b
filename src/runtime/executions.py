"""Executions from outside: started, and looked at. Always read from the row, never from memory."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, exists, func, select

from src.core.errors import InputsRefused, KeyReused, KeyTaken, NotFound, ValueRefused
from src.core.explain import Choice, reads_of, sources_of
from src.core.graph import Graph
from src.core.outcome import Context, Json
from src.core.plan import Plan
from src.core.status import AttemptStatus, Status
from src.core.values import plain_object
from src.core.verify import History, Kept, violations
from src.database import Database
from src.json_schema import problems_in
from src.models import ChainOfWork, Execution, ExecutionEvent, Workflow
from src.models.columns import json_rows
from src.runtime.blobs import fatten, names_in
from src.runtime.clients import Clients
from src.runtime.families import family
from src.runtime.leases import ENDS_OF_CLAIMS
from src.runtime.lookup import Lookup
from src.runtime.queue import Priority
from src.runtime.rows import outcome_of
from src.runtime.seals import broken, count_unsealed
from src.runtime.search import Filter, count, newest
from src.runtime.store import NewExecution, sha256_of
from src.runtime.workflows import Definition, Workflows

SUMMARY = (
    Execution.id, Execution.task_id, Execution.workflow_id, Execution.workflow_version, Execution.client_id,
    Execution.status, Execution.mode, Execution.waiting_for, Execution.wake_at, Execution.error,
    Execution.execution_time, Execution.created_at, Execution.started_at, Execution.completed_at,
    Execution.schedule_id, Execution.fire_at,
    Execution.parent_id, Execution.parent_node_id, Execution.parent_item, Execution.subgraph,
    Execution.origin_id, Execution.origin_node_id,
)  # fmt: skip
_ATTEMPTS = (
    select(ChainOfWork.node_id, ChainOfWork.status, ChainOfWork.attempt, ChainOfWork.execution_time)
    .where(ChainOfWork.execution_id == Execution.id)
    .order_by(ChainOfWork.id)
    .correlate(Execution)
    .subquery()
)
WHOLE = select(
    *SUMMARY, Execution.initial_context, Execution.result, Execution.lease_token, Execution.lease_owner,
    Execution.priority, Execution.depth,
    select(json_rows(*_ATTEMPTS.columns)).scalar_subquery().label("attempts"),
)  # fmt: skip
BY_ID = Lookup(WHOLE.where(Execution.id == bindparam("which")))
BY_TASK = Lookup(WHOLE.where(Execution.task_id == bindparam("which")))
STATUS = Lookup(select(Execution.status).where(Execution.id == bindparam("which")))
RUNS: "Select[*tuple[Any, ...]]" = (
    select(
        Execution.id,
        Execution.workflow_id,
        Execution.workflow_version,
        Execution.subgraph,
        Workflow.name,
        Workflow.client_id.label("owner_id"),
    )
    .join(Workflow, Workflow.id == Execution.workflow_id)
    .where(Execution.id == bindparam("which"))
)
"""What an execution runs, in use or archived."""


class NodeState(NamedTuple):
    """The last attempt at a node."""

    id: str
    status: str
    attempt: int
    execution_time: float


@dataclass(frozen=True, slots=True)
class Found:
    """An execution as it stands in its rows."""

    row: Row[Any]
    initial_context: Context
    result: Context | None
    nodes: list[NodeState]


@dataclass(frozen=True, slots=True)
class Entry:
    """An attempt with the context that its node saw."""

    row: Row[Any]
    input_context: Context
    output: Context | None


class Executions:
    def __init__(
        self,
        database: Database,
        workflows: Workflows,
        clients: Clients,
        *,
        max_context_bytes: int,
    ) -> None:
        self._database = database
        self.workflows = workflows
        self._clients = clients
        self.max_context_bytes = max_context_bytes

    def order(
        self,
        workflow_id: int,
        context: Context,
        client_slug: str | None = None,
        *,
        priority: Priority = Priority.NORMAL,
        idempotency_key: str | None = None,
    ) -> NewExecution:
        """What a request asks for, checked; nothing is written.

        Raises:
            NotFound: the workflow or the client.
            ValueRefused: the context cannot be kept.
            InputsRefused: it is not what the workflow's `inputs` describe.
            KeyTaken: an execution has been started with this key.
        """
        given = self._kept(workflow_id, context)
        request = [workflow_id, given, client_slug, priority]
        if idempotency_key is not None:  # first: what has changed since must not change the answer
            client_id = self._client_of(workflow_id, client_slug)
            if self.earlier(client_id, idempotency_key, request) is not None:
                raise KeyTaken(idempotency_key, client_id, sha256_of(request))
        workflow = self.workflows.pinned(workflow_id)
        client_id = workflow.client_id if client_slug is None else self._clients.id_of(client_slug)
        whole = {**(workflow.initial_context or {}), **given}
        inputs = self.workflows.graph(workflow_id, workflow.version).policy.inputs
        if inputs and (problems := problems_in(whole, inputs, "/initial_context")):
            raise InputsRefused(problems)
        new = NewExecution(
            workflow_id, workflow.version, whole, client_id, priority, is_held=workflow.paused_at is not None
        )
        return new.under(idempotency_key, request)

    def _kept(self, workflow_id: int, context: Context) -> Context:
        """The context as it can be kept. Raises ValueRefused, but NotFound where there is no such workflow."""
        try:
            return plain_object(context, max_bytes=self.max_context_bytes, pointer="/initial_context")
        except ValueRefused:
            self.workflows.pinned(workflow_id)
            raise

    def _client_of(self, workflow_id: int, slug: str | None) -> int | None:
        return self.workflows.client_of(workflow_id) if slug is None else self._clients.id_of(slug)

    def started_by(self, taken: KeyTaken) -> int:
        """The id of the execution that was started with the key. Raises KeyReused."""
        execution_id = self._started(taken.client_id, taken.key, taken.request_sha256)
        assert execution_id is not None, "somebody has taken the key"
        return execution_id

    def earlier(self, client_id: int | None, idempotency_key: str | None, request: Json) -> int | None:
        """The id of the execution that `request` has started with this key before, whatever has changed since then.

        Raises:
            KeyReused: another request has.
        """
        if idempotency_key is None:
            return None
        return self._started(client_id, idempotency_key, sha256_of(request))

    def _started(self, client_id: int | None, idempotency_key: str, sha256: str | None) -> int | None:
        client = Execution.client_id.is_(None) if client_id is None else Execution.client_id == client_id
        query = select(Execution.id, Execution.request_sha256)
        with self._database.read() as connection:
            row = connection.execute(query.where(Execution.idempotency_key == idempotency_key, client)).one_or_none()
        if row is not None and row.request_sha256 != sha256:
            raise KeyReused(idempotency_key, row.id)
        return None if row is None else int(row.id)

    def queued(self, head: int | None = None) -> list[int]:
        """The ids of the executions that are in the queue, oldest first: all of them, or `head` and those below it."""
        query = select(Execution.id).where(Execution.status == Status.QUEUED).order_by(Execution.id)
        if head is not None:
            query = query.where(Execution.id.in_(family(Execution.id == head)))
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def status(self, execution_id: int) -> Status:
        """Raises NotFound."""
        row = STATUS.one_or_none(self._database, execution_id)
        if row is None:
            raise NotFound("execution", execution_id)
        return Status(row.status)

    def goes_on(self, execution_id: int) -> bool:
        """Whether it, or what it has started, is queued or runs: more will come of it without anybody's doing."""
        going = Execution.status.in_((Status.QUEUED, Status.RUNNING))
        query = select(exists().where(Execution.id.in_(family(Execution.id == execution_id)), going))
        with self._database.read() as connection:
            return bool(connection.execute(query).scalar())

    def ids(self) -> list[int]:
        """Of every execution there is, oldest first."""
        with self._database.read() as connection:
            return list(connection.execute(select(Execution.id).order_by(Execution.id)).scalars())

    def find(self, execution_id: int) -> Found:
        """Raises NotFound."""
        return self._one(BY_ID, "execution", execution_id)

    def find_by_task(self, task_id: str) -> Found:
        """Raises NotFound."""
        if not task_id.isprintable():
            raise NotFound("task", task_id)
        return self._one(BY_TASK, "task", task_id)

    def definition(self, execution_id: int) -> tuple[Row[Any], Definition]:
        """The graph that an execution runs, which may stand inside the one of its version. Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(RUNS, {"which": execution_id}).one_or_none()
        if row is None:
            raise NotFound("execution", execution_id)
        return row, self.workflows.definition(row.workflow_id, row.workflow_version, row.subgraph)

    def page(
        self, wanted: Filter, *, limit: int, skip: int = 0, count_to: int | None = None
    ) -> tuple[list[Row[Any]], int]:
        """A page of executions without their contexts, newest first, and how many there are: in all, or counted no
        further than `count_to`.
        """
        with self._database.read() as connection:
            rows = connection.execute(newest(wanted, *SUMMARY, limit=limit, skip=skip)).all()
            total: int = connection.execute(count(wanted, count_to)).scalar_one()
        return list(rows), total

    def chain(self, execution_id: int) -> list[Entry]:
        """Every attempt in the order it was written. The context that a node saw is not kept: it is folded again from
        the outputs before it, and its values are shared by all who saw them. Raises NotFound.
        """
        found = self.find(execution_id)
        graph = self._graph(found.row)
        plan = Plan(graph, found.initial_context)
        return [_entry(plan, row, output) for row, output in self._rows(execution_id)]

    def explain(self, execution_id: int) -> list[Choice]:
        """The decisions that were taken, in their order, and what each of them read. Raises NotFound."""
        found = self.find(execution_id)
        graph = self._graph(found.row)
        choices, outputs = [], dict[str, Context]()
        for entry in self.chain(execution_id):
            row, node = entry.row, graph.nodes[entry.row.node_id]
            if row.decision_result is not None and row.status == AttemptStatus.SUCCESS:
                sources = sources_of(graph, node.id, outputs, found.initial_context)
                read = reads_of(node.source, entry.input_context, sources)
                choices.append(Choice(node.id, row.decision_result, row.path_taken, read))
            if row.status == AttemptStatus.SUCCESS:
                outputs[node.id] = entry.output or {}
        return choices

    def input_of(self, execution_id: int, node_id: str) -> Context:
        """The context that a node sees which has all its inputs. Raises NotFound."""
        found = self.find(execution_id)
        plan = Plan(self._graph(found.row), found.initial_context)
        for row, output in self._rows(execution_id):
            plan.record(row.node_id, outcome_of(row, output or {}))
        return plan.context_of(node_id)

    def events(self, execution_id: int) -> list[Row[Any]]:
        """What has happened to an execution beyond its nodes, in its order. Raises NotFound."""
        self.status(execution_id)
        query = select(*ExecutionEvent.__table__.columns).where(ExecutionEvent.execution_id == execution_id)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(ExecutionEvent.id)))

    def verify(self, execution_id: int) -> list[str]:
        """What is wrong with the history of an execution, a sentence each. Raises NotFound."""
        found = self.find(execution_id)
        returned = (ExecutionEvent.execution_id == execution_id, ExecutionEvent.kind.in_(ENDS_OF_CLAIMS))
        with self._database.read() as connection:
            returns = connection.execute(select(func.count()).select_from(ExecutionEvent).where(*returned)).scalar_one()
        execution = found.row
        history = History(
            graph=self._graph(execution),
            status=Status(execution.status),
            lease_token=execution.lease_token,
            lease_owner=execution.lease_owner,
            initial_context=found.initial_context,
            result=found.result,
            rows=[_kept(row, output) for row, output in self._rows(execution_id)],
            returns=returns,
        )
        return [*violations(history), *self._broken_seals(execution)]

    def _broken_seals(self, execution: Row[Any]) -> list[str]:
        its = ChainOfWork.execution_id == execution.id
        with self._database.read() as connection:
            last_seal = connection.execute(select(Execution.last_seal).where(Execution.id == execution.id)).scalar()
            rows = connection.execute(select(*ChainOfWork.__table__.columns).where(its).order_by(ChainOfWork.id)).all()
            return list(broken(connection, execution.task_id, rows, last_seal))

    def count_unsealed(self) -> int:
        with self._database.read() as connection:
            return count_unsealed(connection)

    def _graph(self, row: Row[Any]) -> Graph:
        return self.workflows.graph(row.workflow_id, row.workflow_version, row.subgraph)

    def _rows(self, execution_id: int) -> list[tuple[Row[Any], Context | None]]:
        """The attempts in the order they were written, each with its output."""
        query = select(*ChainOfWork.__table__.columns).where(ChainOfWork.execution_id == execution_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(ChainOfWork.id)).all()
            outputs = fatten(connection, [row.output_result for row in rows])
        return list(zip(rows, outputs, strict=True))

    def _one(self, lookup: Lookup, what: str, which: object) -> Found:
        row = lookup.one_or_none(self._database, which)
        if row is None:
            raise NotFound(what, which)
        initial_context, result = contexts = [row.initial_context, row.result]
        if any(map(names_in, contexts)):
            with self._database.read() as connection:
                initial_context, result = fatten(connection, contexts)
        last = {attempt[0]: NodeState(*attempt) for attempt in row.attempts or ()}
        return Found(row, initial_context or {}, result, list(last.values()))


def _entry(plan: Plan, row: Row[Any], output: Context | None) -> Entry:
    seen = plan.context_of(row.node_id)
    plan.record(row.node_id, outcome_of(row, output or {}))
    return Entry(row, seen, output)


def _kept(row: Row[Any], output: Context | None) -> Kept:
    status = AttemptStatus(row.status)
    error = {"type": row.error_type, "message": row.error_message, "class": row.error_class}
    return Kept(
        row.node_id,
        row.node_type,
        row.attempt,
        status,
        output or {},
        row.decision_result,
        row.lease_token,
        row.origin_attempt_id is not None,
        error,
    )
