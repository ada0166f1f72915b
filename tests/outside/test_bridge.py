"""What code in the sandbox may ask the server to call, and end to end with `http.request(...)` in a node."""

import threading
from typing import Any

import pytest

from src.outside.bridge import Bridge
from src.outside.guard import Allowed
from src.outside.outside import Outside
from tests.api.door import action, execute, line, save, serving
from tests.outside.peers import Peer, Told, http_peer

Json = dict[str, Any]


def made(peer: Peer, **call: Any) -> Json:
    bridge = Bridge(Outside(Allowed.read([peer.place])))
    return bridge({"method": "GET", "url": peer.url, **call}, 10.0, threading.Event())


def test_a_call_is_made_and_answered_in_plain_values() -> None:
    with http_peer(lambda _: Told(201, "made", {"X-Id": "7"})) as peer:
        answer = made(peer, method="POST", headers={"X-A": "1"}, query={"q": ["a", 2]}, text="ü")

    assert (answer["status"], answer["text"], answer["headers"]["x-id"]) == (201, "made", "7")
    assert (peer.seen[0].method, peer.seen[0].path, peer.seen[0].body) == ("POST", "/?q=a&q=2", "ü".encode())


def test_what_is_no_text_travels_as_base64() -> None:
    with http_peer(lambda seen: Told(body=seen.body, headers={"Content-Type": "image/png"})) as peer:
        assert made(peer, method="PUT", base64="iVD/AA==")["base64"] == "iVD/AA=="


@pytest.mark.parametrize(
    "call",
    [
        {"url": "http://169.254.169.254/"},
        {"url": None},
        {"url": 5},
        {"method": None},
        {"method": ["GET"]},
        {"headers": ["a"]},
        {"headers": {"a": 1}},
        {"query": "x"},
        {"query": {"a": {"b": 1}}},
        {"text": 5},
        {"base64": "not base64!"},
        {"base64": {}},
    ],
)
def test_what_cannot_be_called_is_told_and_not_raised(call: Json) -> None:
    with http_peer(lambda _: Told()) as peer:
        answer = made(peer, **call)

    assert answer["error"]["class"] == "permanent"
    assert peer.seen == []


@pytest.mark.parametrize("timeout", [None, "x", -1, True, 1e9])
def test_a_call_gets_no_more_time_than_its_node_has(timeout: Any) -> None:
    with http_peer(lambda _: Told(body="ok")) as peer:
        assert made(peer, timeout=timeout)["text"] == "ok"


CODE = """
answer = http.request("GET", context["url"])
context["status"] = answer.status
"""


def test_code_in_a_node_calls_through_the_guard(sqlite_url: str) -> None:
    with http_peer(lambda _: Told(body="ok")) as peer, serving(sqlite_url, outbound_allow=peer.place) as client:
        workflow_id = save(client, line(action(CODE)))
        done = execute(client, workflow_id, {"url": peer.url}).json()
        refused = execute(client, workflow_id, {"url": "http://127.0.0.1/"}).json()

    assert (done["status"], done["result"]["status"]) == ("completed", 200)
    assert refused["status"] == "failed"
    assert "loopback" in refused["error"]["message"]
