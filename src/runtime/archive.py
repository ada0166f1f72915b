"""A run as one JSON document, and back: read-only in another Nova, where it shows and verifies, and runs no more."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import IntegrityError

from src.core.errors import NotFound, NotReady
from src.core.status import Status
from src.database import Database
from src.models import Blob, ChainOfWork, Execution, ExecutionEvent, Review, Workflow, WorkflowVersion
from src.models.columns import UtcDateTime
from src.runtime.audit import note
from src.runtime.blobs import names_in

FORMAT = "nova-run/1"
Row = dict[str, Any]
IMPORTED = "imported"
"""The event that marks a run which another Nova has run."""
OF_THE_RUN = {each.__tablename__: each.__table__ for each in (ChainOfWork, ExecutionEvent, Review)}
NOT_TAKEN_ALONG = (
    "client_id", "parent_id", "parent_node_id", "parent_item", "origin_id", "origin_node_id", "schedule_id", "fire_at",
    "idempotency_key", "request_sha256", "lease_owner", "lease_until",
    "wake_at", "queued_at", "rung_at", "requested",
)  # fmt: skip
"""What an execution says of others, that are not in the other Nova, and of its way to a runner."""


class Archive:
    def __init__(self, database: Database) -> None:
        self._database = database

    def export(self, execution_id: int) -> Row:
        """Raises NotFound, NotReady where the run has not ended."""
        with self._database.read() as connection:
            found = _rows(connection, Execution.__table__, Execution.id == execution_id)
            if not found:
                raise NotFound("execution", execution_id)
            [execution] = found
            if execution["completed_at"] is None:
                raise NotReady(f"Execution {execution_id} has not ended: only what is over can be exported.")
            workflow = _workflow(connection, execution)
            own = {
                name: _rows(connection, table, table.c.execution_id == execution_id)
                for name, table in OF_THE_RUN.items()
            }
            blobs = _rows(connection, Blob.__table__, Blob.sha256.in_(_names(execution, own)))
        run: Row = {"format": FORMAT, "workflow": workflow, "execution": execution}
        document: Row = json.loads(json.dumps(run | own | {"blobs": blobs}, default=datetime.isoformat))
        return document

    def take_in(self, document: Mapping[str, Any]) -> int:
        """The id of the execution here. Its task id and its seals stay what they were.

        Raises:
            NotReady: it is none of ours, or is here already.
        """
        if document.get("format") != FORMAT:
            raise NotReady(f"This is not an exported run: expected a document of format {FORMAT}.")
        try:
            with self._database.write("import") as connection:
                return _write(connection, document)
        except IntegrityError:
            raise NotReady(f"The run {document['execution']['task_id']} is here already.") from None
        except (KeyError, TypeError, ValueError) as error:
            raise NotReady(f"The exported run cannot be read: {type(error).__name__}: {error}") from None


def _write(connection: Connection, document: Mapping[str, Any]) -> int:
    execution = {key: value for key, value in document["execution"].items() if key not in NOT_TAKEN_ALONG}
    if not (Status(execution["status"]).is_final and execution["completed_at"]):  # somebody here would drive it
        raise ValueError("it has not ended")
    execution |= _add_workflow(connection, document["workflow"])
    execution_id = _add(connection, Execution.__table__, execution)
    for name, table in OF_THE_RUN.items():
        for row in document[name]:
            _add(connection, table, row | {"execution_id": execution_id})
    there = set(connection.execute(select(Blob.sha256)).scalars()) if document["blobs"] else set()
    for blob in document["blobs"]:
        if blob["sha256"] not in there:
            connection.execute(insert(Blob).values(**_read(Blob.__table__, blob)))
    mark = {"execution_id": execution_id, "kind": IMPORTED, "at": datetime.now(UTC)}
    connection.execute(insert(ExecutionEvent).values(**mark))
    note(connection, "execution.import", f"execution/{execution_id}")
    return execution_id


def _workflow(connection: Connection, execution: Row) -> Row:
    """Its name, and the version by which the run went."""
    workflow_id, number = execution["workflow_id"], execution["workflow_version"]
    which = (WorkflowVersion.workflow_id == workflow_id, WorkflowVersion.version == number)
    [version] = _rows(connection, WorkflowVersion.__table__, *which)
    name = connection.execute(select(Workflow.name).where(Workflow.id == workflow_id)).scalar_one()
    return {"name": name, "version": version}


def _add_workflow(connection: Connection, workflow: Mapping[str, Any]) -> Row:
    """A workflow out of use, that holds the version by which the run went."""
    version = _read(WorkflowVersion.__table__, workflow["version"])
    at, graph = version["created_at"], version["graph_definition"]
    row = {"name": f"{workflow['name']} (imported)", "version": version["version"], "graph_definition": graph}
    row |= {"created_at": at, "updated_at": at, "archived_at": at}
    workflow_id: int = connection.execute(insert(Workflow).values(**row).returning(Workflow.id)).scalar_one()
    connection.execute(insert(WorkflowVersion).values(**version | {"workflow_id": workflow_id}))
    return {"workflow_id": workflow_id, "workflow_version": version["version"]}


def _add(connection: Connection, table: Any, row: Row) -> int:
    row = {key: value for key, value in row.items() if key != "id"}
    added: int = connection.execute(insert(table).values(**_read(table, row)).returning(table.c.id)).scalar_one()
    return added


def _rows(connection: Connection, table: Any, *which: Any) -> list[Row]:
    query = select(table).where(*which)
    if "id" in table.c:
        query = query.order_by(table.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def _read(table: Table | Any, row: Mapping[str, Any]) -> Row:
    """The row with its moments as moments, and of the columns that there are here."""
    return {
        name: datetime.fromisoformat(value)
        if value is not None and isinstance(table.c[name].type, UtcDateTime)
        else value
        for name, value in row.items()
        if name in table.c
    }


def _names(execution: Row, own: Mapping[str, list[Row]]) -> set[str]:
    contexts = [execution["initial_context"], execution["result"]]
    contexts += [row["output_result"] for row in own["chain_of_work"]] + [row["output"] for row in own["reviews"]]
    return {name for context in contexts for name in names_in(context)}
