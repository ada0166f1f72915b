"""Clients and their credentials, over HTTP: what goes in, and that it never comes out."""

import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from src.database import normalise
from tests.api.door import action, execute, function, line, save, serving, transform

PASSWORD = "correct horse/battery+staple"


@pytest.fixture
def acme(client: TestClient) -> TestClient:
    assert client.post("/clients", json={"slug": "acme"}).status_code == 201
    return client


def put(client: TestClient, name: str = "mail", **values: Any) -> Any:
    return client.put(f"/clients/acme/credentials/{name}", json=values or {"email_password": PASSWORD})


def run_for_acme(client: TestClient, *nodes: Any, **context: Any) -> Any:
    workflow_id = save(client, line(*nodes))
    return client.post(
        f"/workflows/{workflow_id}/execute", json={"client_slug": "acme", "initial_context": context}
    ).json()


def test_a_client_is_created_changed_and_deleted(client: TestClient) -> None:
    made = client.post("/clients", json={"slug": "acme", "name": "Acme"})
    changed = client.patch("/clients/acme", json={"is_active": False})

    assert made.status_code == 201
    assert changed.json() == made.json() | {"is_active": False}
    assert client.get("/clients").json() == {"clients": [changed.json()], "total": 1}
    assert client.delete("/clients/acme").status_code == 204
    assert client.get("/clients/acme").status_code == 404


@pytest.mark.parametrize("slug", ["", "Acme", "a b", "ä", "-a", "a/b", "x" * 64, "a\n"])
def test_a_slug_that_does_not_read_well_is_refused(client: TestClient, slug: str) -> None:
    assert client.post("/clients", json={"slug": slug}).status_code == 422


def test_a_slug_is_taken_once(acme: TestClient) -> None:
    assert acme.post("/clients", json={"slug": "acme"}).status_code == 409


def test_a_client_that_runs_belong_to_is_not_deleted(acme: TestClient) -> None:
    run_for_acme(acme, transform(x=1))

    assert acme.delete("/clients/acme").status_code == 409


def test_credentials_are_listed_by_name_and_never_shown(acme: TestClient) -> None:
    first, again = put(acme), put(acme)

    assert (first.status_code, again.status_code) == (201, 200)
    shown = acme.get("/clients/acme/credentials/mail")
    assert shown.json().keys() == {"name", "created_at", "updated_at"}
    assert acme.get("/clients/acme/credentials").json() == {"credentials": [shown.json()], "total": 1}
    for answer in (first, again, shown):
        assert PASSWORD not in answer.text


def test_a_deleted_credential_is_gone(acme: TestClient) -> None:
    put(acme)

    assert acme.delete("/clients/acme/credentials/mail").status_code == 204
    assert acme.get("/clients/acme/credentials/mail").status_code == 404
    assert run_for_acme(acme, transform(x="{{ credentials.email_password }}"))["status"] == "failed"


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"nested": {"a": PASSWORD}}, "/nested"),
        ({"a list": [PASSWORD]}, "/a list"),
        ({"client_slug": PASSWORD}, "/client_slug"),
        ({"nul": f"{PASSWORD}\x00"}, "/nul"),
        ({"": PASSWORD}, "/"),
        ({"x" * 101: PASSWORD}, f"/{'x' * 101}"),
        ({f"key{n}": PASSWORD for n in range(101)}, ""),
        ({"long": PASSWORD * 3000}, "/long"),
    ],
)
def test_a_refusal_says_where_and_never_what(acme: TestClient, values: Any, pointer: str) -> None:
    answer = put(acme, **values)

    assert answer.status_code == 422
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    assert PASSWORD not in answer.text


def test_two_credentials_of_a_client_have_no_key_in_common(acme: TestClient) -> None:
    put(acme)

    answer = put(acme, "other", email_password="another one")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/email_password"


def test_values_too_short_to_be_recognised_are_named(acme: TestClient) -> None:
    answer = put(acme, pin="1234", use_tls=True, port=993, email_password=PASSWORD)

    assert answer.json()["unmasked"] == ["pin", "port"]


def test_a_node_finds_the_values_under_its_context(acme: TestClient) -> None:
    put(acme, email_password=PASSWORD, email_user="a@acme.example")
    code = "context['length'] = len(context['email_password']); context['slug'] = context['client_slug']"

    answer = run_for_acme(acme, action(code), transform(also="{{ credentials.email_password | length }}"))

    assert answer["result"] == {"length": len(PASSWORD), "slug": "acme", "also": len(PASSWORD)}


def test_a_value_of_the_context_comes_before_a_credential(acme: TestClient) -> None:
    put(acme, db_host="db.acme.example")

    answer = run_for_acme(acme, action("context['seen'] = context['db_host']"), db_host="other.example")

    assert answer["result"]["seen"] == "other.example"


def test_a_function_that_answers_all_it_saw_has_changed_nothing(acme: TestClient) -> None:
    put(acme)

    answer = run_for_acme(acme, function("echo"), transform(y="{{ credentials.email_password | length }}"))

    assert answer["result"] == {"y": len(PASSWORD)}


def test_older_code_finds_the_credentials_of_its_run(acme: TestClient) -> None:
    put(acme, email_password=PASSWORD, email_user="a@acme.example")
    code = """
from src.models.credentials import get_email_credentials, get_database_connection
found = get_email_credentials(context["client_slug"])
context["same"] = found.email_password == found["email_password"] == context["email_password"]
for wrong in (lambda: found.nothing, lambda: get_email_credentials("other"), lambda: get_database_connection()):
    try:
        wrong()
    except (AttributeError, LookupError, ImportError) as error:
        context[type(error).__name__] = str(error)
"""

    answer = run_for_acme(acme, action(code))

    assert answer["status"] == "completed", answer["error"]
    assert answer["result"]["same"] is True
    assert "there are: client_slug, email_password, email_user" in answer["result"]["AttributeError"]
    assert "'other'" in answer["result"]["LookupError"]


def test_a_run_without_a_client_has_no_credentials(acme: TestClient) -> None:
    put(acme)

    answer = execute(acme, save(acme, line(action("context['seen'] = 'email_password' in context")))).json()

    assert answer["result"] == {"seen": False}


def test_plain_values_are_credentials_that_may_be_seen(acme: TestClient) -> None:
    body = {"email_password": PASSWORD, "db_host": "db.acme.example"}
    assert acme.put("/clients/acme/credentials/mail?plain=db_host", json=body).status_code == 201

    answer = run_for_acme(acme, action("context['seen'] = [context['db_host'], context['email_password']]"))

    assert answer["result"] == {"seen": ["db.acme.example", "[secret:email_password]"]}


def test_the_key_file_beside_an_embedded_database_is_for_its_owner_alone(tmp_path: Path, sqlite_url: str) -> None:
    file = Path(f"{normalise(sqlite_url).database}.key")
    with serving(sqlite_url, encryption_keys="") as client:
        client.post("/clients", json={"slug": "acme"})
        assert not file.exists()
        put(client)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with serving(sqlite_url, encryption_keys="") as client:
        assert run_for_acme(client, transform(x="{{ credentials.email_password | length }}"))["status"] == "completed"


def test_postgresql_without_a_key_refuses_and_says_how_to_make_one(postgres_url: str) -> None:
    with serving(postgres_url, encryption_keys="") as client:
        client.post("/clients", json={"slug": "acme"})

        answer = put(client)

    assert answer.status_code == 409
    assert "python -m src new-key" in answer.json()["detail"]
