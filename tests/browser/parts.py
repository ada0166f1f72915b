"""What the tests of the page save and run, over the API."""

import json
import threading
from pathlib import Path
from typing import Any

from tests.api.door import Json
from tests.api.test_server import ROOT, Server

MODULES = "tests.browser.functions,examples.invoice.functions"
INVOICE = json.loads((ROOT / "examples/invoice/workflow.json").read_text(encoding="utf-8"))


class PageServer(Server):
    """Nobody waits for what it prints, so that it is never held up by that."""

    def __init__(self, database_url: str, *, port: int = 0, **environment: str) -> None:
        self.port = port
        usual = {"NOVA_FUNCTIONS": MODULES, "SANDBOX_PACKAGES": "pypdf", "SHUTDOWN_GRACE_SECONDS": "0"}
        super().__init__(database_url, **usual | environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as printed:
            for _ in printed:
                pass


def save(server: Server, document: Json) -> int:
    """Once for each name: the tests share a server."""
    _, listed = server.request("GET", "/workflows?limit=500")
    for known in listed["workflows"]:
        if known["name"] == document["name"]:
            return int(known["id"])
    status, saved = server.request("POST", "/workflows", document)
    assert status == 201, saved
    return int(saved["id"])


def start(server: Server, workflow_id: int, context: Json | None = None, *, wait: bool = True) -> int:
    path = f"/workflows/{workflow_id}/execute?async_mode={'false' if wait else 'true'}"
    status, execution = server.request("POST", path, {"initial_context": context or {}})
    assert status in (200, 202), execution
    return int(execution["id"])


def step(node_id: str, **fields: Any) -> Json:
    return {"id": node_id, "type": "function", "function": "step", **fields}


def let(folder: Path, node_id: str) -> None:
    """Let a step go on."""
    (folder / node_id).touch()


def wide(count: int) -> Json:
    """A graph with so many nodes side by side."""
    ids = [f"n{place}" for place in range(count)]
    nodes = [{"id": each, "type": "transform", "set": {each: "{{ 1 }}"}} for each in ids]
    edges = [edge for each in ids for edge in ({"from": "start", "to": each}, {"from": each, "to": "end"})]
    return {
        "name": f"{count} side by side",
        "graph_definition": {
            "nodes": [{"id": "start", "type": "start"}, *nodes, {"id": "end", "type": "end"}],
            "edges": edges,
        },
    }
