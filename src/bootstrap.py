"""The only file that plugs the parts together."""

import importlib
import importlib.util
import inspect
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from src.core.engine import GraphEngine, NodeChange
from src.core.errors import DefinitionError, NotReady, Problem, ValueRefused
from src.core.failpoint import arm
from src.core.values import plain_object
from src.database import Database, check_schema, prepare
from src.formats import Definition, read_definition
from src.nodes import InstalledKinds
from src.nodes.config import Registered
from src.nodes.policy import CodePolicy
from src.runtime.clients import Clients
from src.runtime.dispatcher import Dispatcher
from src.runtime.executions import Executions
from src.runtime.leases import Leases, recover
from src.runtime.ledger import Ledger
from src.runtime.presence import Presence
from src.runtime.store import SqlStore
from src.runtime.workflows import Draft, Workflows
from src.sandbox.executor import Level
from src.sandbox.sandbox import Sandbox
from src.sandbox.server_process import Installation
from src.sandbox.slots import usual_count
from src.settings import Settings

VERSION = "0.1.0"
MAX_NAME = 200

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Nova:
    """The wired parts of one process. Nothing is connected, created or started before `start`."""

    settings: Settings
    database: Database
    kinds: InstalledKinds
    sandbox: Sandbox
    policy: CodePolicy
    workflows: Workflows
    executions: Executions
    dispatcher: Dispatcher
    _leases: Leases
    _ledger: Ledger
    _node_threads: ThreadPoolExecutor
    _presence: Presence

    def open(self) -> None:
        """Make ready to look: the schema fits. Raises NotReady with what to do."""
        prepare(self.database)

    def start(self) -> None:
        """Make ready to run: the schema fits, and what a dead process of this machine held is free again.

        Raises:
            NotReady: with what to do.
        """
        self.open()
        self._presence.enter(lambda: recover(self.database, alive=self._leases.owner))
        if self.settings.is_exposed:
            logger.warning("Others can reach this server and it asks for no key: put it behind a proxy that does.")

    def check(self) -> None:
        """Raises NotReady where the database does not answer or has another schema."""
        check_schema(self.database)

    def read_draft(self, document: object, *, name: str | None = None) -> tuple[Draft, Sequence[Problem]]:
        """A draft from a document in any accepted form, and what was read in another sense than it was written.

        Args:
            name: for a document that names itself nothing.

        Raises:
            DefinitionError, ValueRefused: with pointers into the document.
        """
        plain = plain_object(document, max_bytes=self.settings.max_body_bytes)
        definition = read_definition(plain)
        self._refuse_what_cannot_be_kept(definition)
        name = definition.name or name
        if not name or len(name) > MAX_NAME or not name.strip():
            raise DefinitionError([Problem("/name", f"expected a name of 1 to {MAX_NAME} characters")])
        draft = Draft(
            name,
            definition.graph,
            definition.description,
            definition.initial_context,
            pointer=definition.pointer,
            refused=tuple(self.policy.problems(definition.graph)),
        )
        return draft, (*definition.warnings, *_located(definition, self.policy.warnings(definition.graph)))

    def _refuse_what_cannot_be_kept(self, definition: Definition) -> None:
        """React Flow's graphs may come as text within the document, which the first look does not see into."""
        try:
            plain_object(definition.graph, max_bytes=2 * self.settings.max_body_bytes)
        except ValueRefused as refused:
            raise ValueRefused(_located(definition, refused.problems)) from None

    def recover(self) -> list[int]:
        """Free the executions whose runner has let its lease run out; answers all that wait to be run."""
        recover(self.database)
        return self.executions.queued()

    def expose(self) -> None:
        """Others have reached the server: from now on no code runs without walls, unless the operator has said so."""
        if self.settings.sandbox_min_level is None:
            self.sandbox.require(Level.SECCOMP)

    def close(self) -> None:
        self.dispatcher.close()
        self._node_threads.shutdown()
        self._leases.close()
        self._ledger.close()
        self.sandbox.close()
        self._presence.leave()
        self.database.close()


def build(settings: Settings, *, watch: Callable[[NodeChange], None] = lambda _: None) -> Nova:
    """Plug the parts together. Opens nothing."""
    if settings.failpoint:
        arm(settings.failpoint)
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    sandbox = _sandbox(settings)
    kinds = InstalledKinds(sandbox, load_functions(settings.nova_functions))
    workflows = Workflows(database, kinds)
    leases = Leases(database, owner=_owner(), seconds=settings.lease_seconds)
    ledger = Ledger(database, lease_seconds=settings.lease_seconds, patience_seconds=settings.database_patience_seconds)
    store = SqlStore(database, ledger, leases, workflows.graph)
    node_threads = ThreadPoolExecutor(2 * settings.inline_threads, thread_name_prefix="node")
    engine = GraphEngine(
        store,
        kinds,
        threads=node_threads,
        node_concurrency=settings.node_concurrency,
        max_output_bytes=settings.max_output_bytes,
        watch=watch,
    )
    executions = Executions(
        database, store, engine, workflows, Clients(database), max_context_bytes=settings.max_context_bytes
    )
    dispatcher = Dispatcher(threads=settings.inline_threads, backlog=settings.inline_backlog)
    return Nova(
        settings=settings,
        database=database,
        kinds=kinds,
        sandbox=sandbox,
        policy=_policy(settings),
        workflows=workflows,
        executions=executions,
        dispatcher=dispatcher,
        _leases=leases,
        _ledger=ledger,
        _node_threads=node_threads,
        _presence=Presence(database),
    )


def load_functions(modules: list[str]) -> dict[str, Registered]:
    """The public functions that the modules define, by name.

    Raises:
        NotReady: a module cannot be imported, or two of them define the same name.
    """
    functions: dict[str, Registered] = {}
    for name in modules:
        try:
            module = importlib.import_module(name)
        except (ImportError, TypeError, ValueError) as error:  # the last two: a relative name, an empty one
            raise NotReady(f"NOVA_FUNCTIONS names {name!r}, which cannot be imported: {error}") from None
        for function_name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or function_name.startswith("_"):
                continue
            if function_name in functions:
                raise NotReady(f"NOVA_FUNCTIONS: {function_name!r} of {name} is defined in an earlier module too")
            functions[function_name] = function
    return functions


def find_packages(names: Iterable[str]) -> dict[str, str]:
    """Where the packages are that code may import: name -> the folder that holds it. Those that are installed."""
    found = {}
    for name in names:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec and spec.origin:
            found[name] = str(Path(spec.origin).parents[1 if spec.submodule_search_locations else 0])
    return found


def _sandbox(settings: Settings) -> Sandbox:
    installation = Installation(find_packages(settings.packages), settings.network_ports)
    return Sandbox(installation, slots=settings.sandbox_slots or usual_count(), least=settings.min_level)


def _policy(settings: Settings) -> CodePolicy:
    return CodePolicy(
        network=bool(settings.network_ports),
        max_memory_mb=settings.sandbox_max_memory_mb,
        max_timeout_seconds=settings.sandbox_max_timeout_seconds,
    )


def _located(definition: Definition, problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a graph, with pointers into the document that was read."""
    return [Problem(definition.pointer(each.pointer), each.detail) for each in problems]


def _owner() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
