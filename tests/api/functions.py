"""Functions that the workflows of these tests call."""

import asyncio
import itertools
import threading
import time
from pathlib import Path
from typing import Any

from src.nodes.function import NodeInfo

Context = dict[str, Any]


class Gate:
    """Holds the runs that have come to `wait_at_gate` until a test lets them go on."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.reached = threading.Semaphore(0)
        self.left = threading.Semaphore(0)


GATE = Gate()


def wait_at_gate(context: Context) -> Context:
    GATE.reached.release()
    GATE.opened.wait(30)
    GATE.left.release()
    return {"passed": True}


def greet(context: Context) -> Context:
    return {"greeting": f"Hello, {context.get('name', 'you')}!"}


def echo(context: Context) -> Context:
    return context


def fail(context: Context) -> Context:
    raise ValueError("the supplier does not answer")


def numbered_key(context: Context) -> dict[int, int]:
    return {1: 2}


def not_a_number(context: Context) -> Context:
    return {"list": [1, float("nan")]}


def endless(context: Context) -> Context:
    inner: list[Any] = []
    inner.append(inner)
    return {"inner": inner}


def bytes_value(context: Context) -> Context:
    return {"file": b"%PDF-"}


def lone_surrogate(context: Context) -> Context:
    return {"text": "\ud800"}


def nul(context: Context) -> Context:
    return {"text": "a\x00b"}


def broken_message(context: Context) -> Context:
    raise ValueError("NUL \x00 and half a pair \ud800 and text")


def leave(context: Context) -> Context:
    raise SystemExit(3)


def give_up(context: Context) -> Context:
    """What code that runs an event loop of its own lets through when a task of it is cancelled."""
    raise asyncio.CancelledError


def note_who_runs(context: Context, node: NodeInfo) -> None:
    """Leaves a file that says how many were at it together."""
    folder = Path(context["folder"])
    mark = folder / f"at_{node.execution_id}"
    mark.touch()
    together = len(list(folder.glob("at_*")))
    (folder / f"{together}-{node.execution_id}").touch()
    time.sleep(0.05)
    mark.unlink()


def report_and_wait(context: Context, node: NodeInfo) -> Context:
    """Says how far it is, and goes on when the file `go` is there."""
    node.progress(0.4, "page 12 of 30")
    while not Path(context["go"]).exists():
        time.sleep(0.01)
    return {node.id: "done"}


def fail_once(context: Context, node: NodeInfo) -> Context:
    mark = Path(context["folder"]) / "has_failed"
    if mark.exists():
        return {"mended": True}
    mark.touch()
    raise ValueError("the supplier does not answer")


def fail_once_for_some(context: Context, node: NodeInfo) -> Context:
    """For each item in `failing`; and leaves a file for every time it runs."""
    folder, item = Path(context["folder"]), context["item"]
    ran = len(list(folder.glob(f"{item}-*")))
    (folder / f"{item}-{node.execution_id}").touch()
    if item in context["failing"] and not ran:
        raise ValueError(f"nothing comes of {item}")
    return {"doubled": 2 * item}


def leave_a_file(context: Context, node: NodeInfo) -> None:
    """For every time it runs."""
    (Path(context["folder"]) / f"{node.id} of {context['item']} in {node.execution_id}").touch()


COUNTER = itertools.count()


def count_up(context: Context) -> Context:
    return {"count": next(COUNTER)}
