"""`http_request` against a real peer on loopback, and end to end through the HTTP door."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from src.core.outcome import ErrorClass, Failed, Succeeded
from src.outside.breaker import Breakers
from src.outside.guard import Allowed
from src.outside.outside import Outside
from tests.api.door import execute, line, save, serving
from tests.nodes.visits import failed, problems_of, succeeded
from tests.outside.peers import Peer, Seen, Told, http_peer, raw_peer

Json = dict[str, Any]


def reaching(peer: Peer, **options: Any) -> Outside:
    return Outside(Allowed.read([peer.place]), **options)


def request(peer: Peer, context: Json | None = None, **fields: Any) -> Succeeded:
    node = {"type": "http_request", "url": peer.url, **fields}
    return succeeded(node, context, outside=reaching(peer))


def refused(peer: Peer, context: Json | None = None, **fields: Any) -> Failed:
    node = {"type": "http_request", "url": peer.url, **fields}
    return failed(node, context, outside=reaching(peer))


@pytest.fixture
def crm() -> Iterator[Peer]:
    answer = {"id": 7, "leads": [{"name": "Ada"}], "a/b": {"~": True}}
    with http_peer(lambda _: Told(body=answer, headers={"ETag": "e1", "Set-Cookie": "session=1"})) as peer:
        yield peer


def test_the_answer_stands_under_the_nodes_id(crm: Peer) -> None:
    output = request(crm).output

    assert output["node"]["status"] == 200
    assert output["node"]["body"]["id"] == 7
    assert output["node"]["headers"]["etag"] == "e1"
    assert "set-cookie" not in output["node"]["headers"]


def test_fields_hold_templates(crm: Peer) -> None:
    request(
        crm,
        {"path": "leads", "name": "Ada", "tags": ["a", "b"], "none": None},
        method="POST",
        url=crm.url + "/{{ context.path }}",
        headers={"X-Name": "{{ context.name }}", "X-Count": "{{ context.tags | length }}"},
        query={"tag": "{{ context.tags }}", "page": 2},
        json={"name": "{{ context.name }}", "tags": "{{ context.tags }}", "none": "{{ context.none }}"},
    )

    [seen] = crm.seen
    assert (seen.method, seen.path) == ("POST", "/leads?tag=a&tag=b&page=2")
    assert seen.json == {"name": "Ada", "tags": ["a", "b"], "none": None}
    assert (seen.headers["x-name"], seen.headers["x-count"]) == ("Ada", "2")
    assert seen.headers["content-type"] == "application/json"


def test_a_body_may_be_any_text(crm: Peer) -> None:
    request(crm, {"x": "ü"}, method="PUT", body="<x>{{ context.x }}</x>", headers={"Content-Type": "text/xml"})

    assert crm.seen[0].body == "<x>ü</x>".encode()
    assert crm.seen[0].headers["content-type"] == "text/xml"


@pytest.mark.parametrize(("method", "sent"), [("GET", False), ("POST", True), ("PUT", True), ("DELETE", True)])
def test_methods_that_change_something_send_the_key_of_the_node(crm: Peer, method: str, sent: bool) -> None:
    request(crm, method=method)

    assert crm.seen[0].headers.get("idempotency-key") == ("task/node" if sent else None)


def test_a_key_of_the_authors_own_is_sent_instead(crm: Peer) -> None:
    request(crm, method="POST", headers={"idempotency-key": "mine"})

    assert crm.seen[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize(
    ("auth", "header", "sent"),
    [
        ({"bearer": "{{ context.token }}"}, "authorization", "Bearer t1"),
        (
            {"username": "ada", "password": "{{ context.token }}"},
            "authorization",
            "Basic " + base64.b64encode(b"ada:t1").decode(),
        ),
        ({"header": "X-Api-Key", "value": "{{ context.token }}"}, "x-api-key", "t1"),
    ],
)
def test_a_request_may_be_signed_in(crm: Peer, auth: Json, header: str, sent: str) -> None:
    request(crm, {"token": "t1"}, auth=auth)

    assert crm.seen[0].headers[header] == sent


def test_credentials_are_for_fields_to_use(crm: Peer) -> None:
    node = {"type": "http_request", "url": crm.url, "auth": {"bearer": "{{ credentials.token }}"}}

    succeeded(node, outside=reaching(crm), credentials={"token": "t0p"})

    assert crm.seen[0].headers["authorization"] == "Bearer t0p"


@pytest.mark.parametrize(
    ("extract", "taken"),
    [
        ("/id", 7),
        ("/leads/0/name", "Ada"),
        ("/a~1b/~0", True),
        ("", {"id": 7, "leads": [{"name": "Ada"}], "a/b": {"~": True}}),
        ("context.answer.body.id + context.more", 8),
        ("context.answer.headers.etag", "e1"),
        ({"id": "/id", "status": "context.answer.status"}, {"id": 7, "status": 200}),
    ],
)
def test_extract_takes_out_what_is_of_use(crm: Peer, extract: Any, taken: Any) -> None:
    assert request(crm, {"more": 1}, extract=extract, result_key="taken").output == {"taken": taken}


@pytest.mark.parametrize("extract", ["/leads/1", "/leads/-1", "/leads/name", "/nobody", "/id/x"])
def test_what_is_not_there_fails_the_node_with_where_it_ends(crm: Peer, extract: str) -> None:
    error = refused(crm, extract=extract).error

    assert error.type == "BadAnswer"
    assert f"nothing is at {extract}" in error.message


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, ErrorClass.PERMANENT),
        (404, ErrorClass.PERMANENT),
        (304, ErrorClass.PERMANENT),
        (408, ErrorClass.TRANSIENT),
        (429, ErrorClass.TRANSIENT),
        (500, ErrorClass.TRANSIENT),
        (503, ErrorClass.TRANSIENT),
    ],
)
def test_an_unexpected_status_is_an_error_of_its_class(status: int, error_class: ErrorClass) -> None:
    with http_peer(lambda _: Told(status, "try again later", {"Retry-After": "7"})) as peer:
        error = refused(peer).error

    assert (error.type, error.error_class) == ("HttpStatus", error_class)
    assert error.message.startswith(f"{peer.place} answered {status}")
    assert error.retry_after_seconds == 7.0


@pytest.mark.parametrize("expect", [404, "4xx", [200, 404], ["2xx", "4xx"]])
def test_an_expected_status_is_none(expect: Any) -> None:
    with http_peer(lambda _: Told(404, "not here")) as peer:
        output = request(peer, expect=expect).output

    assert (output["node"]["status"], output["node"]["body"]) == (404, "not here")


def test_a_redirect_that_is_expected_is_not_followed() -> None:
    with http_peer(lambda _: Told(302, headers={"Location": "http://10.0.0.1/"})) as peer:
        assert request(peer, expect=302).output["node"]["headers"]["location"] == "http://10.0.0.1/"


def test_a_broken_connection_is_transient() -> None:
    with raw_peer(lambda connection: connection.close()) as peer:
        assert refused(peer).error.error_class is ErrorClass.TRANSIENT


def test_an_answer_that_is_no_text_is_kept_as_base64() -> None:
    with http_peer(lambda _: Told(body=b"\x89PNG\xff\x00", headers={"Content-Type": "image/png"})) as peer:
        output = request(peer).output

    assert output["node"]["body_base64"] == base64.b64encode(b"\x89PNG\xff\x00").decode()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("DELETE", 204), ("POST", 200)])
def test_an_answer_without_a_body_is_an_empty_text_whatever_it_calls_itself(method: str, status: int) -> None:
    with http_peer(lambda _: Told(status, "", {"Content-Type": "application/json"})) as peer:
        output = request(peer, method=method).output

    assert (output["node"]["status"], output["node"]["body"]) == (status, "")


def test_an_answer_that_is_not_the_json_it_says_it_is_fails_the_node() -> None:
    with http_peer(lambda _: Told(body="{", headers={"Content-Type": "application/json"})) as peer:
        assert refused(peer).error.type == "BadAnswer"


def test_a_private_address_is_refused_for_good() -> None:
    error = failed({"type": "http_request", "url": "http://169.254.169.254/latest/"}).error

    assert (error.type, error.error_class) == ("Refused", ErrorClass.PERMANENT)
    assert "metadata" in error.message


def test_a_host_that_is_left_alone_says_when_to_come_back() -> None:
    with http_peer(lambda _: Told(500)) as peer:
        outside = reaching(peer, breakers=Breakers(failures=1, open_seconds=30))
        node = {"type": "http_request", "url": peer.url}
        failed(node, outside=outside)
        error = failed(node, outside=outside).error

    assert (error.type, error.error_class) == ("CircuitOpen", ErrorClass.TRANSIENT)
    assert 0 < (error.retry_after_seconds or 0) <= 30
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"url": "{{ context.missing }}"}, "url"),
        ({"headers": {"X": "{{ [1] }}"}}, "X"),
        ({"query": {"q": {"a": 1}}}, "query"),
        ({"method": "POST", "body": "{{ {} }}"}, "body"),
    ],
)
def test_a_field_without_a_use_fails_the_node_and_is_named(crm: Peer, fields: Json, where: str) -> None:
    error = refused(crm, **fields).error

    assert error.type == "FieldProblem"
    assert error.message.startswith(where)
    assert crm.seen == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "/url"),
        ({"url": "{{ context."}, "/url"),
        ({"url": "x", "method": "BREW"}, "/method"),
        ({"url": "x", "json": {}, "body": ""}, ""),
        ({"url": "x", "json": {"a": "{{ nobody }}"}}, "/json"),
        ({"url": "x", "auth": {}}, "/auth"),
        ({"url": "x", "auth": {"bearer": "a", "username": "b"}}, "/auth"),
        ({"url": "x", "auth": {"header": "a b", "value": "c"}}, "/auth/header"),
        ({"url": "x", "expect": 99}, "/expect"),
        ({"url": "x", "expect": []}, "/expect"),
        ({"url": "x", "expect": ["2XX"]}, "/expect"),
        ({"url": "x", "extract": 5}, "/extract"),
        ({"url": "x", "extract": "context."}, "/extract"),
        ({"url": "x", "timeout": 0}, "/timeout"),
        ({"url": "x", "verify": False}, "/verify"),
    ],
)
def test_a_definition_with_a_problem_is_refused_at_it(fields: Json, pointer: str) -> None:
    assert problems_of({"id": "n", "type": "http_request", **fields}).keys() == {pointer}


def flaky(times: int) -> Callable[[Seen], Told]:
    left = [times]

    def answer(_: Seen) -> Told:
        left[0] -= 1
        return Told(503) if left[0] >= 0 else Told(body={"ok": True})

    return answer


def test_a_run_tries_again_and_sends_the_same_key(database_url: str) -> None:
    with http_peer(flaky(1)) as peer, serving(database_url, outbound_allow=peer.place) as client:
        retry = {"interval_seconds": 0}
        node = {"id": "send", "type": "http_request", "method": "POST", "url": peer.url, "retry": retry}
        execution = execute(client, save(client, line(node))).json()
        entries = client.get(f"/executions/{execution['id']}/chain").json()["entries"]

    assert execution["status"] == "completed"
    assert [entry["status"] for entry in entries if entry["node_id"] == "send"] == ["retry", "success"]
    assert len({seen.headers["idempotency-key"] for seen in peer.seen}) == 1


def test_a_run_reaches_nothing_on_this_machine_unless_it_is_allowed(database_url: str) -> None:
    with http_peer(lambda _: Told()) as peer, serving(database_url, outbound_ports=str(peer.port)) as client:
        execution = execute(client, save(client, line({"id": "x", "type": "http_request", "url": peer.url}))).json()

    assert execution["status"] == "failed"
    assert f"OUTBOUND_ALLOW has {peer.place}" in execution["error"]["message"]
    assert peer.seen == []
