"""Workflows and their versions: saved only when they can run, and never changed afterwards."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from src.core.definition import build_graph, inner_definition
from src.core.errors import DefinitionError, DuplicateName, NotFound, Problem, VersionMismatch
from src.core.graph import Graph
from src.core.node import Callee, Kinds
from src.core.outcome import Context, Json
from src.database import Database
from src.json_schema import problems_of_inputs
from src.models import Workflow, WorkflowVersion
from src.models.columns import MAX_ID
from src.runtime.audit import note
from src.runtime.lookup import Lookup

PINNED = Lookup(
    select(Workflow.version, Workflow.initial_context, Workflow.client_id, Workflow.paused_at).where(
        Workflow.id == bindparam("which"), Workflow.archived_at.is_(None)
    )
)
Definition = Mapping[str, Json]
MAX_GRAPHS = 256
"""Versions whose graphs are kept ready to run."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a workflow is to be."""

    name: str
    graph_definition: Definition
    description: str | None = None
    initial_context: Context | None = None
    client_id: int | None = None
    pointer: Callable[[str], str] = lambda native: native
    """Where in the document that the user wrote stands what a pointer into `graph_definition` points to."""
    refused: Sequence[Problem] = ()
    """What this installation does not allow, with pointers into `graph_definition`."""


