"""What a child has open: where it reads its request, where it answers, where it prints, and nothing else.

The fork server keeps its own descriptors at fixed numbers below `FREE`, so that a child knows what it inherits.
"""

import ctypes
import fcntl
import os

from .libc import syscall

ERRORS, REQUEST, ANSWER, RULES, NETWORK_RULES, CONTROL = 2, 3, 4, 5, 6, 7
FOLDERS = 8
"""The first of those through which modules are found."""
FREE = 16
MAX_FOLDERS = FREE - FOLDERS
LAST = 0xFFFFFFFF


def reserve() -> None:
    """Fill the fixed numbers, so that nothing else is opened there."""
    null = above(os.open(os.devnull, os.O_RDWR))
    for place in range(FREE):
        if place != ERRORS:  # the fork server's own still go where Nova's go
            os.dup2(null, place, inheritable=False)
    os.close(null)


def above(opened: int) -> int:
    """A copy of the descriptor that is out of the way of the fixed numbers."""
    return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, FREE)


def put(opened: int, place: int) -> None:
    """Move a descriptor to its fixed number."""
    os.dup2(opened, place, inheritable=False)
    os.close(opened)


def keep_only(request: int, answer: int, output: int, *, folders: int) -> None:
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # opened anew: flags of what all have open would be seen by all
    os.dup2(request, REQUEST)
    os.dup2(answer, ANSWER)
    os.dup2(output, 1)
    os.dup2(output, 2)
    close_from(FOLDERS + folders)
    os.close(CONTROL)


def close_rules() -> None:
    os.close(RULES)
    os.close(NETWORK_RULES)


def close_from(first: int) -> None:
    syscall("close_range", ctypes.c_uint(first), ctypes.c_uint(LAST), ctypes.c_int(0))
