"""What the tests of the HTTP door share: an application on a database, the graphs they send, a count of all rows."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select
from starlette.testclient import TestClient

from src.api.main import create_app
from src.database import Database
from src.models import Base
from src.settings import Settings

Json = dict[str, Any]
LOOPBACK = "http://127.0.0.1"
"""Starlette's own "testserver" would count as reached from another machine, and code would be refused."""
FUNCTIONS = "tests.api.functions"
ENCRYPTION_KEY = "c" * 43 + "="


@contextmanager
def serving(database_url: str, *, base_url: str = LOOPBACK, **settings: Any) -> Iterator[TestClient]:
    """The application, started, with the functions of this package. Most tests run no code: a sandbox opens for those
    that do.
    """
    usual = {"nova_functions": [FUNCTIONS], "encryption_keys": ENCRYPTION_KEY}
    app = create_app(Settings(database_url=database_url, **{**usual, **settings}), warms_up=False)
    with TestClient(app, base_url=base_url, raise_server_exceptions=False) as client:
        yield client


def rows(database_url: str) -> dict[str, int]:
    """How many rows each table has."""
    with closing(Database(database_url)) as database, database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
            if table.name not in ("processes", "figures")  # say how this process is, whatever is asked
        }


def line(*nodes: Json, name: str = "line", **body: Any) -> Json:
    """A workflow whose nodes follow one another between a start and an end."""
    all_nodes = [{"id": "start", "type": "start"}, *nodes, {"id": "end", "type": "end"}]
    edges = [{"from": one["id"], "to": other["id"]} for one, other in pairwise(all_nodes)]
    return {"name": name, "graph_definition": {"nodes": all_nodes, "edges": edges}, **body}


def transform(node_id: str = "compute", **values: Any) -> Json:
    return {"id": node_id, "type": "transform", "set": values}


def action(code: str, node_id: str = "work", **fields: Any) -> Json:
    return {"id": node_id, "type": "action", "code": code, **fields}


def function(name: str, node_id: str = "call") -> Json:
    return {"id": node_id, "type": "function", "function": name}


def decision(expression: str, node_id: str = "ask") -> Json:
    return {"id": node_id, "type": "decision", "expression": expression}


def save(client: TestClient, document: Json) -> int:
    answer = client.post("/workflows", json=document)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def execute(client: TestClient, workflow_id: int, context: Json | None = None, **headers: str) -> Any:
    return client.post(f"/workflows/{workflow_id}/execute", json={"initial_context": context or {}}, headers=headers)


def run(client: TestClient, document: Json, context: Json | None = None) -> Any:
    """Save a workflow and run it."""
    return execute(client, save(client, document), context)


class Background:
    """A call in a thread of its own, which cannot hang the test."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._answer: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self, within_seconds: float = 20.0) -> Any:
        self._thread.join(within_seconds)
        assert not self._thread.is_alive(), f"no answer within {within_seconds:g} s"
        return self._answer

    def _run(self) -> None:
        self._answer = self._call()
