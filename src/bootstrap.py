"""The only file that plugs the parts together."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src.core.engine import GraphEngine, NodeChange
from src.core.failpoint import arm
from src.core.slice import Place
from src.core.status import Mode
from src.database import Database
from src.extensions import find_packages, load_functions
from src.logs import keep_out_of_logs
from src.nodes import InstalledKinds
from src.nodes.policy import CodePolicy
from src.nodes.workshop import InstalledWorkshop
from src.nova import Nova, Role, Running
from src.outside.breaker import Breakers
from src.outside.outside import Outside
from src.runtime.audit import Audit
from src.runtime.bells import FallbackBell, LocalBell, Silence
from src.runtime.children import Children
from src.runtime.clients import Clients
from src.runtime.control import Control
from src.runtime.credentials import Vault
from src.runtime.dispatcher import Dispatcher, Turn
from src.runtime.drain import Drain
from src.runtime.executions import Executions
from src.runtime.figures import Figures
from src.runtime.firing import Firing
from src.runtime.forecast import Forecast
from src.runtime.housekeeping import Housekeeping
from src.runtime.keyring import Keyring
from src.runtime.keys import Keys
from src.runtime.leases import Leases, recover
from src.runtime.ledger import Ledger
from src.runtime.legacies import Legacies
from src.runtime.live.parts import Live, make_live
from src.runtime.live.signals import Signals
from src.runtime.metrics import Metrics
from src.runtime.presence import Presence
from src.runtime.processes import Processes, own_name
from src.runtime.queue import MAX_RUNG, Bell, Queue
from src.runtime.reruns import Reruns
from src.runtime.reviews import Reviews
from src.runtime.run_pool import RunPool
from src.runtime.schedules import Schedules
from src.runtime.stats import Stats
from src.runtime.store import SqlStore
from src.runtime.sweeper import Sweeper
from src.runtime.switch import Switch, make_switch
from src.runtime.tally import Tally, gauges_of
from src.runtime.trigger_checks import recent_checks
from src.runtime.wakes import Wakes
from src.runtime.workers import Workers
from src.runtime.workflows import Workflows
from src.sandbox.e2b import rented
from src.sandbox.sandbox import Sandbox
from src.sandbox.server_process import Installation
from src.sandbox.slots import usual_count, usual_kept
from src.settings import Settings
from src.triggers.checks import Triggers

if TYPE_CHECKING:
    from src.runtime.broker import Broker

MODES = {Role.WEB: Mode.BACKGROUND, Role.WORKER: Mode.CELERY, Role.COMMAND: Mode.INLINE}
"""How an execution runs that such a process takes out of the queue."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the parts of a process stand on, and whom they tell of what they do."""

    settings: Settings
    role: Role
    database: Database
    tally: Tally
    signals: Signals
    leases: Leases
    processes: Processes
    drain: Drain
    switch: Switch


@dataclass(frozen=True, slots=True)
class _Queueing:
    """What waits for a runner, and what brings it there."""

    queue: Queue
    wakes: Wakes
    here: LocalBell


@dataclass(frozen=True, slots=True)
class _Nodes:
    """What workflows consist of, and where that runs."""

    workflows: Workflows
    workshop: InstalledWorkshop
    sandbox: Sandbox
    outside: Outside


def build(
    settings: Settings, role: Role = Role.COMMAND, *, watch: Callable[[NodeChange], None] = lambda _: None
) -> Nova:
    """Plug the parts together, each after those that it needs. Opens nothing."""
    _prepare_process(settings)
    ground = _ground(settings, role, watch)
    database, switch, changed = ground.database, ground.switch, ground.signals.changed
    clients, vault = Clients(database), Vault(database, Keyring(settings.credential_keys, database.url))
    queueing = _queueing(ground)
    queue, wakes = queueing.queue, queueing.wakes
    nodes = _nodes(ground)
    running = _running(ground, queueing, nodes, vault)
    queueing.here.answer_with(running.dispatcher.take)  # the circle: what runs wakes others, who are rung for, and run
    executions = Executions(database, nodes.workflows, clients, max_context_bytes=settings.max_context_bytes)
    live = _live(ground)
    return Nova(
        settings=settings,
        database=database,
        processes=ground.processes,
        drain=ground.drain,
        queue=queue,
        workers=Workers(database, queue, ground.processes, switch.count_answers) if switch.is_on else None,
        workflows=nodes.workflows,
        workshop=nodes.workshop,
        sandbox=nodes.sandbox,
        policy=_policy(settings),
        dispatcher=running.dispatcher,
        clients=clients,
        executions=executions,
        reruns=Reruns(
            database, executions, Legacies(database, nodes.workflows), running.store, queue, switch.queued_as, changed
        ),
        schedules=Schedules(database, executions, credentials_of=vault.of_client),
        control=_control(ground, queueing),
        reviews=_reviews(ground, wakes, vault),
        vault=vault,
        keys=Keys(database, settings.nova_api_key.get_secret_value(), settings.cookie_secret),
        audit=Audit(database),
        stats=Stats(database),
        triggers=Triggers(database, settings.platform, recent_checks, workers_are_on=switch.is_on),
        metrics=_metrics(ground, queueing, nodes.outside, running, live),
        live=live,
        sweeper=_sweeper(ground, queueing, _firing(ground, executions, running.store, queue)),
        _running=running,
        _wakes=wakes,
        _presence=Presence(database),
    )


