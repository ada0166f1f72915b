"""Hostile snippets, and harmless ones that must go on working. What each must end as stands beside it; `play.py` runs them.

An attack is stopped if it ends as it must, or raises, and has not set `context["through"]`. The context tells it what to
aim at: `server` (a process id), `file` and `folder` (readable by everybody, with a secret), `port` and `socket` (both open).
"""

from dataclasses import dataclass, field
from typing import Any

BY_NUMBER = """
import ctypes, os, platform
LIBC = ctypes.CDLL(None, use_errno=True)
PLACE = ("x86_64", "aarch64").index(platform.machine())
def call(numbers, *arguments):
    number = numbers[PLACE]
    if number is None:
        raise OSError("there is no such call here")
    found = LIBC.syscall(ctypes.c_long(number), *arguments)
    if found == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found
"""


@dataclass(frozen=True)
class Case:
    name: str
    code: str
    ends: tuple[str, ...] = ("ok", "error")
    """How it may end, as long as it has not got through."""
    changes: dict[str, Any] | None = None
    """For what must work: what it must answer."""
    network: bool = False
    needs: frozenset[str] = frozenset()
    """`landlock`: only where modules can be found that were not loaded ahead, or the network be granted; a package."""
    limits: dict[str, Any] = field(default_factory=dict)


def attack(name: str, code: str, **about: Any) -> Case:
    return Case(name, f"{code}\ncontext['through'] = True", **about)


def by_number(name: str, numbers: tuple[int | None, int | None], arguments: str = "0, 0, 0, 0, 0, 0") -> Case:
    return attack(f"system call {name}", f"{BY_NUMBER}\ncall({numbers}, {arguments})")


def ending(name: str, code: str, *ends: str, **about: Any) -> Case:
    return Case(name, code, ends, **about)


def control(name: str, code: str, changes: dict[str, Any], **about: Any) -> Case:
    return Case(name, code, ("ok",), changes, **about)


