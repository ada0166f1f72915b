"""Secrets are planted, nodes do with them what they should not, and then everything that was kept is searched."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from src.__main__ import cli
from src.runtime.broker import make_celery  # noqa: F401 -- loaded before logs are captured
from tests.api.door import ENCRYPTION_KEY, action, function, line, save, serving, transform
from tests.end_to_end.fleet import Fleet, fleet
from tests.outside.peers import Peer, Seen, Told, http_peer
from tests.runtime.building import eventually

SECRETS = {
    "password": 'c0rrect "horse"/bättery+staple&100%',
    "token": "tok_5f2e9c1b7a",
    "number": 73190246,
    "key": "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----",
}
FUNCTIONS = "tests.end_to_end.leaking"
CODE = """
import base64, json, urllib.parse
from src.models.credentials import get_email_credentials
found = get_email_credentials(context["client_slug"])
for name in ("password", "token", "key"):
    secret = getattr(found, name)
    print(secret, repr(secret), json.dumps([secret]))
    print(base64.b64encode(secret.encode()).decode(), base64.encodebytes(b"user:" + secret.encode() * 3).decode())
    context[f"{name} as it is"] = secret
    context[f"{name} in base64"] = [base64.b64encode((before + secret).encode()).decode() for before in ("", "a", "ab")]
    context[f"{name} in a URL"] = urllib.parse.urlencode({"q": secret})
    context[f"{name} in JSON"] = json.dumps(json.dumps(secret))
    context[f"{name} as a key"] = {secret: {secret: secret}}
context["number"] = [found.number, str(found.number)]
"""


def graph(peer: Peer) -> Any:
    """Every kind of node that can hold a secret in its hands, one after another."""
    echo: Any = {
        "id": "echo",
        "type": "http_request",
        "method": "POST",
        "url": f"{peer.url}/{{{{ credentials.token }}}}",
    }
    echo["auth"] = {"username": "nova", "password": "{{ credentials.token }}"}
    echo["json"] = {"k": "{{ credentials.key }}", "p": "{{ credentials.password }}"}
    ask = {"id": "ask", "type": "review", "title": "Is {{ credentials.password }} right?"}
    told = {"id": "told", "type": "decision", "expression": "credentials.token"}
    return line(
        action(CODE, "code"),
        function("log_and_answer"),
        transform("template", x="{{ credentials.password }}", y="{{ credentials.number }}"),
        told,
        echo,
        ask,
        function("log_and_raise", "raise"),
    )


def echo(seen: Seen) -> Told:
    shown = {"path": seen.path, "headers": seen.headers, "body": seen.body.decode()}
    return Told(body=shown)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with http_peer(echo) as made:
        yield made


def plant(client: TestClient) -> None:
    client.post("/clients", json={"slug": "acme"})
    answer = client.put("/clients/acme/credentials/all", json=SECRETS)
    assert answer.json()["unmasked"] == []


def forms() -> Iterator[str]:
    """Written down here once more, so that a mistake in the masking is none of the search."""
    for secret in map(str, SECRETS.values()):
        yield from {secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, ""), quote_plus(secret)}
        yield base64.b64encode(secret.encode()).decode()[:-4]


def assert_absent(text: str, where: str) -> None:
    for form in forms():
        assert form not in text, f"{form!r} stands in {where}"


def scan(database_url: str, *logs: Path, **settings: str) -> tuple[int, str]:
    environment = {"DATABASE_URL": database_url, "ENCRYPTION_KEYS": ENCRYPTION_KEY, **settings}
    ended = CliRunner().invoke(cli, ["leak-scan", *map(str, logs)], env=environment)
    return ended.exit_code, ended.output


def test_no_secret_is_kept_or_told(
    database_url: str, peer: Peer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = []
    with serving(database_url, nova_functions=[FUNCTIONS], outbound_allow=peer.place) as client:
        plant(client)
        workflow_id = save(client, graph(peer))
        body = {"client_slug": "acme", "initial_context": {"given": f"by hand: {SECRETS['password']}"}}
        answers.append(client.post(f"/workflows/{workflow_id}/execute", json=body))
        answers.append(client.get("/reviews"))
        comment = {"decision": "approve", "comment": f"yes, {SECRETS['token']}"}
        answers.append(client.post("/executions/1/nodes/ask/review", json=comment))
        answers.append(client.get("/executions/1?wait=20"))
        answers += [client.get(f"/executions/1/{part}") for part in ("chain", "explain", "events", "stream")]

    assert answers[3].json()["status"] == "failed", answers[3].json()
    assert answers[3].json()["error"]["node_id"] == "raise", answers[3].json()["error"]
    assert [peer.seen[0].path] == [f"/{SECRETS['token']}"]  # the other side got what nobody else sees
    for answer in answers:
        shown = json.dumps(answer.json(), ensure_ascii=False) if answer.text.startswith("{") else answer.text
        assert_absent(shown, str(answer.url))
    log = tmp_path / "log"
    log.write_text(caplog.text)
    assert_absent(caplog.text, "the log")
    assert "not JSON" in caplog.text
    assert scan(database_url, log)[0] == 0


def test_a_leak_is_found_and_said(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{'x' * 2_000_000}{base64.b64encode(str(SECRETS['token']).encode()).decode()}")
    with serving(database_url) as client:
        plant(client)
        save(client, line(transform(x=f"a secret in a definition: {SECRETS['password']}")))

    code, printed = scan(database_url, log)

    assert code == 1
    assert "acme: [secret:password] stands in workflows.graph_definition where id = 1" in printed
    assert f"acme: [secret:token] stands in {log}" in printed
    assert_absent(printed, "what was printed")


def test_a_worker_keeps_no_secret_either(postgres_url: str, redis_url: str, tmp_path: Path, peer: Peer) -> None:
    settings = {"ENCRYPTION_KEYS": ENCRYPTION_KEY, "NOVA_FUNCTIONS": FUNCTIONS, "OUTBOUND_ALLOW": peer.place}
    with serving(postgres_url, nova_functions=[FUNCTIONS], outbound_allow=peer.place) as client:
        plant(client)
        save(client, graph(peer))
    with fleet(postgres_url, redis_url, tmp_path, **settings) as made:
        check_worker(made, peer)
        logs = [member.log for member in made.members]
        text = "".join(log.read_text() for log in logs)

    assert "not JSON" in text
    assert_absent(text, "the log of the worker")
    assert scan(postgres_url, *logs, REDIS_URL=redis_url)[0] == 0


def check_worker(made: Fleet, peer: Peer) -> None:
    web = made.web()
    made.worker()
    made.wait_until_ready()
    answer = web.call("/workflows/1/execute?async_mode=true", {"client_slug": "acme"})
    execution_id = answer.body["id"]
    review = {"decision": "approve", "comment": SECRETS["password"]}

    def is_decided() -> bool:
        return web.call(f"/executions/{execution_id}/nodes/ask/review", review).status == 200

    eventually(is_decided, seconds=60, what="the review")
    found = web.end_of(execution_id)
    assert (found["status"], found["mode"]) == ("failed", "celery"), found
