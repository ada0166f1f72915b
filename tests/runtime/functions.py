"""The functions that the nodes of these tests call."""

from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from src.nodes.function import NodeInfo


def note(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Leave a line with the node's id in the file that the context names."""
    with Path(context["effects"]).open("a") as file:
        file.write(f"{node.id}\n")
    return {node.id: "done"}


def wait_for_a_file(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """Say that the node has begun, and end it when the file `go` is there."""
    import time

    note(context, node)
    while not Path(context["go"]).exists():
        time.sleep(0.005)
    return {node.id: "done"}


def look(context: dict[str, Any], node: NodeInfo) -> dict[str, Any]:
    """What somebody else sees of the execution while its node runs."""
    engine = create_engine(context["url"], poolclass=NullPool)
    with engine.connect() as connection:
        query = text("SELECT status FROM executions WHERE id = :id")
        status = connection.execute(query, {"id": node.execution_id}).scalar()
        nodes = connection.execute(
            text("SELECT node_id FROM chain_of_work WHERE execution_id = :id ORDER BY id"), {"id": node.execution_id}
        )
        seen = {"status": status, "nodes": [row.node_id for row in nodes]}
    engine.dispose()
    return {node.id: seen}


def fail(context: dict[str, Any]) -> None:
    raise ValueError(f"expected no {context.get('value', 'value')}")
