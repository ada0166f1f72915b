"""Functions that the workflows of these tests call."""

import time
from pathlib import Path
from typing import Any

from src.nodes.function import NodeInfo


def step(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Waits for the file `<folder>/<node>`."""
    node.progress(0.5, "half way")
    while not (Path(context["folder"]) / node.id).exists():
        time.sleep(0.01)
    return {node.id: "done"}


def work(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """A little at a time."""
    for part in range(4):
        node.progress(part / 4, f"part {part + 1} of 4")
        time.sleep(0.05)
    return {node.id: f"done by {node.id}"}


def look_for(context: dict[str, Any]) -> None:
    """Fails where the file `<path>` is not there."""
    if not Path(context["path"]).exists():
        raise ValueError("it is not there yet")