def _prepare_process(settings: Settings) -> None:
    keep_out_of_logs(settings.secrets)
    if settings.failpoint:
        arm(settings.failpoint)


def _ground(settings: Settings, role: Role, watch: Callable[[NodeChange], None]) -> _Ground:
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    tally = Tally(database, Figures(database))
    leases = Leases(database, owner=own_name(), seconds=settings.lease_seconds)
    return _Ground(
        settings,
        role,
        database,
        tally,
        Signals(watch),
        leases,
        Processes(database, own_id=leases.owner, role=role, gauges=tally.figures.now),
        Drain(grace_seconds=settings.shutdown_grace_seconds),
        make_switch(broker_of(settings, settings.broker_url) if settings.broker_url else None),
    )


def _queueing(ground: _Ground) -> _Queueing:
    background = RunPool(threads=ground.settings.background_threads, backlog=MAX_RUNG, name="background")
    here = LocalBell(background, is_open=ground.drain.is_not_begun)
    queue = Queue(ground.database, _bell(ground, here))
    children = Children(ground.database, queue, ground.leases.lose, ground.signals.changed)
    return _Queueing(queue, Wakes(ground.database, queue, children), here)


def _bell(ground: _Ground, here: Bell) -> Bell:
    """Who hears of what is queued: the workers, this process, or nobody where a command runs what it runs itself."""
    workers = ground.switch.bell()
    if workers is None:
        return Silence() if ground.role is Role.COMMAND else here
    if ground.role is not Role.WEB or ground.settings.queue_fallback == "wait":
        return workers
    return FallbackBell(workers, here, are_there_workers=ground.processes.are_there_workers)


def _nodes(ground: _Ground) -> _Nodes:
    sandbox, outside = _sandbox(ground.settings, ground.tally.spawned), _outside(ground.settings)
    functions = load_functions(ground.settings.nova_functions)
    workflows = Workflows(ground.database, InstalledKinds(functions))
    return _Nodes(workflows, InstalledWorkshop(sandbox, functions, outside, workflows.callee), sandbox, outside)


def _sandbox(settings: Settings, spawned: Callable[[float], None]) -> Sandbox:
    installation = Installation(find_packages(settings.sandbox_packages), settings.sandbox_network_ports)
    kept = usual_kept() if settings.sandbox_kept is None else settings.sandbox_kept
    slots = settings.sandbox_slots or usual_count()
    elsewhere = rented(settings.e2b_api_key) if settings.code_executor == "e2b" else None
    least = settings.min_level
    return Sandbox(installation, slots=slots, least=least, kept=kept, spawned=spawned, elsewhere=elsewhere)


def _outside(settings: Settings) -> Outside:
    return Outside(
        settings.allowed,
        settings.outbound_ports,
        settings.outbound_max_bytes,
        Breakers(failures=settings.outbound_breaker_failures, open_seconds=settings.outbound_breaker_seconds),
        settings.models,
        settings.sql_sqlite_folder,
    )


def _policy(settings: Settings) -> CodePolicy:
    return CodePolicy(
        network=bool(settings.sandbox_network_ports),
        max_memory_mb=settings.sandbox_max_memory_mb,
        max_timeout_seconds=settings.sandbox_max_timeout_seconds,
    )


def _running(ground: _Ground, queueing: _Queueing, nodes: _Nodes, vault: Vault) -> Running:
    settings = ground.settings
    patience_seconds = settings.database_patience_seconds
    ledger = Ledger(ground.database, lease_seconds=settings.lease_seconds, patience_seconds=patience_seconds)
    store = _store(ground, ledger, nodes.workflows, queueing.wakes, vault)
    node_threads = ThreadPoolExecutor(2 * settings.inline_threads, thread_name_prefix="node")
    engine = _engine(ground, store, nodes.workshop, node_threads)
    inline = RunPool(threads=settings.inline_threads, backlog=settings.inline_backlog)
    dispatcher = _dispatcher(ground, store, engine, queueing.queue, inline)
    return Running(store, dispatcher, inline, queueing.here.pool, node_threads, ground.leases, ledger)


