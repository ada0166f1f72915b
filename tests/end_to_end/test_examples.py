"""The examples, each run to its end against the stand-in services on loopback, and compared with what it says."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import create_engine, make_url, text
from starlette.testclient import TestClient

import dev
from examples import tour
from examples.services.app import create_app
from examples.services.mail import PASSWORD, USERNAME, mail_server
from tests.api.door import execute, save, serving
from tests.runtime.building import eventually

Json = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FUNCTIONS = ["examples.newsroom.functions", "examples.knowledge.functions"]


def read(path: str) -> Json:
    document: Json = json.loads((EXAMPLES / path).read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def services() -> Iterator[str]:
    """The address of the stand-ins."""
    server = uvicorn.Server(uvicorn.Config(create_app(slow_seconds=0.05), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@contextmanager
def nova(url: str, services: str, **settings: Any) -> Iterator[TestClient]:
    place = services.removeprefix("http://")
    models = {"llm_base_url": f"{services}/v1", "llm_model": "stand-in", "llm_image_model": "stand-in"}
    allowed = {"outbound_allow": place, "nova_functions": FUNCTIONS, "inline_budget_seconds": 20}
    with serving(url, **{**models, **allowed, **settings}) as client:
        yield client


def run(client: TestClient, workflow: Json, services: str, **context: Any) -> Json:
    """What a run of it comes to: its end, or what it waits for a person for."""
    given = json.loads(
        json.dumps({**workflow["initial_context"], **context}).replace("http://127.0.0.1:8600", services)
    )
    execution = execute(client, save(client, workflow), given).json()

    def is_still() -> bool:
        shown = client.get(f"/executions/{execution['id']}").json()
        return shown["status"] in ("completed", "failed", "stopped") or shown["waiting_for"] == "review"

    eventually(is_still, seconds=60)
    return shown(client, execution["id"])


def shown(client: TestClient, execution_id: int) -> Json:
    execution: Json = client.get(f"/executions/{execution_id}").json()
    entries = client.get(f"/executions/{execution_id}/chain").json()["entries"]
    execution["context"] = {}
    for entry in entries:
        execution["context"] |= entry["output_result"] or {}
    execution["ran"] = [entry["node_id"] for entry in entries]
    return execution


def assert_holds(execution: Json, expected: Json) -> None:
    assert execution["error"] is None
    assert {key: execution["context"].get(key) for key in expected["context"]} == expected["context"]


def test_every_example_is_offered_and_what_it_loads_is_there() -> None:
    assert list(tour.EXAMPLES) == list(dev.EXAMPLES)
    assert all((EXAMPLES / path).is_file() for paths in tour.EXAMPLES.values() for path in paths)


# Creative.


def test_creative_puts_words_and_picture_together(database_url: str, services: str) -> None:
    expected = read("creative/expected.json")
    with nova(database_url, services) as client:
        done = run(client, read("creative/workflow.json"), services)

    assert_holds(done, expected)
    assert set(done["ran"]) == set(expected["nodes"])
    assert done["result"]["advertisement"]["headline"] == expected["context"]["copy"]["headline"]
    assert done["result"]["advertisement"]["picture"].startswith("iVBOR")


def test_creative_waits_for_a_person_where_moderation_flags_the_words(sqlite_url: str, services: str) -> None:
    with nova(sqlite_url, services) as client:
        waiting = run(client, read("creative/workflow.json"), services, product="A Miracle Cure")
        answer = client.post(f"/executions/{waiting['id']}/nodes/moderation/review", json={"decision": "approve"})
        eventually(lambda: client.get(f"/executions/{waiting['id']}").json()["status"] == "completed")

    assert waiting["status"] == "waiting"
    assert answer.status_code == 200, answer.text


def test_creative_can_be_paused_and_resumed_and_writes_nothing_twice(sqlite_url: str, services: str) -> None:
    workflow = read("creative/workflow.json")
    workflow["nodes"].insert(2, {"id": "breath", "type": "wait", "seconds": 0.5})
    workflow["edges"] = [edge for edge in workflow["edges"] if edge["from"] != "copy"] + [
        {"from": "copy", "to": "breath"},
        {"from": "breath", "to": "picture"},
        {"from": "breath", "to": "moderation"},
    ]
    with nova(sqlite_url, services) as client:
        workflow_id = save(client, workflow)
        body = {"initial_context": {**workflow["initial_context"], "services": services}}
        queued = client.post(f"/workflows/{workflow_id}/execute", params={"async_mode": True}, json=body).json()
        where = f"/executions/{queued['id']}"
        client.post(f"{where}/pause")
        eventually(lambda: client.get(where).json()["status"] == "paused")
        resumed = client.post(f"{where}/resume")
        eventually(lambda: client.get(where).json()["status"] == "completed", seconds=60)
        done = shown(client, queued["id"])

    assert resumed.status_code == 200, resumed.text
    assert done["ran"].count("copy") == 1
    assert "advertisement" in done["result"]


# Newsroom.


@pytest.mark.parametrize("question", read("newsroom/expected.json"))
def test_newsroom_answers_or_researches(
    sqlite_url: str, services: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    monkeypatch.setenv("NEWSROOM_DATA", str(tmp_path))
    expected = read("newsroom/expected.json")[question]
    with nova(sqlite_url, services) as client:
        asked = run(client, read("newsroom/workflow.json"), services, question=question)
        if expected["status"] == "waiting":
            body = {"decision": "approve", "output": {"headline": "ACME up"}}
            client.post(f"/executions/{asked['id']}/nodes/editor/review", json=body)
            eventually(lambda: client.get(f"/executions/{asked['id']}").json()["status"] == "completed")
        done = shown(client, asked["id"])

    assert asked["status"] == expected["status"]
    assert_holds(asked, expected)
    assert set(done["ran"]) == set(expected["nodes"])
    if expected["status"] == "waiting":
        [published] = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
        assert published["headline"] == "ACME up"
        assert done["result"]["tell_end"] >= 2


# Scan.


def test_scan_checks_everything_at_once(database_url: str, services: str) -> None:
    expected = read("scan/expected.json")
    with nova(database_url, services) as client:
        for tool in ("link", "phone", "company"):
            document = read(f"scan/tools/{tool}.json")
            document["initial_context"]["services"] = services
            save(client, document)
        done = run(client, read("scan/workflow.json"), services)
        executions = client.get("/executions").json()["executions"]

    assert_holds(done, {"context": {"scan": expected["scan"]}})
    assert len(executions) == 1 + expected["children"]


# Knowledge.


def test_knowledge_publishes_what_could_be_fetched(
    sqlite_url: str, services: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWLEDGE_DATA", str(tmp_path / "base"))
    expected = read("knowledge/expected.json")
    with nova(sqlite_url, services) as client:
        done = run(client, read("knowledge/workflow.json"), services)
        again = run(client, {**read("knowledge/workflow.json"), "name": "again"}, services)

    assert done["error"] is None
    assert json.loads(json.dumps(done["result"]["synthesise"])) == expected["synthesise"]
    assert [entry["title"] for entry in done["result"]["entries"]] == expected["titles"]
    assert len(done["result"]["refused"]) == expected["refused"]
    assert len(done["result"]["lost"]) == expected["lost"]
    assert done["result"]["commit"] == again["result"]["commit"]
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=tmp_path / "base", capture_output=True, text=True, check=True
    )
    assert log.stdout.splitlines() == ["Publish 3 pages"]


# Invoice by mail.


def test_an_invoice_goes_from_the_mail_to_the_clients_database_and_back(
    sqlite_url: str, services: str, postgres_url: str
) -> None:
    database = make_url(postgres_url)
    workflow = read("invoice/mail.json")
    with mail_server() as mail:
        for name in ("over-limit", "under-limit", "no-attachment"):
            mail.box.receive((EXAMPLES / "invoice" / "inbox" / f"{name}.eml").read_bytes())
        for node in workflow["nodes"]:
            if "port" in node:
                node["port"] = mail.smtp_port if node["type"] == "email_send" else mail.imap_port
        places = [f"127.0.0.1:{port}" for port in (mail.smtp_port, mail.imap_port, database.port)]
        with nova(sqlite_url, services, outbound_allow=",".join(places), sandbox_packages="pypdf") as client:
            credentials = {
                "mail_host": "127.0.0.1",
                "mail_user": USERNAME,
                "mail_password": PASSWORD,
                "db_url": database.set(drivername="postgresql").render_as_string(hide_password=False),
            }
            client.post("/clients", json={"slug": "acme", "name": "Acme"})
            kept = client.put("/clients/acme/credentials/mail", json=credentials)
            workflow_id = save(client, workflow)
            runs = [
                client.post(f"/workflows/{workflow_id}/execute", json={"client_slug": "acme"}).json() for _ in range(4)
            ]
            told = json.dumps([client.get(f"/executions/{each['id']}/chain").json() for each in runs])

    assert kept.status_code < 300, kept.text
    assert [each["error"] for each in runs] == [None] * 4
    assert [each["result"].get("outcome") for each in runs] == ["review", "saved", None, None]
    assert all(each.is_seen for each in mail.box.inbox)
    subjects = [str(message_from_bytes(each.content, policy=policy.default)["Subject"]) for each in mail.box.sent]
    assert [subject.startswith("Re: ") for subject in subjects] == [True] * 3
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT invoice_number, total::float, outcome FROM received_invoices ORDER BY 2")
        )
        assert [tuple(row) for row in rows] == [("2026/10-093", 940.1, "saved"), ("RE-2026-0417", 1640.0, "review")]
    engine.dispose()
    assert PASSWORD not in told
