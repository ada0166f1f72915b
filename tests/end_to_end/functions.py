"""The functions that the workflow of the kill tests calls. Each leaves a line, so that a repeated effect shows."""

import os
import time
from pathlib import Path
from typing import Any

from src.nodes.function import NodeInfo


def work(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """An effect that cannot be taken back: a line with the execution and the node."""
    _leave_a_line(context, node)
    return {node.id: f"{node.id} of {context['order']}"}


def work_slowly(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """The same; it takes long enough for siblings to end at different moments."""
    _leave_a_line(context, node)
    time.sleep(context.get("pauses", {}).get(node.id, 0.0))
    return {node.id: f"{node.id} of {context['order']}"}


def tell_process(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Which process it runs in."""
    _leave_a_line(context, node)
    return {node.id: os.getpid()}


def wait_at_gate(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Say that it has begun, and end when the file `gate` is there."""
    _leave_a_line(context, node)
    while not Path(context["gate"]).exists():
        time.sleep(0.01)
    return {node.id: os.getpid()}


def hold(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Say that it has begun, and end when the file `gate` is there. It does not tell where it ran."""
    wait_at_gate(context, node)
    return {node.id: "held"}


def fail_first(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Nobody answers before the third time."""
    _leave_a_line(context, node)
    tried = Path(context["effects"]).read_text().count(node.idempotency_key)
    if tried < 3:
        raise ConnectionError(f"nobody answers the {tried}. time")
    return {node.id: tried}


def nap(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    _leave_a_line(context, node)
    time.sleep(context["seconds"])
    return {node.id: os.getpid()}


def stamp(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """An effect with its moment; then it takes as long as the context says."""
    line = f"{node.execution_id} {node.id} {time.time():.6f}\n"
    file = os.open(Path(context["effects"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
    time.sleep(context["pauses"][node.id])
    return {node.id: f"{node.id} of {context['order']}"}


def refuse(context: dict[str, Any]) -> None:
    raise ValueError("not today")


def _leave_a_line(context: dict[str, Any], node: NodeInfo) -> None:
    file = os.open(Path(context["effects"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{node.execution_id} {node.id} {node.idempotency_key}\n".encode())
    os.close(file)
