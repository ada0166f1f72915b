"""The parts of one process, and what it does with them as a whole. How they are plugged is in `bootstrap.py`."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from src.core.errors import DefinitionError, Problem, ValueRefused
from src.core.values import plain_object
from src.database import Database, check_schema, prepare
from src.formats import Definition, read_definition
from src.nodes.calling import called_by
from src.nodes.policy import CodePolicy
from src.nodes.workshop import InstalledWorkshop
from src.runtime.audit import Audit
from src.runtime.clients import Clients
from src.runtime.control import Control
from src.runtime.credentials import Vault
from src.runtime.dispatcher import Dispatcher
from src.runtime.drain import Drain
from src.runtime.executions import Executions
from src.runtime.keys import Keys
from src.runtime.leases import Leases, recover
from src.runtime.ledger import Ledger
from src.runtime.live.parts import Live
from src.runtime.metrics import Metrics
from src.runtime.presence import Presence
from src.runtime.processes import Processes
from src.runtime.queue import Queue
from src.runtime.reruns import Reruns
from src.runtime.reviews import Reviews
from src.runtime.run_pool import RunPool
from src.runtime.schedules import Schedules
from src.runtime.stats import Stats
from src.runtime.store import SqlStore
from src.runtime.sweeper import Sweeper
from src.runtime.wakes import Wakes
from src.runtime.workers import Workers
from src.runtime.workflows import Draft, Workflows
from src.sandbox.executor import Level
from src.sandbox.sandbox import Sandbox
from src.settings import Settings
from src.triggers.checks import Triggers

VERSION = "0.1.0"
MAX_NAME = 200
MAX_LOOKED_UP = 1_000
"""Calls of a definition that are looked up when it is read."""


class Role(StrEnum):
    """What a process is there for."""

    WEB = "web"
    WORKER = "worker"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Running:
    """The parts that run executions, and that hold them meanwhile."""

    store: SqlStore
    dispatcher: Dispatcher
    inline: RunPool
    """The threads of the runs inside requests."""
    background: RunPool
    node_threads: ThreadPoolExecutor
    leases: Leases
    ledger: Ledger

    def close(self) -> None:
        """What runs goes on to its end, and is held and kept until then."""
        self.dispatcher.close()
        self.background.close()
        self.node_threads.shutdown()
        self.leases.close()
        self.ledger.close()


@dataclass(frozen=True, slots=True)
class Nova:
    """The wired parts of one process. Nothing is connected, created or started before `start`."""

    settings: Settings
    database: Database
    processes: Processes
    drain: Drain
    queue: Queue
    workers: Workers | None
    """None where the switch is off."""
    workflows: Workflows
    workshop: InstalledWorkshop
    sandbox: Sandbox
    policy: CodePolicy
    dispatcher: Dispatcher
    clients: Clients
    executions: Executions
    reruns: Reruns
    schedules: Schedules
    control: Control
    reviews: Reviews
    vault: Vault
    keys: Keys
    audit: Audit
    stats: Stats
    triggers: Triggers
    metrics: Metrics
    live: Live
    sweeper: Sweeper
    _running: Running
    _wakes: Wakes
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
        self.vault.check()
        self._presence.enter(lambda: recover(self.database, alive=self._running.leases.owner))

    def serve(self, *, sweep: bool = True) -> None:
        """Likewise, to stay: take what is queued, and be ready to be told that the process is about to end."""
        self.start()
        self.keys.say_who_may_come_in(asks_for_keys=self.settings.asks_for_keys)
        self.drain.watch(announce=self.processes.leave, give_up=self._give_up)
        if sweep:
            self.sweeper.start()

    def check(self) -> None:
        """Raises NotReady where the database does not answer or has another schema."""
        check_schema(self.database)

    def read_draft(
        self, document: object, *, name: str | None = None, client_id: int | None = None
    ) -> tuple[Draft, Sequence[Problem]]:
        """A draft from a document in any accepted form, and what was read in another sense than it was written.

        Args:
            name: for a document that names itself nothing.
            client_id: whose workflow it is to be.

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
            client_id,
            pointer=definition.pointer,
            refused=tuple(self.policy.problems(definition.graph)),
        )
        found = [*self.policy.warnings(definition.graph), *self._calls_to_nobody(draft)]
        return draft, (*definition.warnings, *_located(definition, found))

    def _calls_to_nobody(self, draft: Draft) -> Iterator[Problem]:
        """No problem: the workflow that is called may be saved after the one that calls it."""
        calls = [call for call in islice(called_by(draft.graph_definition), MAX_LOOKED_UP) if call[1] != draft.name]
        unknown = self.workflows.unknown({which for _, which in calls}, draft.client_id)
        for pointer, which in calls:
            if which in unknown:
                yield Problem(pointer, f"there is no workflow {which!r}: until there is one, this node fails")

    def _refuse_what_cannot_be_kept(self, definition: Definition) -> None:
        """React Flow's graphs may come as text within the document, which the first look does not see into."""
        try:
            plain_object(definition.graph, max_bytes=2 * self.settings.max_body_bytes)
        except ValueRefused as refused:
            raise ValueRefused(_located(definition, refused.problems)) from None

    def recover(self) -> list[int]:
        """Free the executions whose runner has let its lease run out; answers all that wait to be run."""
        recover(self.database)
        self._wakes.wake_due()
        return self.executions.queued()

    def expose(self) -> None:
        """Others have reached the server: from now on no code runs without walls, unless the operator has said so."""
        if self.settings.sandbox_min_level is None:
            self.sandbox.require(Level.SECCOMP)

    def _give_up(self) -> None:
        """This process is about to end: what still runs here is another's to do, at once."""
        self.queue.ring(*self._running.leases.give_up())

    def close(self) -> None:
        self.sweeper.close()
        self._running.close()
        self.live.close()
        self.sandbox.close()
        self.metrics.figures.flush()
        self._presence.leave()
        self.database.close()


def _located(definition: Definition, problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a graph, with pointers into the document that was read."""
    return [Problem(definition.pointer(each.pointer), each.detail) for each in problems]
