"""The invoice example over HTTP: four mails, and what the client's own database holds afterwards."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import execute, save, serving

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "invoice"
WORKFLOW: dict[str, Any] = json.loads((EXAMPLE / "workflow.json").read_text(encoding="utf-8"))
EXPECTED: dict[str, Any] = json.loads((EXAMPLE / "expected.json").read_text(encoding="utf-8"))
TABLES = {"saved": "invoices", "review": "review_list"}


@pytest.fixture
def invoices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the clients' databases."""
    folder = tmp_path / "invoices"
    monkeypatch.setenv("INVOICE_DATA", str(folder))
    return folder


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient]:
    with serving(database_url, nova_functions=["examples.invoice.functions"], sandbox_packages="pypdf") as client:
        yield client


def rows_of(path: Path, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        known = database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        query = f"SELECT id, sender, invoice_number, total, currency, subject, received_at FROM {table}"
        return database.execute(query).fetchall() if known else []


def test_every_mail_of_the_inbox_has_its_expectation() -> None:
    assert {path.name for path in (EXAMPLE / "inbox").glob("*.eml")} == EXPECTED.keys()


@pytest.mark.parametrize("mail", EXPECTED)
def test_a_mail_ends_as_it_is_expected_to(client: TestClient, invoices: Path, mail: str) -> None:
    expected = EXPECTED[mail]

    execution = execute(client, save(client, WORKFLOW), {"mail": mail}).json()

    assert execution["error"] is None
    assert execution["status"] == "completed"
    assert [node["id"] for node in execution["nodes"]] == expected["nodes"]
    assert {key: execution["result"].get(key) for key in expected["context"]} == expected["context"]
    saved = invoices / "acme.db"
    for outcome, table in TABLES.items():
        rows = rows_of(saved, table) if saved.exists() else []
        assert rows == ([row_of(execution["result"])] if execution["result"]["outcome"] == outcome else [])


def row_of(context: dict[str, Any]) -> tuple[Any, ...]:
    names = ("saved_as", "sender", "invoice_number", "total", "currency", "subject", "received_at")
    return tuple(context[name] for name in names)


def test_a_mail_that_comes_twice_is_kept_once(client: TestClient, invoices: Path) -> None:
    workflow_id = save(client, WORKFLOW)

    for _ in range(2):
        execute(client, workflow_id, {"mail": "under-limit.eml", "client": "north-shop"})

    assert len(rows_of(invoices / "north-shop.db", "invoices")) == 1


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"mail": "missing.eml"}, "The inbox has no mail 'missing.eml'"),
        ({"mail": "../functions.py"}, "The inbox has no mail"),
        ({"mail": None}, "The inbox has no mail None"),
        ({"mail": "under-limit.eml", "client": "../../etc/x"}, "must be a slug"),
    ],
)
def test_a_wrong_order_fails_with_what_is_wrong_and_writes_nothing(
    client: TestClient, invoices: Path, context: dict[str, Any], said: str
) -> None:
    execution = execute(client, save(client, WORKFLOW), context).json()

    assert execution["status"] == "failed"
    assert said in execution["error"]["message"]
    assert not invoices.exists()


def test_the_chain_of_an_invoice_reads_as_an_audit_trail(client: TestClient, invoices: Path) -> None:
    execution = execute(client, save(client, WORKFLOW), {"mail": "under-limit.eml"}).json()

    entries = client.get(f"/executions/{execution['id']}/chain").json()["entries"]

    by_node = {entry["node_id"]: entry for entry in entries}
    assert by_node["over_limit"]["decision_result"] == "false"
    assert by_node["over_limit"]["input_context"]["total"] == 940.1
    assert "PDF:" in by_node["read_mail"]["logs"]
    assert by_node["save"]["output_result"]["saved_to"] == str(invoices / "acme.db")
