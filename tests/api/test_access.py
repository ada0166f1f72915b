"""Who may come in, and what each key may do: every route, every scope, and things of another client."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from src.api.access import COOKIE, MAX_FAILURES, Rules
from src.api.main import ROUTES
from src.runtime.keys import Scope
from src.settings import Settings
from tests.api.door import LOOPBACK, action, line, serving, transform

FIRST_KEY = "the-first-key-of-these-tests"
PUBLIC = {"/", "/health", "/health/ready", "/health/celery", "/sign-in", "/sign-out"}
Json = dict[str, Any]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def closed(sqlite_url: str) -> Iterator[TestClient]:
    """With the first key; without its header."""
    with serving(sqlite_url, api_keys="required", nova_api_key=FIRST_KEY) as client:
        yield client


@pytest.fixture(scope="module")
def lasting(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Likewise, one for all tests that look, count no wrong keys and sign nobody in."""
    url = f"sqlite:///{shutil.copyfile(sqlite_template, tmp_path_factory.mktemp('lasting') / 'nova.db')}"
    with serving(url, api_keys="required", nova_api_key=FIRST_KEY) as client:
        yield client


@pytest.fixture
def shared(database_url: str) -> Iterator[TestClient]:
    """Likewise, on both databases: where what belongs to whom is asked in SQL."""
    with serving(database_url, api_keys="required", nova_api_key=FIRST_KEY) as client:
        yield client


def make_key(client: TestClient, *scopes: str, client_slug: str | None = None) -> str:
    order = {"name": "test", "scopes": scopes, "client_slug": client_slug}
    answer = client.post("/keys", json=order, headers=bearer(FIRST_KEY))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def routes() -> list[Any]:
    return [route for module in ROUTES for route in module.router.routes]


def test_every_route_declares_what_it_needs() -> None:
    undeclared = [(method, pattern) for method, pattern, rule in Rules(routes()) if not rule.is_declared]

    assert undeclared == []


def test_every_operation_of_the_document_has_a_rule(lasting: TestClient) -> None:
    rules = Rules(routes())
    document = lasting.get("/openapi.json").json()

    for path, item in document["paths"].items():
        for method in item:
            found = rules.find(method.upper(), re.sub(r"{\w+}", "1", path))
            assert found is not None, (method, path)
            assert (found[0].scope is None) == (path in PUBLIC and (method, path) != ("get", "/sign-in")), (
                method,
                path,
            )


def operations(client: TestClient) -> Iterator[tuple[str, str]]:
    for path, item in client.get("/openapi.json").json()["paths"].items():
        for method in item:
            yield method.upper(), re.sub(r"{\w+}", "1", path)


