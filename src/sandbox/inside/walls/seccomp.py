"""The system calls that are allowed; every other one is refused with EPERM.

Not here on purpose: whatever starts a program or a process, signals another one, opens a door (bind, listen, accept),
changes who one is, or has been a way into the kernel (io_uring, bpf, keyctl, userfaultfd, namespaces ...).
"""

import ctypes
import errno
import socket

from . import bpf
from .bpf import WORD, Is
from .libc import PR_SET_SECCOMP, number, prctl

KILL, REFUSE, ALLOW = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
NO_SUCH_CALL = 0x00050000 | errno.ENOSYS
AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
"""The bit that marks numbers of the x32 table of x86_64."""
OWN_PID = 0x5EED0F1D
"""Stands in the program where the pid of the child has to be."""

PLAIN = """
    read write close fstat lseek mprotect munmap mremap madvise brk rt_sigaction rt_sigprocmask rt_sigreturn
    rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall pread64 pwrite64 preadv pwritev readv
    writev poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 pipe
    pipe2 dup dup2 dup3 futex rseq set_robust_list set_tid_address sched_yield sched_getaffinity getcpu membarrier
    nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time setitimer getitimer alarm pause getpid
    gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid getrusage
    getrlimit uname sysinfo times getrandom umask capget wait4 waitid exit exit_group shutdown
    getsockopt getsockname getpeername
""".split()
PATHS = """
    stat lstat newfstatat access faccessat faccessat2 readlink readlinkat getdents64 getcwd chdir fchdir
""".split()
"""Only where Landlock decides which paths; `open` and `openat` too, for reading."""

