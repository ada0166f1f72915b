"""Who a child is: a user of its own where the server is root, and nobody's superior anywhere."""

import ctypes
import os
import struct

from .libc import PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, prctl, syscall

CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
NEEDED = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID
FIRST_USER, USERS = 60_514, 670
"""Between the users that systemd gives to home directories and those that it gives to services."""
PLACES = 73
"""How far the users of one fork server are from those of the next: as many as it usually has children, at most."""
CAPABILITIES_VERSION = 0x20080522


def can_change() -> bool:
    """Whether a child can become another user, and be killed by us afterwards."""
    return os.geteuid() == 0 and _effective_capabilities() & NEEDED == NEEDED


def user_of(place: int) -> int:
    """A user that no other snippet of this fork server has at this time, nor one of a neighbour's: servers that were
    started one after another have neighbouring process ids.
    """
    return FIRST_USER + (os.getppid() * PLACES + place) % USERS


def become(user: int | None) -> None:
    """Drop everything that a privileged process has, and become `user` if one is given."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    set_capabilities(0)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_capabilities(kept: int) -> None:
    """Those that are had and may be given to others; nothing is ever inherited."""
    header, low, high = struct.pack("=Ii", CAPABILITIES_VERSION, 0), kept & 0xFFFFFFFF, kept >> 32
    syscall("capset", header, struct.pack("=6I", low, low, 0, high, high, 0))


def _effective_capabilities() -> int:
    header, found = struct.pack("=Ii", CAPABILITIES_VERSION, 0), ctypes.create_string_buffer(24)
    syscall("capget", header, found)
    low, _, _, high, _, _ = struct.unpack("=6I", found.raw)
    return int(high << 32 | low)