WRONG: dict[str, dict[str, str]] = {
    "no key": {},
    "an empty key": bearer(""),
    "another word than Bearer": {"Authorization": f"Basic {FIRST_KEY}"},
    "a key that is none": bearer("nova_0123456789ab_" + "x" * 43),
    "the beginning of the key": bearer(FIRST_KEY[:-1]),
    "the key and more": bearer(FIRST_KEY + "x"),
    "the key in other letters": bearer(FIRST_KEY.upper()),
    "a very long key": bearer("x" * 20_000),
    "a cookie that is none": {"Cookie": f"{COOKIE}=environment.99999999999.{'0' * 64}"},
    "a cookie without a signature": {"Cookie": f"{COOKIE}=environment.99999999999."},
    "a key as a cookie": {"Cookie": f"{COOKIE}={FIRST_KEY}"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_nobody_comes_in_with_a_wrong_key(closed: TestClient, headers: dict[str, str]) -> None:
    for method, path in ("GET", "/workflows"), ("POST", "/workflows"), ("GET", "/no/such/path"):
        answer = closed.request(method, path, headers=headers)

        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


def test_every_route_but_the_public_ones_needs_a_key(closed: TestClient) -> None:
    open_to_all = {
        path for method, path in operations(closed) if closed.request(method, path).status_code not in (401, 403, 429)
    }

    assert open_to_all <= PUBLIC


def test_a_body_is_not_read_before_the_key_is(lasting: TestClient) -> None:
    answer = lasting.post("/workflows", content=b"{ this is no JSON")

    assert answer.status_code == 401


def test_a_key_is_shown_once(lasting: TestClient) -> None:
    key = make_key(lasting, "read")
    listed = lasting.get("/keys", headers=bearer(FIRST_KEY))

    assert key.rpartition("_")[2] not in listed.text
    assert lasting.get("/workflows", headers=bearer(key)).status_code == 200


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_does_what_its_scope_says_and_no_more(lasting: TestClient, scope: Scope) -> None:
    key = make_key(lasting, scope)
    rules = Rules(routes())

    for method, path in operations(lasting):
        found = rules.find(method, path)
        if found and found[0].scope and "stream" not in path:
            status = lasting.request(method, path, headers=bearer(key)).status_code
            may = scope is Scope.ADMIN or found[0].scope is scope
            assert (status != 403) == may, (method, path, status)
            assert status < 500, (method, path)


def test_a_revoked_key_is_refused_at_once_and_its_sessions_with_it(shared: TestClient) -> None:
    key = make_key(shared, "read")
    assert shared.post("/sign-in", json={"key": key}).status_code == 200
    assert shared.get("/workflows").status_code == 200

    assert shared.delete(f"/keys/{key.split('_')[1]}", headers=bearer(FIRST_KEY)).status_code == 204

    assert shared.get("/workflows").status_code == 401
    assert shared.get("/workflows", headers=bearer(key)).status_code == 401


def test_a_key_ends_at_its_time(closed: TestClient) -> None:
    order = {"name": "old", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
    key = closed.post("/keys", json=order, headers=bearer(FIRST_KEY)).json()["key"]

    assert closed.get("/workflows", headers=bearer(key)).status_code == 401


def test_wrong_keys_are_counted_by_address_and_right_ones_go_on(closed: TestClient) -> None:
    statuses = {closed.get("/workflows", headers=bearer("wrong")).status_code for _ in range(MAX_FAILURES)}
    refused = closed.get("/workflows", headers=bearer("wrong"))

    assert statuses == {401}
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert closed.post("/sign-in", json={"key": "wrong"}).status_code == 429
    assert closed.get("/workflows", headers=bearer(FIRST_KEY)).status_code == 200


def test_what_a_key_sends_in_a_minute_is_bounded(sqlite_url: str) -> None:
    with serving(sqlite_url, api_keys="required", nova_api_key=FIRST_KEY, key_requests_per_minute=3) as client:
        key = make_key(client, "read")
        answers = [client.get("/workflows", headers=bearer(key)) for _ in range(4)]
        of_the_operator = [client.get("/workflows", headers=bearer(FIRST_KEY)).status_code for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert of_the_operator == [200] * 4


# Browsers.


def test_a_browser_gets_a_cookie_that_no_script_reads(closed: TestClient) -> None:
    answer = closed.post("/sign-in", json={"key": FIRST_KEY})

    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert FIRST_KEY not in cookie
    assert closed.get("/sign-in").json()["actor"] == "NOVA_API_KEY"
    assert closed.post("/sign-out").status_code == 204
    assert closed.get("/sign-in").status_code == 401


ELSEWHERE = {
    "another site": {"Origin": "https://attacker.example"},
    "the same name on another port": {"Origin": "http://127.0.0.1:9999"},
    "no site at all": {"Origin": "null"},
    "another site, as the browser says": {"Sec-Fetch-Site": "cross-site"},
    "a sibling of the site": {"Sec-Fetch-Site": "same-site"},
    "nothing that tells": {},
}


@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_cookie_writes_nothing_for_pages_of_other_sites(closed: TestClient, headers: dict[str, str]) -> None:
    closed.post("/sign-in", json={"key": FIRST_KEY})

    refused = closed.post("/workflows", json=line(transform(x=1)), headers=headers)
    taken = closed.post("/workflows", json=line(transform(x=1)), headers={"Origin": LOOPBACK})

    assert refused.status_code == 403
    assert taken.status_code == 201


@pytest.mark.parametrize("headers", [*list(ELSEWHERE.values())[:5]], ids=list(ELSEWHERE)[:5])
def test_an_open_server_does_nothing_for_pages_of_other_sites(sqlite_url: str, headers: dict[str, str]) -> None:
    with serving(sqlite_url) as client:
        assert client.post("/workflows", json=line(transform(x=1)), headers=headers).status_code == 403
        assert client.post("/workflows", json=line(transform(x=1))).status_code == 201


# Open, and closed.


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        ({}, False),
        ({"nova_api_key": FIRST_KEY}, True),
        ({"database_url": "postgresql://host/name"}, True),
        ({"database_url": "postgresql://host/name", "api_keys": "off"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"dyno": "web.1"}, True),
        ({"railway_environment": "production"}, True),
        ({"api_keys": "required"}, True),
    ],
)
def test_keys_are_needed_but_where_nobody_else_is(given: Json, asks: bool) -> None:
    assert Settings(**{"api_keys": "auto", **given}).asks_for_keys is asks


@pytest.mark.parametrize("given", [{"host": "0.0.0.0"}, {"dyno": "web.1"}])
def test_a_server_that_others_reach_cannot_be_opened(given: Json) -> None:
    assert Settings(**given, api_keys="off").asks_for_keys


@pytest.mark.parametrize(
    ("base_url", "headers"),
    [
        ("http://192.0.2.1:8000", {}),
        (LOOPBACK, {"Host": "attacker.example:8000"}),
        (LOOPBACK, {"X-Forwarded-For": "192.0.2.7"}),
    ],
)
def test_an_open_server_answers_nobody_else(sqlite_url: str, base_url: str, headers: dict[str, str]) -> None:
    with serving(sqlite_url, base_url=base_url) as client:
        assert client.get("/workflows", headers=headers).status_code == 401
        assert client.get("/health/ready", headers=headers).status_code == 200


# Clients.


def foreign_things(client: TestClient) -> dict[str, str]:
    """Everything that belongs to `bolt`, by the name that paths give it."""
    first = bearer(FIRST_KEY)
    for slug in ("acme", "bolt"):
        client.post("/clients", json={"slug": slug}, headers=first)
        client.put(f"/clients/{slug}/credentials/mail", json={"token": f"token of {slug}"}, headers=first)
    bolt = bearer(make_key(client, "read", "run", "write", client_slug="bolt"))
    review = {"id": "ask", "type": "review", "title": "bolt asks"}
    workflow = client.post("/workflows", json=line(transform(secret="of bolt"), review, name="of bolt"), headers=bolt)
    workflow_id = str(workflow.json()["id"])
    run = client.post(f"/workflows/{workflow_id}/execute", headers=bolt).json()
    order = {"workflow_id": workflow.json()["id"], "cron": "0 7 * * *", "name": "of bolt"}
    schedule = client.post("/schedules", json=order, headers=bolt).json()
    execution_id = str(run["id"])
    return {
        "workflow_id": workflow_id, "execution_id": execution_id, "one_id": execution_id, "other_id": execution_id,
        "task_id": run["task_id"], "slug": "bolt", "node_id": "ask", "name": "mail",
        "schedule_id": str(schedule["id"]), "key_id": "1",
    }  # fmt: skip


def test_a_clients_key_reaches_nothing_of_another_client(shared: TestClient) -> None:
    things = foreign_things(shared)
    acme = bearer(make_key(shared, "read", "run", "write", client_slug="acme"))

    for path, item in shared.get("/openapi.json").json()["paths"].items():
        for method in item:
            url = re.sub(r"{(\w+)}", lambda found: things[found[1]], path)
            answer = shared.request(method.upper(), url, headers={**acme, "If-Match": "*"})
            told = (method, path, answer.status_code, answer.text[:200])
            assert "of bolt" not in answer.text, told
            if "{" in path:
                assert answer.status_code in (403, 404), told
    assert shared.get(f"/executions/{things['execution_id']}", headers=bearer(FIRST_KEY)).json()["status"] == "waiting"


def test_zeros_before_a_number_do_not_make_it_anothers(shared: TestClient) -> None:
    for slug in ("acme", "bolt"):
        shared.post("/clients", json={"slug": slug}, headers=bearer(FIRST_KEY))
    acme, bolt = (bearer(make_key(shared, "read", "write", client_slug=slug)) for slug in ("acme", "bolt"))
    own = shared.post("/workflows", json=line(transform(x=1), name="of acme"), headers=acme).json()["id"]
    theirs = own
    while not str(theirs).startswith(f"{own}0"):
        named = line(transform(x=1), name=f"of bolt {theirs}")
        theirs = shared.post("/workflows", json=named, headers=bolt).json()["id"]

    for zeros in range(25):
        answer = shared.get(f"/workflows/{'0' * zeros}{theirs}", headers=acme)
        assert answer.status_code == 404, answer.text


def test_a_workflow_stays_its_clients_whoever_saves_it(shared: TestClient) -> None:
    shared.post("/clients", json={"slug": "acme"}, headers=bearer(FIRST_KEY))
    acme = bearer(make_key(shared, "read", "write", client_slug="acme"))
    saved = shared.post("/workflows", json=line(transform(x=1), name="ours"), headers=acme).json()

    for number, key in enumerate((acme, bearer(FIRST_KEY))):
        document = line(transform(x=number + 2), name="ours")
        answer = shared.put(f"/workflows/{saved['id']}", json=document, headers={**key, "If-Match": "*"})
        assert (answer.status_code, answer.json()["client_id"]) == (200, saved["client_id"])

    assert saved["client_id"] is not None


def test_a_warning_tells_a_client_nothing_of_another(shared: TestClient) -> None:
    for slug in ("acme", "bolt"):
        shared.post("/clients", json={"slug": slug}, headers=bearer(FIRST_KEY))
    acme, bolt = (bearer(make_key(shared, "read", "write", client_slug=slug)) for slug in ("acme", "bolt"))
    shared.post("/workflows", json=line(transform(x=1), name="of bolt"), headers=bolt)
    call = {"id": "call", "type": "workflow", "workflow": "of bolt"}

    warned = [
        shared.post("/workflows/validate", json=line(call), headers=key).json()["warnings"] for key in (acme, bolt)
    ]

    assert [len(each) for each in warned] == [1, 0]


def test_a_clients_key_sees_and_runs_what_is_its_clients(shared: TestClient) -> None:
    things = foreign_things(shared)
    acme = bearer(make_key(shared, "read", "run", "write", client_slug="acme"))
    code = action("context['seen'] = context['client_slug']")

    workflow = shared.post("/workflows", json=line(code, name="of acme"), headers=acme).json()
    run = shared.post(f"/workflows/{workflow['id']}/execute", headers=acme).json()

    assert run["result"] == {"seen": "acme"}
    assert [each["name"] for each in shared.get("/workflows", headers=acme).json()["workflows"]] == ["of acme"]
    assert [each["id"] for each in shared.get("/executions", headers=acme).json()["executions"]] == [run["id"]]
    bolt_id = shared.get("/clients/bolt", headers=bearer(FIRST_KEY)).json()["id"]
    for asked in (f"client_id={bolt_id}", f"workflow_id={things['workflow_id']}", "created_from=2020-01-01T00:00:00Z"):
        found = shared.get(f"/executions?{asked}", headers=acme).json()["executions"]
        assert [each["id"] for each in found if each["id"] != run["id"]] == []
    assert shared.get("/reviews", headers=acme).json()["total"] == 0
    assert shared.get(f"/executions/{run['id']}/chain", headers=acme).status_code == 200
    assert shared.get("/clients/acme/credentials", headers=acme).json()["total"] == 1
    assert shared.get("/clients", headers=acme).status_code == 403
    for slug in ("bolt", "nobody"):
        order = {"client_slug": slug}
        assert shared.post(f"/workflows/{workflow['id']}/execute", json=order, headers=acme).status_code == 404


def test_a_clients_key_sees_the_shape_of_an_operators_workflow_that_it_calls_and_no_more(shared: TestClient) -> None:
    first = bearer(FIRST_KEY)
    foreign_things(shared)
    acme = bearer(make_key(shared, "read", "run", "write", client_slug="acme"))
    common = shared.post("/workflows", json=line(transform(x="known to the operator"), name="common"), headers=first)
    call = {"id": "call", "type": "workflow", "workflow": common.json()["id"]}
    workflow_id = shared.post("/workflows", json=line(call, name="caller"), headers=acme).json()["id"]
    run = shared.post(f"/workflows/{workflow_id}/execute", headers=acme).json()
    [child] = shared.get(f"/executions?parent_id={run['id']}", headers=acme).json()["executions"]

    own, called, whole = (
        shared.get(f"/executions/{each}/graph", headers=key).json()["graph_definition"]
        for each, key in ((run["id"], acme), (child["id"], acme), (child["id"], first))
    )

    assert [node for node in own["nodes"] if node["id"] == "call"] == [call]
    assert "known to the operator" in str(whole)
    assert called == {
        "nodes": [{"id": node["id"], "type": node["type"]} for node in whole["nodes"]], "edges": whole["edges"],
    }  # fmt: skip


def test_a_clients_workflow_calls_none_of_another_client(closed: TestClient) -> None:
    things = foreign_things(closed)
    acme = bearer(make_key(closed, "read", "run", "write", client_slug="acme"))
    call = {"id": "call", "type": "workflow", "workflow": int(things["workflow_id"])}

    workflow = closed.post("/workflows", json=line(call, name="of acme"), headers=acme).json()
    run = closed.post(f"/workflows/{workflow['id']}/execute", headers=acme).json()

    assert (run["status"], run["error"]["type"]) == ("failed", "NoSuchWorkflow")


def test_a_clients_key_schedules_what_is_its_clients(shared: TestClient) -> None:
    things = foreign_things(shared)
    acme = bearer(make_key(shared, "read", "run", "write", client_slug="acme"))
    own = shared.post("/workflows", json=line(transform(x=1), name="of acme"), headers=acme).json()["id"]
    order = {"workflow_id": own, "cron": "0 7 * * *"}
    theirs = {**order, "workflow_id": int(things["workflow_id"])}

    made = shared.post("/schedules", json=order, headers=acme).json()

    assert made["client_slug"] == "acme"
    assert [each["id"] for each in shared.get("/schedules", headers=acme).json()["schedules"]] == [made["id"]]
    assert shared.get("/schedules", headers=bearer(FIRST_KEY)).json()["total"] == 2
    here = f"/schedules/{made['id']}"
    assert shared.post(f"{here}/run", headers=acme).status_code == 202
    assert shared.patch(here, json={"client_slug": None}, headers=acme).json()["client_slug"] == "acme"
    assert shared.patch(here, json={"client_slug": "bolt"}, headers=acme).status_code == 404
    assert shared.post("/schedules", json=theirs, headers=acme).status_code == 404
    assert shared.post("/schedules", json={**order, "client_slug": "bolt"}, headers=acme).status_code == 404
    for method, path in ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/run"):
        answer = shared.request(method, f"/schedules/{things['schedule_id']}{path}", json={}, headers=acme)
        assert answer.status_code == 404, (method, path)


def test_a_clients_key_cannot_be_an_administrators(closed: TestClient) -> None:
    closed.post("/clients", json={"slug": "acme"}, headers=bearer(FIRST_KEY))
    order = {"name": "x", "scopes": ["admin"], "client_slug": "acme"}

    assert closed.post("/keys", json=order, headers=bearer(FIRST_KEY)).status_code == 422


def test_what_is_done_is_noted_under_the_name_of_the_key(closed: TestClient) -> None:
    key = make_key(closed, "write", "read")

    save_as = closed.post("/workflows", json=line(transform(x=1)), headers=bearer(key))

    assert save_as.status_code == 201
    events = closed.get("/audit?subject=workflow/1", headers=bearer(FIRST_KEY)).json()["events"]
    assert {each["actor"] for each in events} == {f"test ({key.split('_')[1]})"}


def test_what_is_done_to_clients_and_credentials_is_noted_by_name(closed: TestClient) -> None:
    closed.headers.update(bearer(FIRST_KEY))
    closed.post("/clients", json={"slug": "acme"})
    closed.patch("/clients/acme", json={"name": "Acme"})
    closed.put("/clients/acme/credentials/mail", json={"email_password": "correct horse battery"})
    closed.delete("/clients/acme/credentials/mail")
    closed.delete("/clients/acme")

    events = closed.get("/audit").json()["events"]

    assert [(each["action"], each["subject"]) for each in reversed(events)] == [
        ("client.create", "client/acme"),
        ("client.change", "client/acme"),
        ("credential.put", "client/acme/mail"),
        ("credential.delete", "client/acme/mail"),
        ("client.delete", "client/acme"),
    ]
    of_credentials = [each for each in events if each["action"].startswith("credential.")]
    assert {(each["before_sha256"], each["after_sha256"]) for each in of_credentials} == {(None, None)}


# What browsers are told.


def test_pages_of_the_sites_that_are_listed_may_call_with_a_key_and_no_others(sqlite_url: str) -> None:
    ours, theirs = "https://app.example.com", "https://attacker.example"
    with serving(
        sqlite_url, api_keys="required", nova_api_key=FIRST_KEY, cors_origins="https://app.example.com"
    ) as client:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "Authorization"}
        allowed, refused = (
            client.options("/workflows", headers={"Origin": origin, **asked}) for origin in (ours, theirs)
        )
        done = client.post("/workflows", json=line(transform(x=1)), headers={**bearer(FIRST_KEY), "Origin": ours})
        keyless = client.get("/workflows", headers={"Origin": ours})

    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ours)
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (400, None)
    assert (done.status_code, done.headers["access-control-allow-origin"]) == (201, ours)
    assert keyless.status_code == 401
    assert "access-control-allow-credentials" not in {*allowed.headers, *done.headers}


@pytest.mark.parametrize("path", ["/health", "/workflows", "/no/such/path", "/openapi.json", "/"])
def test_every_answer_tells_a_browser_to_run_nothing(lasting: TestClient, path: str) -> None:
    headers = lasting.get(path).headers

    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control-")]


def test_the_pages_of_the_documentation_may_load_what_they_are_made_of(lasting: TestClient) -> None:
    assert "https://cdn.jsdelivr.net" in lasting.get("/docs").headers["content-security-policy"]
