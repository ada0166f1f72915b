"""How much a child may use: memory, processor time, descriptors, files, threads; it goes first when memory ends."""

import os
import resource
import threading
from dataclasses import dataclass

DESCRIPTORS = 64
THREADS = 64
THREAD_STACK = 512 * 1024
NICE = 5
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Shares:
    memory_mb: int
    """Of addresses; more of them than of what is used."""
    taken: int
    """Bytes of addresses that the interpreter has before it runs anything: they are not counted."""
    cpu_seconds: int
    has_own_user: bool
    """The number of threads is counted for each user, so it can be bounded only for a user of one's own."""


def raise_wall(shares: Shares) -> None:
    _go_first_and_yield()
    os.umask(0o077)
    threading.stack_size(THREAD_STACK)
    bounds = {
        resource.RLIMIT_AS: shares.taken + shares.memory_mb * MEBIBYTE,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if shares.has_own_user:
        bounds[resource.RLIMIT_NPROC] = THREADS
    for which, bound in bounds.items():
        _lower(which, bound, bound)
    _lower(resource.RLIMIT_CPU, shares.cpu_seconds, shares.cpu_seconds + 1)  # SIGXCPU, and SIGKILL for who ignores it


def addresses_taken() -> int:
    return _pages()[0] * resource.getpagesize()


def resident_kb() -> int:
    return _pages()[1] * resource.getpagesize() // 1024


def _pages() -> list[int]:
    with open("/proc/self/statm", "rb", buffering=0) as counts:
        return [int(count) for count in counts.read().split()]


def _lower(which: int, soft: int, hard: int) -> None:
    """Never over what is there."""
    there = resource.getrlimit(which)[1]
    if there != resource.RLIM_INFINITY:
        soft, hard = min(soft, there), min(hard, there)
    resource.setrlimit(which, (soft, hard))


def _go_first_and_yield() -> None:
    """A container without /proc can do without: the limit of memory stands all the same."""
    try:
        os.nice(NICE)
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, b"1000")
        os.close(score)
    except OSError:
        pass