A_THREAD = 0x3D0F00  # CLONE_VM FS FILES SIGHAND THREAD SYSVSEM SETTLS PARENT_SETTID CHILD_CLEARTID
"""As every libc starts one. A thread that shares less has descriptors of its own, and may have as many again."""
CLONE_DETACHED = 0x400000
"""Means nothing any more; musl says it all the same."""
CLOSE_RANGE_UNSHARE = 0x2
"""Would give a thread its own, too."""
MAP_SHARED, MAP_PRIVATE, MAP_TYPE, MAP_ANONYMOUS, MAP_HUGETLB = 0x1, 0x2, 0xF, 0x20, 0x40000
"""Shared memory of no file stays whole where all but a page of it is unmapped: no limit of addresses holds it."""
MSG_OOB = 0x1
"""Nobody's need; its handling in unix sockets has been a way into the kernel."""
MSG_FASTOPEN = 0x20000000
"""Connects without `connect`, past what Landlock sees."""
NOT_TO_SEND = MSG_OOB | MSG_FASTOPEN
NOT_FOR_READING = 0o3 | 0x40 | 0x200 | 0x200000 | 0x400000  # access mode, O_CREAT, O_TRUNC, O_PATH, O_TMPFILE
FCNTL = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: not F_SETOWN, which sends signals to others."""
IOCTL = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS (is it a terminal?), FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
SOCKET_TYPE = 0xF
"""SOCK_NONBLOCK and SOCK_CLOEXEC are flags beside it."""
OPTIONS = {
    socket.IPPROTO_IP: (11,),  # IP_RECVERR
    socket.IPPROTO_IPV6: (25, 26),  # IPV6_RECVERR, IPV6_V6ONLY
    socket.SOL_SOCKET: (2, 7, 8, 9, 13, 20, 21, 66, 67),  # reuse, buffers, keep-alive, linger, time limits
    socket.IPPROTO_TCP: (1, 4, 5, 6, 18),  # no delay, keep-alive, user time limit
}

BY_ARGUMENT: dict[str, list[list[Is]]] = {
    "mmap": [
        [Is(3, MAP_PRIVATE, MAP_TYPE | MAP_HUGETLB)],
        [Is(3, MAP_SHARED, MAP_TYPE | MAP_ANONYMOUS)],
    ],
    "clone": [[Is(0, A_THREAD, WORD & ~CLONE_DETACHED)]],
    "close_range": [[Is(2, 0, CLOSE_RANGE_UNSHARE)]],
    "kill": [[Is(0, OWN_PID)]],
    "tgkill": [[Is(0, OWN_PID)]],
    "prlimit64": [[Is(2, 0, wide=True)]],  # to read limits, not to set them
    "prctl": [[Is(0, 15)]],  # PR_SET_NAME
    "ioctl": [[Is(1, request)] for request in IOCTL],
    "fcntl": [[Is(1, command)] for command in FCNTL],
    "socketpair": [[Is(0, socket.AF_UNIX), Is(1, socket.SOCK_STREAM, SOCKET_TYPE), Is(2, 0)]],
    "sendto": [[Is(3, 0, NOT_TO_SEND)]],
    "recvfrom": [[Is(3, 0, MSG_OOB)]],
}
WITH_PATHS: dict[str, list[list[Is]]] = {
    "open": [[Is(1, 0, NOT_FOR_READING)]],
    "openat": [[Is(2, 0, NOT_FOR_READING)]],
}
WITH_NETWORK: dict[str, list[list[Is]]] = {
    "socket": [
        [Is(0, family), Is(1, kind, SOCKET_TYPE), Is(2, protocol)]
        for family in (socket.AF_INET, socket.AF_INET6)
        for kind, protocols in ((socket.SOCK_STREAM, (0, 6)), (socket.SOCK_DGRAM, (0, 17)))
        for protocol in protocols
    ],
    "connect": [[]],
    "recvmsg": [[Is(2, 0, MSG_OOB)]],
    "sendmsg": [[Is(2, 0, NOT_TO_SEND)]],
    "sendmmsg": [[Is(3, 0, NOT_TO_SEND)]],
    "setsockopt": [[Is(1, level), Is(2, name)] for level, names in OPTIONS.items() for name in names],
}


class Filter:
    """A compiled filter. `raise_wall` closes it around the calling process, for good."""

    def __init__(self, machine: str, *, paths: bool, network: bool) -> None:
        self._code = bpf.packed(program(machine, paths=paths, network=network))

    def raise_wall(self, pid: int) -> None:
        """Needs no-new-privs. `pid` is the one process that may be signalled: the caller."""
        code = self._code.replace(OWN_PID.to_bytes(4, "little"), pid.to_bytes(4, "little"))
        instructions = ctypes.create_string_buffer(code, len(code))
        described = _Program(len(code) // 8, ctypes.addressof(instructions))
        prctl(PR_SET_SECCOMP, 2, ctypes.byref(described))


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def program(machine: str, *, paths: bool, network: bool) -> list[bpf.Instruction]:
    """The filter for a machine, in the order in which the kernel goes through it."""
    conditions = BY_ARGUMENT | (WITH_PATHS if paths else {}) | (WITH_NETWORK if network else {})
    code = [bpf.load(bpf.ARCHITECTURE), *bpf.unless(AUDIT_ARCHITECTURES[machine], [bpf.answer(KILL)])]
    code += [bpf.load(bpf.NUMBER), *bpf.from_on(X32, [bpf.answer(KILL)])]
    for name in PLAIN + (PATHS if paths else []):
        code += _when(machine, name, [bpf.answer(ALLOW)])
    for name, alternatives in conditions.items():
        code += _when(machine, name, bpf.any_of(alternatives, ALLOW, REFUSE))
    code += _when(machine, "clone3", [bpf.answer(NO_SUCH_CALL)])  # its flags cannot be seen; libc then takes clone
    return [*code, bpf.answer(REFUSE)]


def _when(machine: str, name: str, then: list[bpf.Instruction]) -> list[bpf.Instruction]:
    which = number(name, machine)
    return [] if which is None else bpf.when(which, then)
