"""Which files may be read, and which TCP ports connected to: a Landlock ruleset, made once, that children close around
themselves. Nothing may be written, made, removed or executed, and nobody outside be signalled.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from .libc import syscall

READ_FILE, READ_DIR = 1 << 2, 1 << 3
CONNECT_TCP = 1 << 1
ALL_OF_TCP = 1 << 0 | CONNECT_TCP
ALL_SCOPES = 1 << 0 | 1 << 1  # abstract unix sockets, signals
PATH_BENEATH, NET_PORT = 1, 2
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""ABI -> how many rights it knows, each a bit; it is told to handle all of them."""
TCP_SINCE, SCOPES_SINCE = 4, 6


def abi() -> int:
    """The version that this kernel speaks; 0 where there is no Landlock, or it is switched off."""
    try:
        return syscall("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def ruleset(version: int, readable: Iterable[str], ports: Iterable[int]) -> int:
    """The descriptor of a new ruleset. Paths that are not there are left out."""
    made = _create(version)
    for path in readable:
        _let_read(made, path)
    for port in ports:
        _add(made, NET_PORT, struct.pack("=QQ", CONNECT_TCP, port))
    return made


def raise_wall(made: int) -> None:
    """Close the ruleset around the calling process, for good. Needs no-new-privs."""
    syscall("landlock_restrict_self", ctypes.c_int(made), ctypes.c_uint32(0))


def _create(version: int) -> int:
    files = (1 << max(count for since, count in FILE_RIGHTS.items() if since <= version)) - 1
    tcp = ALL_OF_TCP if version >= TCP_SINCE else 0
    scopes = ALL_SCOPES if version >= SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, tcp, scopes)
    known = attributes[: 8 if version < TCP_SINCE else 16 if version < SCOPES_SINCE else 24]
    return syscall("landlock_create_ruleset", known, ctypes.c_size_t(len(known)), ctypes.c_uint32(0))


def _let_read(made: int, path: str) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        _add(made, PATH_BENEATH, struct.pack("=Qi", READ_FILE | (READ_DIR if is_folder else 0), opened))
    finally:
        os.close(opened)


def _add(made: int, kind: int, rule: bytes) -> None:
    syscall("landlock_add_rule", ctypes.c_int(made), ctypes.c_int(kind), rule, ctypes.c_uint32(0))
