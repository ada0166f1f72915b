"""System calls that Python has no function for, by way of libc. Raises OSError as Python's own do."""

import ctypes
import errno
import os

from .syscalls import ARCHITECTURES, NUMBERS

MACHINE = os.uname().machine
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
M_ARENA_MAX = -8


def number(name: str, machine: str) -> int | None:
    """The number of a system call on such a machine; None where there is no such call."""
    return NUMBERS[name][ARCHITECTURES.index(machine)] if machine in ARCHITECTURES else None


def syscall(name: str, *arguments: object) -> int:
    which = number(name, MACHINE)
    if which is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    return _checked(LIBC.syscall(ctypes.c_long(which), *arguments))


def prctl(option: int, value: object = 0, pointer: object = 0) -> None:
    _checked(LIBC.prctl(option, value, pointer, 0, 0))


def one_arena() -> None:
    """malloc reserves 64 MiB of addresses for every thread otherwise, and the limit of memory counts addresses."""
    if hasattr(LIBC, "mallopt"):
        LIBC.mallopt(M_ARENA_MAX, 1)


def _checked(result: int) -> int:
    if result == -1:
        found = ctypes.get_errno()
        raise OSError(found, os.strerror(found))
    return result
