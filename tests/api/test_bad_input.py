"""Bad input is answered with a 4xx that says what was expected, what came and where, and nothing is written."""

import json
from typing import Any, cast

import pytest

from tests.api.conftest import Door
from tests.api.door import line, rows, save, transform

JSON = "application/json"
MAX_BODY = 1024 * 1024
RUN, SAVE = "/workflows/{id}/execute", "/workflows"


def assert_problem(answer: Any, status: int, pointer: str | None = None) -> None:
    """A problem document (RFC 9457) that is clear about what is wrong."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]
    problem = answer.json()
    assert problem.keys() >= {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == status
    assert problem["type"].startswith("urn:nova:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in answer.text
    if pointer is not None:
        assert pointer in [found["pointer"] for found in problem["errors"]]
        assert all(found["detail"] for found in problem["errors"])


def send(door: Door, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Any:
    """Answers with the problem, having made sure that nothing was written."""
    workflow_id = save(door.client, line(transform(x=1), name="target")) if not known(door) else known(door)
    before = rows(door.database_url)

    answer = door.client.request(
        method,
        path.replace("{id}", str(workflow_id)),
        content=body,
        headers={"Content-Type": content_type} if body is not None else {},
    )

    assert rows(door.database_url) == before
    return answer


def known(door: Door) -> int | None:
    listed = door.client.get("/workflows", params={"limit": 500}).json()["workflows"]
    return next((workflow["id"] for workflow in listed if workflow["name"] == "target"), None)


def context(value: bytes) -> bytes:
    return b'{"initial_context": {"x": ' + value + b"}}"


# The body as HTTP and as JSON.


@pytest.mark.parametrize("path", [RUN, SAVE, "/workflows/validate"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"{'a': 1}", 400),
        (b'{"a": 1,}', 400),
        (b'{"a": 1} {"b": 2}', 400),
        (b'{"a": "\xff\xfe"}', 400),
        (b'{"a": NaN}', 400),
        (b'{"a": Infinity}', 400),
        (b'{"a": -Infinity}', 400),
        (b'{"a": ' + b"9" * 10_000 + b"}", 400),
        (b'{"a": "\n"}', 400),
        (b"\x00", 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b"[]", 422),
        (b'"text"', 422),
        (b"1", 422),
    ],
    ids=lambda value: value[:16].decode(errors="backslashreplace") if isinstance(value, bytes) else None,
)
def test_what_is_no_json_object_is_refused(door: Door, path: str, body: bytes, status: int) -> None:
    assert_problem(send(door, "POST", path, body), status)


@pytest.mark.parametrize("path", [SAVE, "/workflows/validate"])
def test_an_empty_body_is_refused(door: Door, path: str) -> None:
    assert_problem(send(door, "POST", path, b""), 422)
    assert_problem(send(door, "POST", path), 422)


@pytest.mark.parametrize("path", [RUN, SAVE, "/workflows/validate"])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/xml", "x"]
)
def test_a_body_of_another_type_is_refused_with_a_hint(door: Door, path: str, content_type: str) -> None:
    body = json.dumps(line(transform(x=1), name="never saved")).encode()

    answer = send(door, "POST", path, body, content_type)

    assert answer.status_code in (415, 422)
    assert_problem(answer, answer.status_code)
    assert "application/json" in answer.text


@pytest.mark.parametrize("path", [RUN, SAVE, "/workflows/validate", "/nothing-here"])
def test_a_body_over_the_limit_is_refused_as_too_large(door: Door, path: str) -> None:
    assert_problem(send(door, "POST", path, b" " * (MAX_BODY + 1)), 413)


def test_a_body_under_the_limit_is_read(door: Door) -> None:
    body = context(b'"%s"' % (b"x" * (MAX_BODY - 200)))

    answer = door.client.post("/workflows/987654/execute", content=body, headers={"Content-Type": JSON})

    assert_problem(answer, 404)


# What a run is started with.


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"initial_context": null}', "/initial_context"),
        (b'{"initial_context": []}', "/initial_context"),
        (b'{"initial_context": "{}"}', "/initial_context"),
        (b'{"initial_context": 1}', "/initial_context"),
        (context(b"1e999"), "/initial_context/x"),
        (context(b"-1e999"), "/initial_context/x"),
        (context(rb'"\ud800"'), "/initial_context/x"),
        (context(rb'"\udc00\ud800"'), "/initial_context/x"),
        (context(b'"\xed\xa0\x80"'), "/initial_context/x"),
        (context(rb'"a\u0000b"'), "/initial_context/x"),
        (context(rb'{"a\u0000": 1}'), "/initial_context/x/a\x00"),
        (context(rb'[1, {"y": "\u0000"}]'), "/initial_context/x/1/y"),
        (context(rb'{"a/b~c": "\u0000"}'), "/initial_context/x/a~1b~0c"),
        (context(b"[" * 101 + b"]" * 101), None),
        (context(b"[" * 900 + b"]" * 900), None),
        (context(b'{"a":' * 500 + b"1" + b"}" * 500), None),
        (b'{"context": {}}', "/context"),
        (b'{"initial_context": {}, "surprise": [[[]]]}', "/surprise"),
        (b'{"surprise": 1e999}', "/surprise"),
        (b'{"client_slug": 5}', "/client_slug"),
        (b'{"client_slug": ["a"]}', "/client_slug"),
    ],
    ids=lambda value: value[-40:].decode(errors="backslashreplace") if isinstance(value, bytes) else None,
)
def test_a_context_that_cannot_be_kept_is_refused_where_it_is_wrong(
    door: Door, body: bytes, pointer: str | None
) -> None:
    assert_problem(send(door, "POST", RUN, body), 422, pointer)


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "once"}])
def test_an_unknown_workflow_is_not_found_whatever_it_is_given(door: Door, headers: dict[str, str]) -> None:
    body = context(rb'"a\u0000b"')

    answer = door.client.post("/workflows/999999/execute", content=body, headers={"Content-Type": JSON} | headers)

    assert_problem(answer, 404)


def test_an_unknown_execution_is_not_found_whatever_is_decided_of_it(door: Door) -> None:
    answer = door.client.post(
        "/executions/987654/nodes/a/review", json={"decision": "approve", "output": {"a": "\x00"}}
    )

    assert_problem(answer, 404)


@pytest.mark.parametrize("path", [RUN, SAVE, "/workflows/validate"])
@pytest.mark.parametrize(
    "body",
    [
        rb'{"\ud800": 1}',
        b'{"\xed\xa0\x80": 1}',
        rb'{"initial_context": {"\ud800": 1}}',
        rb'{"initial_context": {"x": {"y": [{"\udfff": 1}]}}}',
    ],
    ids=["escaped", "raw", "in the context", "deep in the context"],
)
def test_a_key_with_half_a_surrogate_pair_is_refused(door: Door, path: str, body: bytes) -> None:
    answer = send(door, "POST", path, body)

    if path.endswith("validate") and answer.status_code == 200:
        assert answer.json()["valid"] is False
    else:
        assert_problem(answer, 422)


@pytest.mark.parametrize("slug", [r'"a\u0000b"', r'"\u0000"', r'"\ud800"', r'"nobody"', '"' + "x" * 5_000 + '"', '""'])
def test_a_client_that_is_not_there_is_refused(door: Door, slug: str) -> None:
    answer = send(door, "POST", RUN, b'{"client_slug": %s}' % slug.encode())

    assert answer.status_code in (404, 422)
    assert_problem(answer, answer.status_code)


# Paths and query values.

WRONG_IDS = ["0", "-1", "9223372036854775808", "9" * 5_000, "abc", "1e3", "%00", "%ff", "..%2f1", "1;2", "१", "null"]


@pytest.mark.parametrize("wrong", WRONG_IDS, ids=lambda wrong: wrong[:20])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/workflows/{wrong}"),
        ("PUT", "/workflows/{wrong}"),
        ("DELETE", "/workflows/{wrong}"),
        ("GET", "/workflows/{wrong}/versions"),
        ("POST", "/workflows/{wrong}/execute"),
        ("GET", "/executions/{wrong}"),
        ("GET", "/executions/{wrong}/chain"),
    ],
)
def test_an_id_that_is_no_positive_64_bit_integer_is_refused(door: Door, method: str, path: str, wrong: str) -> None:
    body = json.dumps(line(transform(x=1), name="never saved")).encode() if method == "PUT" else None

    answer = door.client.request(method, path.replace("{wrong}", wrong), content=body, headers={"Content-Type": JSON})

    assert answer.status_code in (404, 422)
    assert_problem(answer, answer.status_code)


@pytest.mark.parametrize("path", ["/workflows/{id}", "/executions/{id}", "/executions/{id}/chain"])
def test_the_largest_id_is_an_id(door: Door, path: str) -> None:
    assert_problem(door.client.get(path.replace("{id}", str(2**63 - 1))), 404)


@pytest.mark.parametrize("task_id", ["x", "%00", "a%00b", "%ff", "%F0%9F%98%80", "x" * 5_000, "%22", "'", "null"])
def test_any_unknown_task_is_not_found(door: Door, task_id: str) -> None:
    assert_problem(door.client.get(f"/tasks/{task_id}"), 404)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=501", "limit=abc", "limit=", "limit=1.5", "limit=NaN", "limit=%00",
        "limit=" + "9" * 5_000, "skip=-1", "skip=9223372036854775808", "skip=x",
    ],
    ids=lambda query: query[:24],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/workflows", "/executions"])
def test_a_page_that_cannot_be_is_refused_with_the_name_of_the_parameter(door: Door, path: str, query: str) -> None:
    answer = door.client.get(f"{path}?{query}")

    assert_problem(answer, 422)
    assert query.partition("=")[0] in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "status=done", "status=", "status=COMPLETED", "status=%00", "before=0", "before=-1", "before=x",
        "before=9223372036854775808", "workflow_id=0", "workflow_id=x", "workflow_id=9223372036854775808",
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_is_refused(door: Door, query: str) -> None:
    answer = door.client.get(f"/executions?{query}")

    assert_problem(answer, 422)
    assert query.partition("=")[0] in answer.text


@pytest.mark.parametrize("path", ["/workflows", "/executions"])
def test_the_largest_page_numbers_are_fine(door: Door, path: str) -> None:
    answer = door.client.get(path, params={"skip": 2**63 - 1, "limit": 500})

    assert answer.status_code == 200


# What is not there.


@pytest.mark.parametrize("path", ["/nothing-here", "/workflows/1/nothing", "/executions/1/2/3", "/%00", "/%ff"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_unknown_route_is_a_problem(door: Door, method: str, path: str) -> None:
    assert_problem(door.client.request(method, path), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/health"), ("PATCH", "/workflows"), ("DELETE", "/workflows"), ("PUT", "/executions"),
        ("DELETE", "/executions/1"), ("GET", "/workflows/1/execute"), ("TRACE", "/"), ("BREW", "/health"),
    ],
)  # fmt: skip
def test_a_method_that_is_not_offered_is_a_problem_that_names_those_that_are(
    door: Door, method: str, path: str
) -> None:
    answer = door.client.request(method, path)

    assert_problem(answer, 405)
    assert answer.headers["Allow"]


def test_a_problem_names_the_place_it_happened_at(door: Door) -> None:
    answer = door.client.get("/executions/987654?limit=5")

    assert answer.json()["instance"] == "/executions/987654"


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "a/b?c#d", "%00", "", "x" * 5_000, "@:", "évil".encode()])
def test_a_hostile_host_header_is_one_from_elsewhere(door: Door, host: str | bytes) -> None:
    """And a server that asks for no key answers its own machine alone."""
    answer = door.client.get("/executions/987654", headers=cast(Any, {"Host": host}))

    assert_problem(answer, 401)
    assert answer.json()["instance"] == "/executions/987654"


@pytest.mark.parametrize("prefer", ["", ",", ";", "=", "handling=", "a=b=c", "x" * 5_000, "wait=99999999999999999999"])
def test_a_hostile_preference_is_ignored(door: Door, prefer: str) -> None:
    answer = door.client.post("/workflows/987654/execute", headers={"Prefer": prefer})

    assert_problem(answer, 404)
