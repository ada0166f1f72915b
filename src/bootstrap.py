"""The only file that plugs the parts together."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from src.core.engine import GraphEngine, NodeChange
from src.core.failpoint import arm
from src.core.status import Mode
from src.database import Database
from src.extensions import find_packages, load_functions
from src.logs import keep_out_of_logs
from src.nodes import InstalledKinds
from src.nodes.policy import CodePolicy
from src.nova import Nova, Role
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
from src.runtime.live.parts import make_live
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
    from celery import Celery

    from src.runtime.broker import Broker

MODES = {Role.WEB: Mode.BACKGROUND, Role.WORKER: Mode.CELERY, Role.COMMAND: Mode.INLINE}
"""How an execution runs that such a process takes out of the queue."""


def build(
    settings: Settings, role: Role = Role.COMMAND, *, watch: Callable[[NodeChange], None] = lambda _: None
) -> Nova:
    """Plug the parts together. Opens nothing."""
    _prepare_process(settings)
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    tally = Tally(database, Figures(database))
    sandbox = _sandbox(settings, tally.spawned)
    outside = _outside(settings)
    kinds = InstalledKinds(
        sandbox,
        load_functions(settings.nova_functions),
        lambda _: outside.bridge,
        outside,
        find_workflow=lambda which: workflows.callee(which),  # noqa: PLW0108 -- these two know each other
    )
    workflows = Workflows(database, kinds)
    clients, vault = Clients(database), Vault(database, Keyring(settings.credential_keys, database.url))
    leases = Leases(database, owner=own_name(), seconds=settings.lease_seconds)
    ledger = Ledger(database, lease_seconds=settings.lease_seconds, patience_seconds=settings.database_patience_seconds)
    signals = Signals(watch)
    store = SqlStore(
        database,
        ledger,
        leases,
        workflows.graph,
        mode=MODES[role],
        credentials_of=vault.of_client,
        settled=lambda claim, verdict: wakes.settled(claim, verdict),  # noqa: PLW0108 -- it is made further down
        signals=signals,
        tend=lambda parent_id: wakes.children.tend(parent_id),  # noqa: PLW0108
        tally=tally,
    )
    node_threads = ThreadPoolExecutor(2 * settings.inline_threads, thread_name_prefix="node")
    engine = GraphEngine(
        store,
        kinds,
        threads=node_threads,
        node_concurrency=settings.node_concurrency,
        max_output_bytes=settings.max_output_bytes,
        watch=signals.watch,
    )
    processes = Processes(database, own_id=leases.owner, role=role, gauges=tally.figures.now)
    drain = Drain(
        grace_seconds=settings.shutdown_grace_seconds,
        announce=processes.leave,
        give_up=lambda: queue.ring(*leases.give_up()),
    )
    celery = _celery(settings)
    inline = RunPool(threads=settings.inline_threads, backlog=settings.inline_backlog)
    background = RunPool(threads=settings.background_threads, backlog=MAX_RUNG, name="background")
    here = LocalBell(background, lambda execution_id: dispatcher.take(execution_id), is_open=drain.is_not_begun)  # noqa: PLW0108 -- the two know each other
    queue = Queue(database, _bell(settings, role, celery, here, processes))
    wakes = Wakes(database, queue, Children(database, queue, leases.lose, signals.changed))
    queued_as = Mode.BACKGROUND if celery is None else Mode.CELERY
    executions = Executions(database, workflows, clients, max_context_bytes=settings.max_context_bytes)
    firing = Firing(database, workflows, executions, store, queue, queued_as=queued_as, announce=signals.changed)
    dispatcher = Dispatcher(
        store,
        engine,
        queue,
        inline,
        forecast=Forecast(database),
        drain=drain,
        turn=Turn(settings.slice_seconds, settings.slice_nodes, "worker" if role is Role.WORKER else "anywhere"),
        queued_as=queued_as,
        hops=celery is not None,
    )
    duties: dict[str, Callable[[], object]] = {
        "processes": processes.beat,
        "leases": lambda: tally.recovered(recover(database)),
        "wakes": wakes.wake_due,
        "schedules": firing.fire_due,
        "queue": queue.ring_due,
        "housekeeping": Housekeeping(database, settings.keep_runs_days, settings.keep_events_days).tidy,
    }
    live = make_live(
        database,
        signals,
        redis_url=settings.broker_url,
        verify_tls=settings.verifies_tls,
        owner=leases.owner,
        is_over=drain.is_begun,
    )
    return Nova(
        settings=settings,
        database=database,
        kinds=kinds,
        sandbox=sandbox,
        outside=outside,
        policy=_policy(settings),
        workflows=workflows,
        clients=clients,
        vault=vault,
        keys=Keys(database, settings.nova_api_key.get_secret_value(), settings.cookie_secret),
        executions=executions,
        dispatcher=dispatcher,
        queue=queue,
        control=Control(
            database, queue, leases.lose, signals.changed, child_ended=wakes.child_ended, stopped=tally.stopped
        ),
        reviews=Reviews(database, wakes, max_output_bytes=settings.max_output_bytes, credentials_of=vault.of_client),
        audit=Audit(database),
        schedules=Schedules(database, executions),
        stats=Stats(database),
        metrics=Metrics(
            database,
            queue,
            tally.figures,
            gauges_of(database, inline, background, live.hub) | {"circuits_open": outside.breakers.count_open},
        ),
        triggers=Triggers(database, settings.platform, recent_checks, workers_are_on=celery is not None),
        reruns=Reruns(database, executions, store, queue, queued_as, signals.changed),
        processes=processes,
        drain=drain,
        workers=_workers(celery, database, queue, processes),
        _wakes=wakes,
        _background=background,
        sweeper=Sweeper(duties, seconds=settings.sweep_seconds, told=tally.swept),
        live=live,
        _leases=leases,
        _ledger=ledger,
        _node_threads=node_threads,
        _presence=Presence(database),
    )


def _prepare_process(settings: Settings) -> None:
    keep_out_of_logs(settings.secrets)
    if settings.failpoint:
        arm(settings.failpoint)


def _celery(settings: Settings) -> "Celery | None":
    if settings.broker_url is None:
        return None
    from src.runtime.broker import make_celery  # noqa: PLC0415 -- who has no broker does not pay for its library

    return make_celery(broker_of(settings, settings.broker_url))


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
        queues=settings.queues,
    )


def _workers(celery: "Celery | None", database: Database, queue: Queue, processes: Processes) -> Workers | None:
    if celery is None:
        return None
    from src.runtime.broker import count_answers  # noqa: PLC0415

    return Workers(database, queue, processes, lambda: count_answers(celery))


def _bell(settings: Settings, role: Role, celery: "Celery | None", here: Bell, processes: Processes) -> Bell:
    """Who hears of what is queued: the workers, this process, or nobody where a command runs what it runs itself."""
    if role is Role.COMMAND and celery is None:
        return Silence()
    if celery is None:
        return here
    from src.runtime.broker import CeleryBell  # noqa: PLC0415

    workers = CeleryBell(celery)
    if role is not Role.WEB or settings.queue_fallback == "wait":
        return workers
    return FallbackBell(workers, here, are_there_workers=processes.are_there_workers)


def _sandbox(settings: Settings, spawned: Callable[[float], None]) -> Sandbox:
    installation = Installation(find_packages(settings.packages), settings.network_ports)
    kept = usual_kept() if settings.sandbox_kept is None else settings.sandbox_kept
    slots = settings.sandbox_slots or usual_count()
    elsewhere = rented(settings.e2b_api_key) if settings.code_executor == "e2b" else None
    least = settings.min_level
    return Sandbox(installation, slots=slots, least=least, kept=kept, spawned=spawned, elsewhere=elsewhere)


def _outside(settings: Settings) -> Outside:
    return Outside(
        settings.allowed,
        settings.web_ports,
        settings.outbound_max_bytes,
        Breakers(failures=settings.outbound_breaker_failures, open_seconds=settings.outbound_breaker_seconds),
        settings.models,
        settings.sql_sqlite_folder,
    )


def _policy(settings: Settings) -> CodePolicy:
    return CodePolicy(
        network=bool(settings.network_ports),
        max_memory_mb=settings.sandbox_max_memory_mb,
        max_timeout_seconds=settings.sandbox_max_timeout_seconds,
    )
