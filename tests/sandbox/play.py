"""Plays the corpus in one setting and prints what was not as it must be.

python -m tests.sandbox.play as-it-is landlock all
python -m tests.sandbox.play user none quick          without Landlock, and without what takes long
python -m tests.sandbox.play user landlock controls   only what must work
python -m tests.sandbox.play user landlock fork 300   those that are called so, each with so many seconds instead of 30

A setting is what a deployment may look like: root, an ordinary user, a container's capabilities; each with Landlock or
without. It is taken on by this process before the fork server starts, so it has to be a process of its own.
"""

import importlib.util
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from src.sandbox.executor import CodeRequest, Limits
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.inside.walls import bpf, identity
from src.sandbox.inside.walls.libc import PR_SET_NO_NEW_PRIVS, prctl
from src.sandbox.inside.walls.seccomp import ALLOW, REFUSE, Filter
from src.sandbox.self_test import what_is_wrong
from src.sandbox.server_process import Installation
from tests.sandbox.corpus import CASES, CONTROLS, QUICK, Case

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
AMOUNTS = {"all": CASES, "quick": QUICK, "controls": CONTROLS}
EXECUTION = 1
"""One for all snippets: many of them meet a child that has run others."""
CONTAINER = sum(1 << each for each in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
"""The capabilities of a process in a container that nobody has configured."""
DENIED = {"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "keyctl": (250, 219), "bpf": (321, 280)}
"""What the usual profile of a container refuses."""


def as_user() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def in_container(capabilities: int = CONTAINER) -> None:
    place = os.uname().machine == "aarch64"
    code = [bpf.load(bpf.NUMBER)]
    for numbers in DENIED.values():
        code += bpf.when(numbers[place], [bpf.answer(REFUSE)])
    profile = Filter.__new__(Filter)
    profile._code = bpf.packed([*code, bpf.answer(ALLOW)])
    profile.raise_wall(0)
    identity.set_capabilities(capabilities)
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def as_user_in_container() -> None:
    as_user()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    in_container(0)


SETTINGS: dict[str, Callable[[], None]] = {
    "as-it-is": lambda: None,
    "user": as_user,
    "container": in_container,
    "container-without-capabilities": lambda: in_container(0),
    "user-in-container": as_user_in_container,
}


def main(setting: str, landlock: str, amounts: str, seconds: str = "30") -> int:
    with ExitStack() as stack:
        SETTINGS[setting]()
        targets = prepare(stack)
        os.environ["DATABASE_URL"] = "postgresql://nova:hunter2@127.0.0.1/nova"
        packages = {name: folder for name in ("pypdf", "numpy") if (folder := folder_of(name))}
        installation = Installation(packages, [targets["port"]], landlock=landlock == "landlock")
        executor = ForkServerExecutor(installation, slots=4, kept=4)
        stack.callback(executor.close)
        strength = executor.strength
        able = ({"landlock"} if strength.network else set()) | set(packages)
        chosen = [case for case in called(amounts) if case.needs <= able]
        with ThreadPoolExecutor(4) as threads:
            played = threads.map(lambda case: play(executor, case, targets, float(seconds)), chosen)
            wrong = [told for told in played if told]
        wrong += what_is_wrong(executor, os.getpid())
    left_out = sorted({need for case in CASES for need in case.needs - able})
    report = {
        "played": len(chosen),
        "left_out_for_want_of": left_out,
        "wrong": wrong,
        "level": strength.level,
        "own_users": strength.own_users,
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def called(amounts: str) -> list[Case]:
    return AMOUNTS.get(amounts) or [case for case in CASES if amounts in case.name]


def folder_of(package: str) -> str | None:
    """Where it is. The interpreter that an ordinary user can start may have nothing that Nova itself needs."""
    found = importlib.util.find_spec(package)
    return str(Path(found.origin).parents[1]) if found and found.origin else None


def prepare(stack: ExitStack) -> dict[str, Any]:
    """Something to attack: a readable secret, open ports, a unix socket, this process."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    Path(folder).chmod(0o777)
    secret = Path(folder, "secret")
    secret.write_text("hunter2")
    secret.chmod(0o666)
    doors = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=50)) for _ in range(2)]
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    unix.bind(f"{folder}/socket")
    unix.listen()
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
    abstract.bind(f"\0nova-corpus-{os.getpid()}")
    Path(folder, "socket").chmod(0o777)
    port, other_port = (door.getsockname()[1] for door in doors)
    return {
        "server": os.getpid(), "file": str(secret), "folder": folder, "nova": str(ROOT), "port": port,
        "other_port": other_port, "socket": f"{folder}/socket", "numbers": [1, 2, 3], "text": "ä" * 1_000_000,
    }  # fmt: skip


def play(executor: ForkServerExecutor, case: Case, targets: dict[str, Any], seconds: float) -> str | None:
    """What was not as it must be."""
    context = targets if "text" in case.code else {name: value for name, value in targets.items() if name != "text"}
    limits = Limits(**{"wall_seconds": seconds, **case.limits})
    request = CodeRequest(case.code, "action", context, limits, network=case.network, execution_id=EXECUTION)
    result = executor.run(request, threading.Event())
    told = f"{case.name}: {result.status} {result.changes or ''} {result.error or ''}"[:300]
    if result.status not in case.ends or result.changes.get("through"):
        return told
    if case.changes is not None and result.changes != case.changes:
        return told
    return None


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