FILES = [
    attack("read a file of the system", "open('/etc/passwd').read()"),
    attack("read the shadow file", "open('/etc/shadow').read()"),
    attack("read a file that everybody may read", "open(context['file']).read()"),
    attack("read it by another way", "open('/proc/self/root' + context['file']).read()"),
    attack("read it through the folders of Python", "import os\nopen(os.path.relpath(context['file'])).read()"),
    attack("list the root", "import os\nassert os.listdir('/')"),
    attack("list a folder with a secret", "import os\nassert os.listdir(context['folder'])"),
    attack("find the programs", "import os\nassert [e.name for e in os.scandir('/usr/bin')]"),
    attack(
        "read a database file",
        "import sqlite3\nsqlite3.connect(context['file']).execute('select * from sqlite_master')",
    ),
    attack("map a file", "import mmap\nf = open(context['file'], 'rb')\nmmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)"),
    attack("open a path without reading", "import os\nos.open('/etc', os.O_PATH)"),
    attack(
        "climb out of an inherited descriptor",
        "import os\nfor n in range(256):\n    try: opened = os.open('../' * 12 + 'etc/passwd', os.O_RDONLY, dir_fd=n)\n"
        "    except OSError: continue\n    break\nelse: raise OSError",
    ),
    attack("write a file", "open('/tmp/nova-corpus', 'w').write('x')"),
    attack("write into the working folder", "open('nova-corpus', 'w').write('x')"),
    attack("write into shared memory", "open('/dev/shm/nova-corpus', 'w').write('x')"),
    attack("a temporary file", "import tempfile\ntempfile.NamedTemporaryFile()"),
    attack("change a file", "open(context['file'], 'a').write('x')"),
    attack("change the library", "import os, json\nopen(json.__file__, 'a').write('#')"),
    attack("delete a file", "import os\nos.remove(context['file'])"),
    attack("rename a file", "import os\nos.rename(context['file'], context['file'] + '2')"),
    attack("truncate a file", "import os\nos.truncate(context['file'], 0)"),
    attack("open up a file", "import os\nos.chmod(context['file'], 0o777)"),
    attack("own a file", "import os\nos.chown(context['file'], os.getuid(), os.getgid())"),
    attack("touch a file", "import os\nos.utime(context['file'])"),
    attack("link to a file", "import os\nos.link(context['file'], '/tmp/nova-corpus-link')"),
    attack("a symbolic link", "import os\nos.symlink('/etc/passwd', '/tmp/nova-corpus-link')"),
    attack("make a folder", "import os\nos.mkdir('/tmp/nova-corpus-folder')"),
    attack("make a pipe by name", "import os\nos.mkfifo('/tmp/nova-corpus-pipe')"),
    attack("a file in memory", "import os\nos.memfd_create('x')"),
    attack("read a device", "open('/dev/kmsg').read(1)"),
    attack("write to a terminal", "open('/dev/tty', 'w').write('x')"),
    attack("read settings of the kernel", "open('/proc/sys/kernel/osrelease').read()"),
    attack("look into /sys", "import os\nassert os.listdir('/sys')"),
]
PROCESSES = [
    attack("the environment of the server", "open(f\"/proc/{context['server']}/environ\", 'rb').read()"),
    attack("the environment of the fork server", "import os\nopen(f'/proc/{os.getppid()}/environ', 'rb').read()"),
    attack("the environment of the first process", "open('/proc/1/environ', 'rb').read()"),
    attack("the memory of the server", "open(f\"/proc/{context['server']}/mem\", 'rb').read(1)"),
    attack("the memory map of the fork server", "import os\nopen(f'/proc/{os.getppid()}/maps').read()"),
    attack("the command lines of others", "open(f\"/proc/{context['server']}/cmdline\").read()"),
    attack("where the server works", "import os\nos.readlink(f\"/proc/{context['server']}/cwd\")"),
    attack("what the server has open", "import os\nos.listdir(f\"/proc/{context['server']}/fd\")"),
    attack("a list of processes", "import os\nassert [n for n in os.listdir('/proc') if n.isdigit()]"),
    attack("write into memory", "open('/proc/self/mem', 'r+b')"),
    attack("look for a secret in memory", "import gc\nassert any(''.join(['hun', 'ter2']) in repr(o) for o in gc.get_objects() "
           "if isinstance(o, (str, bytes, dict)) and o is not context)"),
    attack("a secret in the environment", "import os\nassert 'hunter2' in str(os.environ)"),
    attack("any environment", "import os\nassert set(os.environ) - {'LC_CTYPE'}"),
    attack("descriptors of others", "import os\ndef is_open(n):\n    try: os.fstat(n)\n    except OSError: return False\n"
           "    return True\nassert [n for n in range(64) if is_open(n) and n not in (0, 1, 2, 3, 4, *range(8, 16))]"),
    attack("write to every descriptor", "import os\nwritten = 0\nfor n in [0, 3, *range(5, 256)]:\n"
           "    try: written += os.write(n, b'{}')\n    except OSError: pass\nassert written > 2  # the null device takes two"),
    attack("import Nova", "import src.settings"),
    attack("import Nova by its folder", "import sys\nsys.path.insert(0, context['nova'])\nimport src.settings"),
    attack("load Nova by its path", "import importlib.util as u\ns = u.spec_from_file_location('x', context['nova'] + "
           "'/src/settings.py')\ns.loader.exec_module(u.module_from_spec(s))"),
    attack("import what Nova uses", "import sqlalchemy"),
    attack("import the other side of the walls", "import inside.zygote"),
    attack("import the runner", "import runner"),
]  # fmt: skip
STARTING = [
    attack("fork", "import os\nif os.fork() == 0: os._exit(0)"),
    attack("a fork bomb", "import os\nwhile True: os.fork()"),
    attack("run a program", "import os\nos.execv('/bin/true', ['true'])"),
    attack("run a shell", "import os\nassert os.system('true') == 0"),
    attack("a subprocess", "import subprocess, sys\nsubprocess.run(['/bin/true'], check=True)"),
    attack("spawn", "import os\nos.posix_spawn('/bin/true', ['true'], {})"),
    attack(
        "multiprocessing", "import multiprocessing as m\np = m.get_context('fork').Process(target=print)\np.start()"
    ),
    attack("the shell of libc", "import ctypes\nassert ctypes.CDLL(None).system(b'true') == 0"),
    attack(
        "by way of the object graph",
        "for c in object.__subclasses__():\n    if c.__name__ == 'Popen': c(['/bin/true']); break\n"
        "else: import subprocess; subprocess.Popen(['/bin/true'])",
    ),
]
SIGNALS = [
    attack("signal the server", "import os\nos.kill(context['server'], 0)"),
    attack("kill the server", "import os\nos.kill(context['server'], 9)"),
    attack("kill the fork server", "import os\nos.kill(os.getppid(), 9)"),
    attack("kill everybody", "import os\nos.kill(-1, 9)"),
    attack("kill the group", "import os\nos.killpg(0, 9)"),
    attack("signals by descriptor owner", "import fcntl, os, socket\na, b = socket.socketpair()\n"
           "fcntl.fcntl(a, fcntl.F_SETOWN, context['server'])"),
    attack("signals by ioctl", "import fcntl, socket, struct\na, b = socket.socketpair()\n"
           "fcntl.ioctl(a, 0x8901, struct.pack('i', context['server']))"),
    attack("slow the server down", "import os\nos.setpriority(os.PRIO_PROCESS, context['server'], 19)"),
    attack("pin the server", "import os\nos.sched_setaffinity(context['server'], {0})"),
    attack("limit the server", "import resource\nresource.prlimit(context['server'], resource.RLIMIT_NOFILE, (3, 3))"),
    attack("raise the own limits", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))"),
    attack("write to the terminal of others", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')"),
]  # fmt: skip
SOCKETS = [
    attack("a TCP connection", "import socket\nsocket.create_connection(('127.0.0.1', context['port']))"),
    attack("an IPv6 socket", "import socket\nsocket.socket(socket.AF_INET6)"),
    attack("a UDP packet", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))"),
    attack("a name lookup", "import socket\nsocket.getaddrinfo('example.com', 80)"),
    attack("a web page", "import urllib.request\nurllib.request.urlopen(f\"http://127.0.0.1:{context['port']}\", timeout=1)"),
    attack("a unix socket", "import socket\nsocket.socket(socket.AF_UNIX).connect(context['socket'])"),
    attack("an abstract unix socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0nova-corpus')"),
    attack("data out of band", "import socket\na, b = socket.socketpair()\na.send(b'x', socket.MSG_OOB)"),
    attack("a pair of datagram sockets", "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"),
    attack("netlink", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    attack("a raw socket", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)"),
    attack("a packet socket", "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    attack("vsock", "import socket\nsocket.socket(40, socket.SOCK_STREAM)"),
    attack("the kernel's ciphers", "import socket\nsocket.socket(38, socket.SOCK_SEQPACKET)"),
    attack("bluetooth", "import socket\nsocket.socket(31, socket.SOCK_RAW)"),
    attack("listen", "import socket\nsocket.create_server(('127.0.0.1', 0))"),
]  # fmt: skip
GRANTED = frozenset({"landlock"})
NETWORKED = [
    control("a granted port", "import socket\nsocket.create_connection(('127.0.0.1', context['port']), 5).close()\n"
            "context['open'] = True", {"open": True}, network=True, needs=GRANTED),
    attack("a port that is not granted", "import socket\nsocket.create_connection(('127.0.0.1', context['other_port']), 5)",
           network=True, needs=GRANTED),
    attack("around connect by fast open", "import socket\ns = socket.socket()\n"
           "s.sendto(b'x', 0x20000000, ('127.0.0.1', context['other_port']))", network=True, needs=GRANTED),
    attack("around connect by fast open, sendmsg", "import socket\ns = socket.socket()\n"
           "s.sendmsg([b'x'], [], 0x20000000, ('127.0.0.1', context['other_port']))", network=True, needs=GRANTED),
    attack("multipath TCP, which Landlock does not see", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
           network=True, needs=GRANTED),
    attack("SCTP", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)", network=True, needs=GRANTED),
    attack("a server, with the network granted", "import socket\nsocket.create_server(('127.0.0.1', 0))",
           network=True, needs=GRANTED),
    attack("a raw socket, with the network granted", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
           network=True, needs=GRANTED),
    attack("netlink, with the network granted", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
           network=True, needs=GRANTED),
    attack("a unix socket, with the network granted", "import socket\nsocket.socket(socket.AF_UNIX).connect(context['socket'])",
           network=True, needs=GRANTED),
    attack("a packet filter on a socket", "import socket\nsocket.socket().setsockopt(socket.SOL_SOCKET, 26, b'x' * 16)",
           network=True, needs=GRANTED),
    attack("files, with the network granted", "open('/etc/passwd').read()", network=True, needs=GRANTED),
]  # fmt: skip
BAD = "ctypes.c_void_p(1)"
CALLS = [
    by_number("io_uring_setup", (425, 425), "1, ctypes.create_string_buffer(256)"),
    by_number("bpf", (321, 280), "0, ctypes.create_string_buffer(128), 128"),
    by_number("perf_event_open", (298, 241), "ctypes.create_string_buffer(b'\\x01', 128), 0, -1, -1, 0"),
    by_number("userfaultfd", (323, 282), "1"),
    by_number("keyctl", (250, 219), "0, -3, 0"),
    by_number("add_key", (248, 217), "b'user', b'x', b'y', 1, -2"),
    by_number("unshare, a user namespace", (272, 97), "0x10000000"),
    by_number("unshare, a mount namespace", (272, 97), "0x20000"),
    by_number("setns", (308, 268)),
    by_number("mount", (165, 40), "b'none', b'/tmp', b'tmpfs', 0, None"),
    by_number("chroot", (161, 51), "b'/tmp'"),
    by_number("pivot_root", (155, 41), "b'/tmp', b'/tmp'"),
    by_number("personality", (135, 92), "0x40000"),
    by_number("finit_module", (313, 273), "0, b'', 0"),
    by_number("syslog", (103, 116), "10, None, 0"),
    by_number("open_by_handle_at", (304, 265)),
    by_number("fanotify_init", (300, 262)),
    by_number("inotify_init1", (294, 26)),
    by_number("shmget", (29, 194), "0, 4096, 0o1777"),
    by_number("msgget", (68, 186), "0, 0o1777"),
    by_number("mq_open", (240, 180), "b'nova', 0o102, 0o600, None"),
    by_number("memfd_secret", (447, 447), "0"),
    by_number("ptrace", (101, 117), "16, context['server'], 0, 0"),
    by_number("process_vm_readv", (310, 270), "context['server'], None, 0, None, 0, 0"),
    by_number("process_vm_writev", (311, 271), "context['server'], None, 0, None, 0, 0"),
    by_number("kcmp", (312, 272), "os.getpid(), context['server'], 0, 0, 0"),
    by_number("pidfd_open", (434, 434), "context['server'], 0"),
    by_number("rt_sigqueueinfo", (129, 138), "context['server'], 0, ctypes.create_string_buffer(128)"),
    by_number("rt_tgsigqueueinfo", (297, 240), "context['server'], context['server'], 0, ctypes.create_string_buffer(128)"),
    by_number("tkill", (200, 130), "context['server'], 0"),
    by_number("tgkill", (234, 131), "context['server'], context['server'], 0"),
    by_number("execve", (59, 221), "b'/bin/true', None, None"),
    by_number("execveat", (322, 281), "-100, b'/bin/true', None, None, 0"),
    by_number("vfork", (58, None)),
    by_number("clone, a process", (56, 220), "17, 0, 0, 0, 0"),
    by_number("clone, a user namespace", (56, 220), "0x10000000 | 17, 0, 0, 0, 0"),
    by_number("clone3", (435, 435), "ctypes.create_string_buffer(88), 88"),
    by_number("seccomp", (317, 277), "1, 0, ctypes.create_string_buffer(16)"),
    by_number("modify_ldt", (154, None), "0, ctypes.create_string_buffer(16), 16"),
    by_number("openat2", (437, 437), "-100, b'/etc/passwd', ctypes.create_string_buffer(24), 24"),
    by_number("statx", (332, 291), "-100, b'/etc/passwd', 0, 0x7ff, ctypes.create_string_buffer(256)"),
    by_number("timer_create", (222, 107), "0, None, ctypes.create_string_buffer(8)"),
    by_number("setrlimit", (160, 164), "9, ctypes.create_string_buffer(b'\\xff' * 16)"),
    by_number("splice", (275, 76), "0, None, 1, None, 1, 0"),
    by_number("sendfile", (40, 71), "1, 0, None, 1"),
    by_number("landlock_create_ruleset", (444, 444), "None, 0, 1"),
    by_number("setuid", (105, 146), "0"),
    by_number("setresuid", (117, 147), "0, 0, 0"),
    by_number("setgroups", (116, 159), "1, ctypes.create_string_buffer(4)"),
    by_number("capset", (126, 91), "ctypes.create_string_buffer(b'\\x22\\x05\\x08\\x20', 8), ctypes.create_string_buffer(24)"),
    attack("prctl, to be dumped again", "import ctypes\nassert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0"),
    attack("prctl, to outlive the fork server", "import ctypes\nassert ctypes.CDLL(None).prctl(1, 0, 0, 0, 0) == 0"),
    ending("a number of the x32 table", f"{BY_NUMBER}\ncall((0x40000000 + 39, 0x40000000 + 172))\ncontext['through'] = True",
           "crashed"),
    ending(
        "a system call of the 32-bit table",
        "import ctypes, mmap, platform\nif platform.machine() == 'x86_64':\n"
        "    page = mmap.mmap(-1, 4096, prot=7, flags=0x22)\n    page.write(bytes.fromhex('b814000000cd80c3'))\n"
        "    at = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "    context['through'] = ctypes.CFUNCTYPE(ctypes.c_int)(at)() > 0",
        "crashed", "ok",
    ),
    attack("root", "import os\nos.setuid(0)\nassert os.getuid() == 0\nopen('/etc/shadow')"),
]  # fmt: skip
SHORT = {"wall_seconds": 0.5}
SMALL = {"memory_mb": 64}
AMOUNTS = [
    ending("an endless loop", "while True: pass", "timeout", limits=SHORT),
    ending("an endless loop in C", "sum(iter(int, 1))", "timeout", limits=SHORT),
    ending("a regular expression without end", "import re\nre.match('(a+)+$', 'a' * 60 + 'b')", "timeout", limits=SHORT),
    ending("sleep", "import time\ntime.sleep(60)", "timeout", limits=SHORT),
    ending(
        "every signal ignored",
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass",
        "timeout",
        limits=SHORT,
    ),
    ending("stopped by itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "timeout", limits=SHORT),
    ending("exceptions swallowed without end", "while True:\n    try: raise SystemExit\n    except BaseException: pass",
           "timeout", limits=SHORT),
    ending("a lock that nobody opens", "import threading\nthreading.Lock().acquire() and threading.Event().wait()", "timeout",
           limits=SHORT),
    ending("processor time of many threads", "import threading, hashlib\ndef burn():\n    while True: hashlib.sha256(b'x' * 10**6)\n"
           "for _ in range(4): threading.Thread(target=burn).start()\nburn()", "timeout",
           limits={"wall_seconds": 20.0, "cpu_seconds": 1}),
    ending("memory at once", "context['x'] = len(bytearray(10**10))", "memory"),
    ending("memory bit by bit", "kept = []\nwhile True: kept.append(bytearray(10**6))", "memory", limits=SMALL),
    ending("memory of lists", "kept = [0]\nwhile True: kept = kept * 2", "memory", limits=SMALL),
    ending("a number without end", "context['x'] = 1 << (1 << 40)", "memory", "error"),
    ending("threads without end", "import threading, time\nfor _ in range(10**6): threading.Thread(target=time.sleep, "
           "args=(60,)).start()", "error", "memory", "crashed"),
    attack(
        "threads without a stack",
        "import ctypes, mmap, platform, time\nassert platform.machine() == 'x86_64'\n"
        "page = mmap.mmap(-1, 4096, prot=7, flags=0x22)  # clone; the thread pauses for good\n"
        "page.write(bytes.fromhex('b8380000000f0585c07401c3b8220000000f05ebf7'))\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "start = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_ulong, *[ctypes.c_void_p] * 4)(at)\n"
        "for _ in range(3000): assert start(0x3D0F00, at + 4080, None, None, None) > 0\ntime.sleep(2)",
        ends=("error", "memory", "crashed"),
    ),
    ending("output without end", "while True: print('x' * 10_000)", "output_limit"),
    ending("output without end, by descriptor", "import os\nwhile True: os.write(2, b'x' * 65_536)", "output_limit"),
    ending("a result too large", "context['x'] = 'x' * (5 << 20)", "result_limit"),
    ending("an exception too large", "raise ValueError('x' * (5 << 20))", "result_limit"),
    attack(
        "shared memory that outlives its addresses",
        "import ctypes, os, mmap\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.mmap.restype = ctypes.c_void_p\n"
        "libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]\nfor _ in range(12):\n"
        "    at = libc.mmap(None, 16 << 20, 3, 0x21, -1, ctypes.c_long(0))\n    assert at not in (None, 2**64 - 1)\n"
        "    ctypes.memset(at, 1, 16 << 20)\n    libc.munmap(at + 4096, (16 << 20) - 4096)",
        limits=SMALL,
    ),
    attack(
        "descriptors for each thread",
        "import ctypes, os, threading\nfound, stay = [], threading.Event()\ndef fill():\n"
        "    ctypes.CDLL(None).syscall(436, 1000, 1001, 2)\n    n = 0\n    try:\n        while True: os.dup(0); n += 1\n"
        "    except OSError: found.append(n)\n    stay.wait(5)\nthreads = [threading.Thread(target=fill) for _ in range(4)]\n"
        "[t.start() for t in threads]\nwhile len(found) < 4: pass\nstay.set()\nassert sum(found) > 64",
    ),
    control("descriptors are bounded", "import os\nn = 0\ntry:\n    while True: os.dup(0); n += 1\nexcept OSError: pass\n"
            "context['few'] = n < 64", {"few": True}),
    ending("recursion", "def f(): f()\nf()", "error"),
    ending("recursion in C", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", "crashed", "memory", "error", "timeout",
           limits=SHORT),
    ending("a fault", "import ctypes\nctypes.string_at(0)", "crashed"),
    ending("abort", "import os\nos.abort()", "crashed"),
    ending("killed by itself", "import os\nos.kill(os.getpid(), 9)", "crashed", "memory"),
    ending("left without an answer", "import os\nos._exit(0)", "crashed"),
    ending("left with the status of memory", "import os\nos._exit(72)", "crashed", "memory"),
]  # fmt: skip
FORGE = (
    "import json, os, struct\ndef forge(text, length=None):\n    data = text.encode()\n    data = struct.pack('!Q', len(data) if "
    "length is None else length) + data\n    while data: data = data[os.write(4, data):]\n"
)
ANSWERS = [
    ending("a forged answer of no shape", FORGE + "forge('[]')\nos._exit(0)", "crashed"),
    ending("a forged answer of wrong types", FORGE + "forge(json.dumps({'result': {'changes': [1], 'written': 5, 'error': None}}))\n"
           "os._exit(0)", "ok"),
    ending("a forged error of wrong types", FORGE + "forge(json.dumps({'result': {'error': {'type': [], 'line': 'x'}}}))\nos._exit(0)",
           "error"),
    ending("a forged answer nested without end", FORGE + "forge('{\"result\": ' + '[' * 100_000)\nos._exit(0)", "crashed"),
    ending("a forged length", FORGE + "forge('{}', 0xffffffff)\nos._exit(0)", "crashed"),
    ending("a forged level", FORGE + "forge(json.dumps({'result': {'changes': {}, 'level': 'off'}, 'ended': 0}))\nos._exit(0)", "ok"),
    ending("two answers", FORGE + "forge('{\"result\": {}}')\ncontext['x'] = 1", "crashed", "ok", changes={}),
    ending("bytes without end as an answer", "import os\nwhile True: os.write(4, b'[' * 65_536)", "result_limit", "crashed"),
    ending("its output, read back before anybody else", "import os, time\nback = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)\n"
           "end = time.monotonic() + 1\nwhile time.monotonic() < end:\n    os.write(1, b'x')\n    try: os.read(back, 9)\n"
           "    except BlockingIOError: pass", "ok", "error"),
    ending("a wait of four hundred digits", "raise Transient('x', retry_after_seconds=10**400)", "error"),
    ending("a wait without end", FORGE + "forge('{\"result\": {\"error\": {\"retry_after_seconds\": 1e999}}}')\nos._exit(0)", "error"),
    ending("an exception that cannot be shown", "class E(Exception):\n    def __str__(self): raise E\nraise E", "error"),
    ending("an exception whose name is none", "raise type('\\ud800' * 3, (Exception,), {})('\\udfff\\0')", "error"),
    ending("an exception that lies about itself", "class M(type):\n    def __getattribute__(c, n): raise SystemError\n"
           "class E(Exception, metaclass=M): pass\nraise E", "error", "crashed"),
    ending("a group of exceptions", "raise ExceptionGroup('x', [ValueError(1), ExceptionGroup('y', [KeyError(2)])])", "error"),
    ending("leave", "raise SystemExit(3)", "error"),
    ending("interrupt", "raise KeyboardInterrupt", "error"),
    ending("a set", "context['x'] = {1}", "error"),
    ending("bytes", "context['x'] = b'x'", "error"),
    ending("not a number", "context['x'] = float('nan')", "error"),
    ending("infinity", "context['x'] = [{'y': float('-inf')}]", "error"),
    ending("a circle", "x = []\nx.append(x)\ncontext['x'] = x", "error"),
    ending("a key that is no text", "context[1] = 2", "error"),
    ending("an integer of ten thousand digits", "context['x'] = 10**10_000", "error"),
    ending("depth without end", "x = []\nfor _ in range(100_000): x = [x]\ncontext['x'] = x", "error", "crashed"),
    ending("a dict that lies", "class D(dict):\n    def items(self): raise SystemExit\ncontext['x'] = D(a=1)", "error", "ok"),
    ending("json replaced", "import json\njson.dumps = json.loads = None\ncontext['x'] = 1", "ok", "error", "crashed"),
    ending("builtins emptied", "import builtins\nvars(builtins).clear()", "error", "crashed", "ok"),
    ending("modules thrown away", "import sys\nsys.modules.clear()\ncontext['x'] = 1", "ok", "error", "crashed"),
    ending("leaving replaced", "import os\nos._exit = os.write = lambda *a: None\ncontext['x'] = 1", "ok"),
    ending("an exit hook without end", "import atexit\natexit.register(lambda: [0 for _ in iter(int, 1)])\ncontext['x'] = 1", "ok"),
    ending("a thread that stays", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
           "context['x'] = 1", "ok"),
    ending("a trace without end", "import sys\ndef t(*a): return t\nsys.settrace(t)\nsys.setprofile(t)\ncontext['x'] = 1", "ok"),
    ending("output closed", "import os, sys\nsys.stdout.close()\nos.close(2)\ncontext['x'] = 1", "ok"),
    ending("output replaced", "import sys\nsys.stdout = sys.stderr = None\ncontext['x'] = 1", "ok"),
    ending("the answer's pipe closed", "import os\nos.close(4)\ncontext['x'] = 1", "crashed", "error"),
    ending("the context thrown away", "context = None", "ok", "error"),
]  # fmt: skip
CONTROLS = [
    control("a sum", "context['sum'] = sum(context['numbers'])", {"sum": 6}),
    control("common modules", "import base64, csv, datetime, decimal, email, hashlib, html, io, json, math, re, statistics, "
            "textwrap, urllib.parse, uuid, zlib\ncontext['sha'] = hashlib.sha256(b'nova').hexdigest()[:8]", {"sha": "19e05df6"}),
    control("threads", "import threading\nfound = []\nthreads = [threading.Thread(target=found.append, args=(n,)) for n in range(16)]\n"
            "[t.start() for t in threads]\n[t.join() for t in threads]\ncontext['n'] = sorted(found)", {"n": list(range(16))}),
    control("a pool of threads", "from concurrent.futures import ThreadPoolExecutor as P\nwith P(4) as p: "
            "context['n'] = list(p.map(abs, [-1, -2]))", {"n": [1, 2]}),
    control("asyncio", "import asyncio\nasync def main():\n    return await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(3)))\n"
            "context['n'] = asyncio.run(main())", {"n": [0, 1, 2]}),
    control("a megabyte in and out", "context['back'] = context['text'][::-1]\ncontext['length'] = len(context.pop('back'))",
            {"length": 1_000_000}),
    control("text of any script", "context['text2'] = 'größer 日本 😀'.upper()", {"text2": "GRÖSSER 日本 😀"}),
    control("time zones", "from zoneinfo import ZoneInfo\nfrom datetime import datetime as d\n"
            "context['offset'] = d(2024, 7, 1, tzinfo=ZoneInfo('Europe/Berlin')).utcoffset().seconds", {"offset": 7200}),
    control("a database in memory", "import sqlite3\ncontext['n'] = sqlite3.connect(':memory:').execute('select 1 + 1').fetchone()[0]",
            {"n": 2}),
    control("an alarm of its own", "import signal, time\ndef ring(*a): context['rang'] = True\nsignal.signal(signal.SIGALRM, ring)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(0.1)", {"rang": True}),
    control("a pair of sockets", "import socket\na, b = socket.socketpair()\na.sendall(b'x')\ncontext['got'] = b.recv(1).decode()",
            {"got": "x"}),
    control("compression", "import gzip, lzma, bz2, zipfile\ncontext['n'] = len(gzip.decompress(gzip.compress(b'x' * 99)))", {"n": 99}),
    control("an archive in memory", "import io, tarfile, zipfile\nz = zipfile.ZipFile(io.BytesIO(), 'w')\nz.writestr('a', 'b')\n"
            "context['names'] = z.namelist()", {"names": ["a"]}),
    control("xml", "import xml.etree.ElementTree as E\ncontext['tag'] = E.fromstring('<a><b/></a>')[0].tag", {"tag": "b"}),
    control("an old encoding", "context['euro'] = b'\\x80'.decode('cp1252')", {"euro": "€"}),
    control("logging", "import logging\nlogging.warning('seen')\ncontext['x'] = 1", {"x": 1}),
    control("a module that is seldom used", "import xmlrpc.client, colorsys\ncontext['x'] = colorsys.rgb_to_hsv(1, 0, 0)[1]", {"x": 1.0}),
    control("chance differs", "import random, uuid\ncontext['x'] = uuid.uuid4() != uuid.uuid4() and random.random() < 1", {"x": True}),
    control("a package that was named", "import io, pypdf, pypdf.annotations\nw = pypdf.PdfWriter()\nw.add_blank_page(9, 9)\n"
            "b = io.BytesIO()\nw.write(b)\ncontext['pages'] = len(pypdf.PdfReader(b).pages)", {"pages": 1}, needs=frozenset({"pypdf"})),
    control("numpy", "import numpy\na = numpy.arange(9.0).reshape(3, 3)\ncontext['n'] = [float((a @ a).sum()), float(numpy.linalg.det(a + "
            "numpy.eye(3)).round(6))]", {"n": [486.0, -5.0]}, needs=frozenset({"numpy"}), limits={"memory_mb": 512}),
    control("a package that is not there", "try: import numpy_of_another_world\nexcept ModuleNotFoundError: context['x'] = 1", {"x": 1}),
    control("itself, signalled", "import os\nos.kill(os.getpid(), 0)\ncontext['x'] = 1", {"x": 1}),
]  # fmt: skip
QUICK = [*FILES, *PROCESSES, *STARTING, *SIGNALS, *SOCKETS, *NETWORKED, *CALLS, *ANSWERS, *CONTROLS]
CASES = [*QUICK, *AMOUNTS]
