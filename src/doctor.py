"""What is well with an installation and what is not: one line each, with the mend. Changes nothing."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from src.bootstrap import broker_of
from src.core.errors import NotReady
from src.extensions import find_packages
from src.nova import Nova
from src.sandbox.executor import Level
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.slots import memory_bytes, usual_count

MEBIBYTE = 1024 * 1024
MENDS = {
    Level.MICROVM: "",
    Level.FULL: "",
    Level.SECCOMP: "a kernel from 5.13 on with Landlock switched on (lsm=landlock,...) gives level full",
    Level.WEAK: "run Nova on Linux (x86_64 or aarch64) where a process may set a seccomp filter",
    Level.OFF: "see the reason before this; SANDBOX_MIN_LEVEL says what is asked for",
}

START_WORKER = "REMAP_SIGTERM=SIGQUIT celery -A src.workers.celery_app worker"


@dataclass(frozen=True, slots=True)
class Finding:
    state: Literal["ok", "note", "wrong"]
    about: str
    detail: str
    mend: str = ""


def examine(nova: Nova) -> Iterator[Finding]:
    yield Finding("ok", "python", sys.version.split()[0])
    yield _database(nova)
    yield from _sandbox(nova)
    yield from _packages(nova)
    yield _memory(nova)
    yield _exposure(nova)
    yield from _broker(nova)


def _database(nova: Nova) -> Finding:
    name = "SQLite" if nova.database.is_sqlite else "PostgreSQL"
    try:
        nova.open()
    except NotReady as error:
        return Finding("wrong", "database", f"{name}: {error}", "python -m src migrate, once DATABASE_URL is right")
    return Finding("ok", "database", f"{name} answers and has the newest schema")


def _sandbox(nova: Nova) -> Iterator[Finding]:
    found = nova.sandbox.open()
    level = found.executor.level
    state: Literal["ok", "note", "wrong"] = (
        "ok" if level.reaches(Level.FULL) else "wrong" if level is Level.OFF else "note"
    )
    yield Finding(state, "sandbox", f"level {level}: {found.about}", MENDS[level])
    if isinstance(found.executor, ForkServerExecutor):
        yield from _walls(found.executor)


def _walls(executor: ForkServerExecutor) -> Iterator[Finding]:
    strength = executor.strength
    if strength.own_users:
        yield Finding("ok", "sandbox users", "every snippet runs as a user of its own")
    else:
        yield Finding("note", "sandbox users", "snippets run as the user of the server, behind the other walls")
    if strength.threads > 1:
        mend = "take the package out of SANDBOX_PACKAGES, or keep it from starting threads when it is imported"
        yield Finding("note", "sandbox threads", "a package started threads in the fork server", mend)


def _packages(nova: Nova) -> Iterator[Finding]:
    wanted = nova.settings.sandbox_packages
    missing = sorted(set(wanted) - find_packages(wanted).keys())
    if missing:
        names = ", ".join(missing)
        yield Finding("wrong", "packages", f"SANDBOX_PACKAGES names what is not installed: {names}", "pip install it")
    elif wanted:
        yield Finding("ok", "packages", f"code may import {', '.join(wanted)}")
    ports = nova.settings.sandbox_network_ports
    yield Finding(
        "ok", "network", f"granted to nodes that ask: ports {', '.join(map(str, ports))}" if ports else "none"
    )


def _memory(nova: Nova) -> Finding:
    settings = nova.settings
    slots = settings.sandbox_slots or usual_count()
    asked, there = slots * settings.sandbox_max_memory_mb, memory_bytes() // MEBIBYTE
    detail = f"{slots} slots of at most {settings.sandbox_max_memory_mb:,} MiB on {there:,} MiB"
    if asked > there:
        return Finding("note", "memory", detail, "lower SANDBOX_SLOTS or SANDBOX_MAX_MEMORY_MB: together they fill it")
    return Finding("ok", "memory", detail)


def _exposure(nova: Nova) -> Finding:
    if not nova.settings.is_exposed:
        return Finding("ok", "door", f"open to this machine alone ({nova.settings.host})")
    state: Literal["ok", "wrong"] = "ok" if nova.settings.min_level.reaches(Level.SECCOMP) else "wrong"
    return Finding(state, "door", f"open to others; code runs at level {nova.settings.min_level} or above")


def _broker(nova: Nova) -> Iterator[Finding]:
    url = nova.settings.broker_url
    if url is None:
        yield Finding("ok", "broker", "none: everything runs in the web processes")
        return
    from src.runtime.broker import count_answers, make_celery  # noqa: PLC0415 -- as in bootstrap
    from src.runtime.broker_state import ask_broker  # noqa: PLC0415

    app = make_celery(broker_of(nova.settings, url))
    try:
        broker, workers = ask_broker(app), count_answers(app)
    except ConnectionError as error:
        mend = "set REDIS_URL or CELERY_BROKER_URL right; USE_CELERY=false does without"
        yield Finding("wrong", "broker", f"it does not answer: {error}", mend)
        return
    yield Finding("ok", "broker", f"{broker.address} answers, version {broker.version}")
    yield _eviction(broker.eviction_policy)
    yield _workers(workers)


def _eviction(policy: str | None) -> Finding:
    if policy == "noeviction":
        return Finding("ok", "eviction", "a full broker refuses messages and drops none")
    if policy is None:
        return Finding("note", "eviction", "the broker does not tell its maxmemory-policy", "see to it: noeviction")
    mend = "CONFIG SET maxmemory-policy noeviction, or its host's way to say so"
    return Finding("note", "eviction", f"{policy}: a full broker drops messages, and runs start late", mend)


def _workers(count: int) -> Finding:
    if count:
        return Finding("ok", "workers", f"{count} answer{'s' if count == 1 else ''}")
    return Finding("note", "workers", "none answers; QUEUE_FALLBACK says what happens to what is queued", START_WORKER)