def _store(ground: _Ground, ledger: Ledger, workflows: Workflows, wakes: Wakes, vault: Vault) -> SqlStore:
    return SqlStore(
        ground.database,
        ledger,
        ground.leases,
        workflows.graph,
        mode=MODES[ground.role],
        credentials_of=vault.of_client,
        settled=wakes.settled,
        signals=ground.signals,
        tend=wakes.children.tend,
        tally=ground.tally,
    )


def _engine(
    ground: _Ground, store: SqlStore, workshop: InstalledWorkshop, node_threads: ThreadPoolExecutor
) -> GraphEngine:
    return GraphEngine(
        store,
        workshop,
        threads=node_threads,
        node_concurrency=ground.settings.node_concurrency,
        max_output_bytes=ground.settings.max_output_bytes,
        watch=ground.signals.watch,
    )


def _dispatcher(ground: _Ground, store: SqlStore, engine: GraphEngine, queue: Queue, inline: RunPool) -> Dispatcher:
    settings = ground.settings
    place: Place = "worker" if ground.role is Role.WORKER else "anywhere"
    return Dispatcher(
        store,
        engine,
        queue,
        inline,
        forecast=Forecast(ground.database),
        drain=ground.drain,
        turn=Turn(settings.slice_seconds, settings.slice_nodes, place),
        queued_as=ground.switch.queued_as,
        hops=ground.switch.is_on,
    )


def _firing(ground: _Ground, executions: Executions, store: SqlStore, queue: Queue) -> Firing:
    return Firing(
        ground.database,
        executions.workflows,
        executions,
        store,
        queue,
        queued_as=ground.switch.queued_as,
        announce=ground.signals.changed,
    )


def _control(ground: _Ground, queueing: _Queueing) -> Control:
    return Control(
        ground.database,
        queueing.queue,
        ground.leases.lose,
        ground.signals.changed,
        child_ended=queueing.wakes.child_ended,
        stopped=ground.tally.stopped,
    )


def _reviews(ground: _Ground, wakes: Wakes, vault: Vault) -> Reviews:
    max_bytes = ground.settings.max_output_bytes
    return Reviews(ground.database, wakes, max_output_bytes=max_bytes, credentials_of=vault.of_client)


def _sweeper(ground: _Ground, queueing: _Queueing, firing: Firing) -> Sweeper:
    settings, database = ground.settings, ground.database
    duties: dict[str, Callable[[], object]] = {
        "processes": ground.processes.beat,
        "leases": lambda: ground.tally.recovered(recover(database)),
        "wakes": queueing.wakes.wake_due,
        "schedules": firing.fire_due,
        "queue": queueing.queue.ring_due,
        "housekeeping": Housekeeping(database, settings.keep_runs_days, settings.keep_events_days).tidy,
    }
    return Sweeper(duties, seconds=settings.sweep_seconds, told=ground.tally.swept)


def _live(ground: _Ground) -> Live:
    return make_live(
        ground.database,
        ground.signals,
        redis_url=ground.settings.broker_url,
        verify_tls=ground.settings.verifies_tls,
        owner=ground.leases.owner,
        is_over=ground.drain.is_begun,
    )


def _metrics(ground: _Ground, queueing: _Queueing, outside: Outside, running: Running, live: Live) -> Metrics:
    gauges = gauges_of(ground.database, running.inline, running.background, live.hub)
    gauges["circuits_open"] = outside.breakers.count_open
    return Metrics(ground.database, queueing.queue, ground.tally.figures, gauges)


def broker_of(settings: Settings, url: str) -> "Broker":
    from src.runtime.broker import Broker  # noqa: PLC0415

    return Broker(
        url,
        result_backend=settings.celery_result_backend or None,
        result_expires_seconds=settings.celery_result_expires_seconds,
        verify_tls=settings.verifies_tls,
        soft_limit_seconds=settings.worker_soft_limit_seconds,
        hard_limit_seconds=settings.worker_hard_limit_seconds,
        shutdown_seconds=settings.shutdown_grace_seconds,
        max_tasks_per_child=settings.worker_max_tasks_per_child,
        queues=settings.worker_queues,
    )