class Workflows:
    def __init__(self, database: Database, kinds: Kinds) -> None:
        self._database = database
        self._kinds = kinds
        self.graph = lru_cache(MAX_GRAPHS)(self._load_graph)
        """(workflow_id, version, subgraph) -> Graph. Versions are immutable: what was built once stays right."""

    def check(self, draft: Draft) -> Graph:
        """The graph of a draft; raises DefinitionError with everything that is wrong with it."""
        problems: list[Problem] = []
        try:
            graph = build_graph(draft.graph_definition, self._kinds)
        except DefinitionError as error:
            problems += error.problems
        problems += [*draft.refused, *problems_of_inputs(draft.graph_definition)]
        if problems:
            raise DefinitionError(Problem(draft.pointer(found.pointer), found.detail) for found in problems)
        return graph

    def create(self, draft: Draft) -> int:
        """Save version 1 of a new workflow; answers its id.

        Raises:
            DefinitionError, DuplicateName
        """
        self.check(draft)
        now = datetime.now(UTC)
        try:
            with self._database.write("workflow_create") as connection:
                row = insert(Workflow).values(version=1, created_at=now, updated_at=now, **_columns(draft))
                workflow_id: int = connection.execute(row.returning(Workflow.id)).scalar_one()
                _add_version(connection, workflow_id, 1, draft.graph_definition, now)
                note(connection, "workflow.create", f"workflow/{workflow_id}", after=_columns(draft))
        except IntegrityError:
            self._refuse_taken(draft.name)
            raise
        return workflow_id

    def save(self, workflow_id: int, draft: Draft, *, expected_version: int | None) -> int:
        """Save another version; answers its number. Saving what stands there already changes nothing.

        Args:
            expected_version: the one that the draft was made from; None saves over whatever is there.

        Raises:
            DefinitionError, DuplicateName, NotFound, VersionMismatch
        """
        self.check(draft)
        now = datetime.now(UTC)
        try:
            with self._database.write("workflow_save") as connection:
                current = _lock(connection, workflow_id, expected_version)
                columns = _columns(draft)
                if all(_same(getattr(current, name), value) for name, value in columns.items()):
                    return int(current.version)
                version = int(current.version) + 1
                values = {"version": version, "updated_at": now, **columns}
                connection.execute(update(Workflow).where(Workflow.id == workflow_id).values(**values))
                _add_version(connection, workflow_id, version, draft.graph_definition, now)
                was = {name: getattr(current, name) for name in columns}
                note(connection, "workflow.save", f"workflow/{workflow_id}", before=was, after=columns)
        except IntegrityError:
            self._refuse_taken(draft.name)
            raise
        return version

    def keep(self, draft: Draft) -> int:
        """The id of the workflow of this name, at this definition: created, given another version, or left as it is."""
        with suppress(DuplicateName):  # or somebody else has just created it
            return self.create(draft)
        row = self.find_by_name(draft.name)
        kept = replace(draft, client_id=row.client_id, description=draft.description or row.description)
        self.save(row.id, kept, expected_version=None)
        return int(row.id)

    def archive(self, workflow_id: int, *, expected_version: int | None) -> None:
        """Take a workflow out of use; its executions stay. Raises NotFound, VersionMismatch."""
        with self._database.write("workflow_archive") as connection:
            _lock(connection, workflow_id, expected_version)
            row = update(Workflow).where(Workflow.id == workflow_id)
            connection.execute(row.values(archived_at=datetime.now(UTC)))
            note(connection, "workflow.archive", f"workflow/{workflow_id}")

    def find(self, workflow_id: int) -> Any:
        """The row of a workflow that is in use; raises NotFound."""
        return self._one(Workflow.id == workflow_id, workflow_id)

    def pinned(self, workflow_id: int) -> Any:
        """What an execution takes from it: version, initial_context, client_id, paused_at. Raises NotFound."""
        row = PINNED.one_or_none(self._database, workflow_id)
        if row is None:
            raise NotFound("workflow", workflow_id)
        return row

    def client_of(self, workflow_id: int) -> int | None:
        """The client of a workflow, in use or archived; None for none of either."""
        with self._database.read() as connection:
            return connection.execute(select(Workflow.client_id).where(Workflow.id == workflow_id)).scalar()

    def find_by_name(self, name: str) -> Any:
        return self._one(Workflow.name == name, name)

    def callee(self, which: int | str) -> Callee:
        """A workflow as a node of another one calls it. Raises NotFound."""
        row = self.find(which) if isinstance(which, int) else self.find_by_name(which)
        queue = self.graph(row.id, row.version, None).policy.queue
        return Callee(row.id, row.version, row.initial_context or {}, queue, row.client_id)

    def unknown(self, which: Collection[int | str], client_id: int | None = None) -> set[int | str]:
        """Those of some names and ids that no workflow in use has, as far as a run for this client can see them."""
        ids = [each for each in which if isinstance(each, int) and 0 < each <= MAX_ID]
        names = [each for each in which if isinstance(each, str)]
        query = select(Workflow.id, Workflow.name).where(
            Workflow.archived_at.is_(None), or_(Workflow.id.in_(ids), Workflow.name.in_(names))
        )
        if client_id is not None:
            query = query.where(or_(Workflow.client_id.is_(None), Workflow.client_id == client_id))
        with self._database.read() as connection:
            found = connection.execute(query).all() if which else []
        return set(which) - {row.id for row in found} - {row.name for row in found}

    def page(self, *, limit: int, skip: int, client_id: int | None = None) -> tuple[list[Any], int]:
        """A page of the workflows in use (of one client), newest first, and how many there are."""
        own = () if client_id is None else (Workflow.client_id == client_id,)
        in_use = and_(Workflow.archived_at.is_(None), *own)
        with self._database.read() as connection:
            page = select(*Workflow.__table__.columns).where(in_use).order_by(Workflow.id.desc())
            rows = connection.execute(page.limit(limit).offset(skip)).all()
            total: int = connection.execute(select(func.count()).select_from(Workflow).where(in_use)).scalar_one()
        return list(rows), total

    def versions(self, workflow_id: int) -> list[Any]:
        """Every version of a workflow in use, newest first."""
        self.find(workflow_id)
        query = select(*WorkflowVersion.__table__.columns).where(WorkflowVersion.workflow_id == workflow_id)
        with self._database.read() as connection:
            return list(connection.execute(query.order_by(WorkflowVersion.version.desc())))

    def _one(self, condition: Any, which: object) -> Any:
        query = select(*Workflow.__table__.columns).where(condition, Workflow.archived_at.is_(None))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("workflow", which)
        return row

    def _refuse_taken(self, name: str) -> None:
        query = select(Workflow.id).where(Workflow.name == name, Workflow.archived_at.is_(None))
        with self._database.read() as connection:
            if connection.execute(query).first():
                raise DuplicateName(name)

    def definition(self, workflow_id: int, version: int, subgraph: str | None = None) -> Definition:
        """A version in native form, or the graph inside one. Raises NotFound."""
        query = select(WorkflowVersion.graph_definition).where(
            WorkflowVersion.workflow_id == workflow_id, WorkflowVersion.version == version
        )
        with self._database.read() as connection:
            definition = connection.execute(query).scalar()
        if definition is None:
            raise NotFound(f"version {version} of workflow", workflow_id)
        return inner_definition(definition, subgraph or "")

    def _load_graph(self, workflow_id: int, version: int, subgraph: str | None = None) -> Graph:
        return build_graph(self.definition(workflow_id, version, subgraph), self._kinds)


def _columns(draft: Draft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "description": draft.description,
        "graph_definition": draft.graph_definition,
        "initial_context": draft.initial_context,
        "client_id": draft.client_id,
    }


def _same(a: Json, b: Json) -> bool:
    """To the letter: for Python 1, 1.0 and True are equal."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def _add_version(connection: Connection, workflow_id: int, version: int, definition: Definition, now: datetime) -> None:
    sha256 = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    values = {"workflow_id": workflow_id, "version": version, "sha256": sha256, "created_at": now}
    connection.execute(insert(WorkflowVersion).values(graph_definition=definition, **values))


def _lock(connection: Connection, workflow_id: int, expected_version: int | None) -> Any:
    """The row of a workflow in use, held until the transaction ends."""
    in_use = (Workflow.id == workflow_id, Workflow.archived_at.is_(None))
    row = connection.execute(select(*Workflow.__table__.columns).where(*in_use).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("workflow", workflow_id)
    if expected_version not in (None, row.version):
        raise VersionMismatch(row.version)
    return row
