"""The life of a child: it shuts itself in, reads a request, runs the author's code, answers, and again.
All the code that it ever runs is of one execution.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any, NoReturn, TextIO

from .traces import Traces
from .walls import descriptors, identity, landlock, limits
from .walls.libc import PR_SET_PDEATHSIG, prctl
from .walls.seccomp import Filter

OUT_OF_MEMORY = 72
"""The exit status of a child that had no memory left to say so."""
RUNNER: Any = importlib.import_module("runner")


@dataclass(frozen=True)
class Walls:
    """Those that this machine can raise, made ready once."""

    changes_user: bool
    has_landlock: bool
    taken: int
    """Bytes of addresses of the fork server."""
    folders: int
    """How many descriptors of folders modules are found through."""
    closed: Filter
    with_network: Filter


@dataclass(frozen=True)
class Order:
    """What a child is told before it reads its request."""

    place: int
    """Among the children that live: no two are at the same."""
    memory_mb: int
    cpu_seconds: int
    network: bool


def shut_in(walls: Walls, order: Order) -> None:
    """Raise every wall. Afterwards there is no way back, and only then is anything read that somebody else wrote."""
    user = identity.user_of(order.place) if walls.changes_user else None
    limits.raise_wall(limits.Shares(order.memory_mb, walls.taken, order.cpu_seconds, has_own_user=user is not None))
    identity.become(user)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # becoming another user has taken it back
    if walls.has_landlock:
        landlock.raise_wall(descriptors.NETWORK_RULES if order.network else descriptors.RULES)
    descriptors.close_rules()
    (walls.with_network if order.network else walls.closed).raise_wall(os.getpid())


def live(walls: Walls, order: Order, pipes: tuple[int, int, int], parent: int) -> NoReturn:
    """`pipes` are those of the request, of the answer and of the output.

    It ignores SIGTERM and SIGINT as the fork server does: where a platform tells every process in its container to end,
    the code goes on for the grace that Nova gives its run.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    descriptors.keep_only(*pipes, folders=walls.folders)
    os.chdir("/")
    shut_in(walls, order)
    _run()


def _run() -> NoReturn:
    leave, output, traces = os._exit, sys.stdout, Traces()
    line = RUNNER.Line(descriptors.REQUEST, descriptors.ANSWER)
    gc.enable()
    try:
        while not traces.are_left:
            answer = RUNNER.answer_to(line.read()["run"], RUNNER.names_for(line), traces.see)
            _flush(output)
            traces.look_around()
            line.tell({"result": answer, "goes_on": not traces.are_left})
        line.read()  # what this process took is looked at while it is still there
    except MemoryError:
        leave(OUT_OF_MEMORY)
    except EOFError:
        pass
    leave(0)  # neither exit hooks nor lingering threads of the code hold anything back


def open_output() -> None:
    """Once, for all children. Lines go out at once: what was printed before the code is ended is kept."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8")  # type: ignore[misc] # noqa: SIM115 -- for as long as it lives
    for place, name in ((1, "stdout"), (2, "stderr")):
        stream = open(place, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _flush(output: TextIO) -> None:
    """The code may have closed it, or put another in its place."""
    for stream in (sys.stderr, output):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
