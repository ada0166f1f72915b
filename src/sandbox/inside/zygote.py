"""The fork server: waits, forks a child for each attempt, tells how each of them ended. It never sees code or context.

One thread, one socket. When the other end of that closes, this process ends, and its children with it.
"""

import array
import builtins
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any

from . import modules
from .child import Order, Walls, live, open_output, shut_in
from .walls import descriptors, identity, landlock, limits
from .walls.libc import LIBC, PR_SET_NO_NEW_PRIVS, one_arena, prctl
from .walls.seccomp import AUDIT_ARCHITECTURES, Filter

MAX_MESSAGE = 64 * 1024
PIPES = 4
"""Descriptors that come with an order: request, answer, output, status."""
NOT_STARTED = {"ended": 71, "cpu_seconds": 0.0, "max_rss_kb": 0}
SPARE_FOR_PROBES = Order(place=0, memory_mb=1024, cpu_seconds=10, network=False)


@dataclass(frozen=True)
class Installation:
    """What the server says first: how children are to be walled in, as far as this machine can."""

    packages: dict[str, str]
    """Name -> the folder in which it is."""
    ports: list[int]
    """TCP ports that a child with the network granted may connect to."""
    landlock: bool
    """False: do without, as on a machine that has none."""


def main(control: int) -> None:
    copy = descriptors.above(control)
    descriptors.reserve()
    descriptors.put(copy, descriptors.CONTROL)
    descriptors.close_from(descriptors.FREE)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=descriptors.CONTROL) as server:
        told = server.recv(MAX_MESSAGE)
        if not told:
            return
        walls, hello = _prepare(Installation(**json.loads(told)))
        server.send(json.dumps(hello).encode())
        if walls is not None:
            _Children(server, walls).serve()


def _prepare(installation: Installation) -> tuple[Walls | None, dict[str, Any]]:
    """The walls that hold here, each tried on a child; None, with the reason, where too few do."""
    machine = os.uname().machine
    if sys.byteorder != "little" or machine not in AUDIT_ARCHITECTURES:
        return None, {"level": "weak", "reason": f"there is no list of system calls for {machine}"}
    version = landlock.abi() if installation.landlock else 0
    has_landlock = version > 0 and _holds(lambda: _try_landlock(version))
    changes_user = identity.can_change() and _holds(lambda: identity.become(identity.FIRST_USER))
    folders = _load(installation, everything=not has_landlock, to_other_users=changes_user and has_landlock)
    if has_landlock:
        _make_rules(installation, version)
    filters = (Filter(machine, paths=has_landlock, network=network) for network in (False, True))
    walls = Walls(changes_user, has_landlock, limits.addresses_taken(), folders, *filters)
    if not _holds(lambda: shut_in(walls, SPARE_FOR_PROBES)):
        return None, {"level": "weak", "reason": "this kernel, or the container around it, allows no seccomp filter"}
    about = {
        "level": "full" if has_landlock else "seccomp",
        "landlock": version if has_landlock else 0,
        "network": has_landlock and version >= landlock.TCP_SINCE,
        "own_users": changes_user,
        "resident_kb": limits.resident_kb(),
        "threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1,
    }
    return walls, about


def _load(installation: Installation, *, everything: bool, to_other_users: bool) -> int:
    one_arena()
    folders = modules.open_up(installation.packages, to_other_users=to_other_users)
    modules.load_ahead(list(installation.packages), everything=everything)
    time.tzset()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("inside", "runner")]:
        del sys.modules[name]  # nothing of ours can be imported by name
    vars(builtins).update(exit=sys.exit, quit=sys.exit)  # as in an ordinary interpreter
    open_output()
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared with the children
    gc.disable()
    return folders


def _make_rules(installation: Installation, version: int) -> None:
    readable = list(modules.readable(installation.packages))
    descriptors.put(landlock.ruleset(version, readable, ()), descriptors.RULES)
    ports = installation.ports if version >= landlock.TCP_SINCE else ()
    with_network = landlock.ruleset(version, [*readable, *modules.NETWORK_FILES], ports)
    descriptors.put(with_network, descriptors.NETWORK_RULES)


def _try_landlock(version: int) -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    landlock.raise_wall(landlock.ruleset(version, (), ()))


def _holds(raise_wall: Any) -> bool:
    """Whether a child can raise it."""
    child = os.fork()
    if child == 0:
        try:
            raise_wall()
            LIBC._exit(0)
        finally:
            LIBC._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class _Children:
    """The children that live, and the loop around them."""

    def __init__(self, server: socket.socket, walls: Walls) -> None:
        self._server = server
        self._walls = walls
        self._pid = os.getpid()
        self._poll = select.poll()
        self._living: dict[int, tuple[int, int, socket.socket]] = {}
        """The pidfd of each -> its pid, its place, and where to tell how it ended."""
        self._places: dict[int, int] = {}
        """Place -> the pidfd of the child there."""

    def serve(self) -> None:
        self._poll.register(self._server, select.POLLIN)
        while True:
            # the control socket has the lowest number: an order, which may clear a place, comes after all ends
            for ready, _ in sorted(self._poll.poll(), reverse=True):
                if ready == descriptors.CONTROL:
                    message, opened, _, _ = socket.recv_fds(self._server, MAX_MESSAGE, PIPES)
                    if not message:
                        return
                    self._start(Order(**json.loads(message)), opened)
                else:
                    self._collect(ready)

    def _start(self, order: Order, opened: list[int]) -> None:
        request, answer, output, status = opened
        self._clear(order.place)
        told = socket.socket(fileno=status)
        pid = self._fork(order, (request, answer, output))
        for each in (request, answer, output):
            os.close(each)
        if pid is None:
            _tell(told, NOT_STARTED)
            told.close()
            return
        child = os.pidfd_open(pid)
        self._living[child] = (pid, order.place, told)
        self._places[order.place] = child
        self._poll.register(child, select.POLLIN)
        _tell(told, {"started": pid}, child)

    def _fork(self, order: Order, pipes: tuple[int, int, int]) -> int | None:
        """None where there is no room for another process now: that is no end for those that live."""
        try:
            pid = os.fork()
        except OSError:
            return None
        if pid == 0:
            try:
                live(self._walls, order, pipes, self._pid)
            finally:
                os._exit(70)  # a wall could not be raised: nothing has been read, nothing run
        return pid

    def _clear(self, place: int) -> None:
        """Whoever was there before has been killed, and may take a moment to be gone."""
        child = self._places.get(place)
        if child is not None:
            signal.pidfd_send_signal(child, signal.SIGKILL)  # it is a zombie at least
            self._collect(child)

    def _collect(self, child: int) -> None:
        pid, place, told = self._living.pop(child)
        del self._places[place]
        self._poll.unregister(child)
        os.close(child)
        _, status, used = os.wait4(pid, 0)
        cpu_seconds = used.ru_utime + used.ru_stime
        code = os.waitstatus_to_exitcode(status)
        _tell(told, {"ended": code, "cpu_seconds": cpu_seconds, "max_rss_kb": used.ru_maxrss})
        told.close()


def _tell(told: socket.socket, message: dict[str, Any], *opened: int) -> None:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))] if opened else []
    with contextlib.suppress(OSError):  # whoever wanted to know is gone
        told.sendmsg([json.dumps(message).encode()], rights)
