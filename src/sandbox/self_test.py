"""Attacks that a sandbox must stop, run once before anybody's code is: walls are believed when they have held."""

import threading

from src.sandbox.executor import CodeExecutor, CodeRequest, Limits

LIMITS = Limits(wall_seconds=20.0)
ATTACKS = """
import ctypes, os, signal, socket

def attempt_all():
    yield "read a file of the system", lambda: open("/etc/passwd").read()
    yield "list a folder", lambda: os.listdir("/etc")
    yield "read the environment of the server", lambda: open(f"/proc/{context['server']}/environ").read()
    yield "write a file", lambda: open("/tmp/nova-sandbox-self-test", "w")
    yield "start a process", fork
    yield "run a program", lambda: os.execv("/bin/true", ["true"])
    yield "signal the server", lambda: os.kill(context["server"], 0)
    yield "signal the fork server", lambda: os.kill(os.getppid(), 0)
    yield "open a network socket", lambda: socket.socket(socket.AF_INET)
    yield "open a unix socket", lambda: socket.socket(socket.AF_UNIX)
    yield "make a namespace", lambda: called("unshare", 0x10000000)
    yield "become root", lambda: os.setuid(0)
    yield "import Nova", lambda: __import__("src")

def fork():
    if os.fork() == 0:
        os._exit(0)

def called(name, *arguments):
    if getattr(ctypes.CDLL(None), name)(*arguments) != 0:
        raise OSError(name)

through = []
for name, attack in attempt_all():
    try:
        attack()
    except (OSError, ImportError):
        continue
    through.append(name)
context["through"] = through
context["environment"] = dict(os.environ)
"""
HARMLESS_NAMES = {"LC_CTYPE"}
"""What Python itself sets in an environment that is empty."""


def what_is_wrong(executor: CodeExecutor, server: int) -> list[str]:
    """What got through, or that harmless code did not run; nothing where all is well. `server` is the pid to attack."""
    request = CodeRequest(ATTACKS, "action", {"server": server}, LIMITS)
    result = executor.run(request, threading.Event())
    if result.status != "ok":
        detail = result.error.message if result.error else ""
        return [f"harmless code does not run: {result.status} {detail}".rstrip()]
    through = result.changes.get("through")
    if not isinstance(through, list):
        return ["harmless code does not answer"]
    shown = set(result.changes.get("environment") or {}) - HARMLESS_NAMES
    return [f"code can {name}" for name in through] + [f"code sees {name} in its environment" for name in sorted(shown)]
