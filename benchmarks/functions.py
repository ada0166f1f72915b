"""What the `function` nodes of the benchmark call: as little work as a node can do that still answers something."""

import time
from typing import Any

from src.nodes.function import NodeInfo


def work(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """A small dict under the node's own name, computed from the initial context."""
    return {node.id: {"status": "paid", "amount": context["amount"] + 1}}


def nap(context: dict[str, Any]) -> None:
    """Waits for somebody else, as most work does."""
    time.sleep(context["item"])


def pause(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Some hundredths of a second, as a node that asks somebody else takes them."""
    time.sleep(context["seconds"])
    return {node.id: "done"}
