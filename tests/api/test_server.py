"""What only a real server shows: bodies in chunks, raw requests, signals, a port that others can reach."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.door import FUNCTIONS, Json, action, function, line, rows, save, serving, transform
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
MAX_BODY = 1024 * 1024


class Server:
    """`python -m src serve` on a free port of this machine."""

    port = 0
    """Any that is free, where a subclass has not chosen one."""

    def __init__(self, database_url: str, *arguments: str, **environment: str) -> None:
        self.port = self.port or free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "src", "serve", "--port", str(self.port), *arguments],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database_url, "NOVA_FUNCTIONS": FUNCTIONS} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until_ready(self, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                if self.request("GET", "/health")[0] == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server did not become ready")

    def request(
        self, method: str, path: str, body: Json | None = None, timeout: float = 20.0, **headers: str
    ) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def raw(self, *parts: bytes) -> bytes:
        """Everything that the server answers until it closes the connection."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            with suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
            with suppress(ConnectionError):
                while data := connection.recv(65_536):
                    received += data
        return received

    def hang_up(self, request: bytes) -> None:
        """Send a request, and wait for no answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def running(database_url: str, *arguments: str, **environment: str) -> Iterator[Server]:
    server = Server(database_url, *arguments, **environment)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def post(path: str, *headers: str) -> bytes:
    always = ["Host: 127.0.0.1", "Content-Type: application/json", "Connection: close"]
    return "\r\n".join([f"POST {path} HTTP/1.1", *always, *headers, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def problem_of(answer: bytes) -> Json:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    assert b"x-request-id: " in head.lower(), answer
    problem: Json = json.loads(body)
    return problem


def test_a_body_in_chunks_is_read(sqlite_url: str) -> None:
    document = json.dumps(line(transform(x=1))).encode()
    with running(sqlite_url) as server:
        answer = server.raw(
            post("/workflows", "Transfer-Encoding: chunked"), chunk(document[:7]), chunk(document[7:]), b"0\r\n\r\n"
        )

    assert answer.startswith(b"HTTP/1.1 201 ")


def test_a_body_that_is_too_large_is_refused_however_it_comes(sqlite_url: str) -> None:
    before = rows(sqlite_url)
    with running(sqlite_url) as server:
        chunked = server.raw(
            post("/workflows", "Transfer-Encoding: chunked"), *[chunk(b" " * 65_536)] * 16, chunk(b" "), b"0\r\n\r\n"
        )
        announced = server.raw(post("/workflows", f"Content-Length: {MAX_BODY + 1}"), b"{")
        nowhere = server.raw(post("/nothing-here", "Content-Length: 99999999999"), b"{")

    assert [problem_of(answer)["status"] for answer in (chunked, announced, nowhere)] == [413] * 3
    assert rows(sqlite_url) == before


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /nope HTTP/1.1\r\nHost: [\r\n",
        b"GET /nope HTTP/1.1\r\nHost: [::1\r\n",
        b"GET /nope HTTP/1.1\r\nHost: \xff\xfe\r\n",
        b"GET /nope HTTP/1.1\r\nHost: a/b?c#d\r\n",
        b"GET /%zz%ff%00 HTTP/1.1\r\nHost: x\r\n",
        b"GET //evil.example/.. HTTP/1.1\r\nHost: x\r\n",
        b"GET /tasks/%00 HTTP/1.1\r\nHost: x\r\n",
        b"GET /nope HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + b"a" * 20_000 + b"\r\n",
        b"GET /nope HTTP/1.1\r\nHost: x\r\nX-Request-ID: \xff\xfe\r\n",
    ],
)
def test_a_raw_request_is_answered_with_a_problem(server: Server, request_line: bytes) -> None:
    answer = server.raw(request_line + b"Connection: close\r\n\r\n")

    assert 400 <= problem_of(answer)["status"] < 500


@pytest.mark.parametrize("header", [b"Content-Length: -5", b"Content-Length: x", b"Transfer-Encoding: nonsense"])
def test_what_is_no_http_is_a_bad_request(server: Server, header: bytes) -> None:
    answer = server.raw(b"POST /workflows HTTP/1.1\r\nHost: x\r\n" + header + b"\r\nConnection: close\r\n\r\n{")

    assert answer.startswith(b"HTTP/1.1 4")
    assert b"Traceback" not in answer


def test_a_client_that_goes_away_in_the_middle_of_its_body_writes_nothing(sqlite_url: str) -> None:
    with running(sqlite_url) as server:
        before = rows(sqlite_url)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(post("/workflows", "Content-Length: 1000") + b'{"name": "half')

        status, _ = server.request("GET", "/health/ready")

    assert status == 200
    assert rows(sqlite_url) == before


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """For requests that leave nothing behind."""
    path = shutil.copyfile(sqlite_template, tmp_path_factory.mktemp("server") / "nova.db")
    with running(f"sqlite:///{path}") as server:
        yield server


def test_a_cancellation_that_leaves_a_function_of_a_branch_does_not_hang_the_run(sqlite_url: str) -> None:
    document = line(function("give_up"))
    graph = document["graph_definition"]
    graph["nodes"].append(function("greet", "other"))
    graph["edges"] += [{"from": "start", "to": "other"}, {"from": "other", "to": "end"}]
    with running(sqlite_url) as server:
        _, workflow = server.request("POST", "/workflows", document)

        status, execution = server.request("POST", f"/workflows/{workflow['id']}/execute", {}, timeout=10)

    assert (status, execution["status"]) == (200, "failed")


def test_a_server_that_is_told_to_end_lets_the_run_in_hand_finish(sqlite_url: str) -> None:
    with running(sqlite_url) as server:
        _, workflow = server.request("POST", "/workflows", line(action("import time\ntime.sleep(1)", timeout=20)))
        body = b"{}"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(post(f"/workflows/{workflow['id']}/execute", f"Content-Length: {len(body)}") + body)
            while not server.request("GET", "/executions")[1]["total"]:
                time.sleep(0.02)
            while not server.request("GET", "/executions/1/progress")[1]["under_way"]:
                time.sleep(0.02)

            server.process.send_signal(signal.SIGTERM)
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        server.process.wait(20)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"status":"completed"' in answer


def test_a_server_without_a_database_does_not_start_and_says_why() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = Server(f"postgresql://nobody@127.0.0.1:{closed.getsockname()[1]}/nothing")
        output, _ = server.process.communicate(timeout=30)

    assert server.process.returncode not in (0, None)
    assert "The database does not answer" in output


# Who else can reach it.


KEY = {"api_keys": "required", "nova_api_key": "the-key-of-those-who-reach-it"}


def test_a_server_that_was_reached_from_outside_runs_code_behind_walls_or_not_at_all(database_url: str) -> None:
    with serving(database_url, base_url="http://192.0.2.1:8000", **KEY) as client:
        client.headers["Authorization"] = f"Bearer {KEY['nova_api_key']}"
        workflow_id = save(client, line(action("context['x'] = 1"), name="code"))
        other = save(client, line(function("greet"), name="function"))

        coded = client.post(f"/workflows/{workflow_id}/execute").json()
        called = client.post(f"/workflows/{other}/execute").json()

        assert is_walled_or_refused(client, coded)
    assert called["status"] == "completed"


def is_walled_or_refused(client: TestClient, execution: dict[str, Any]) -> bool:
    if execution["status"] == "failed":
        return bool(execution["error"]["type"] == "CodeRefused")
    entries = client.get(f"/executions/{execution['id']}/chain").json()["entries"]
    return {entry["sandbox_level"] for entry in entries if entry["node_type"] == "action"} <= {"full", "seccomp"}


def test_a_server_at_postgresql_is_closed_but_for_those_with_a_key(postgres_url: str) -> None:
    first = KEY["nova_api_key"]
    with running(postgres_url, API_KEYS="auto", NOVA_API_KEY=first) as server:
        without, _ = server.request("GET", "/workflows")
        wrong, _ = server.request("GET", "/workflows", Authorization=f"Bearer {first}x")
        order = {"name": "reader", "scopes": ["read"]}
        made, shown = server.request("POST", "/keys", order, Authorization=f"Bearer {first}")
        read, _ = server.request("GET", "/workflows", Authorization=f"Bearer {shown['key']}")
        refused, _ = server.request("POST", "/workflows", {}, Authorization=f"Bearer {shown['key']}")

    assert (without, wrong, made, read, refused) == (401, 401, 201, 200, 403)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:8000", "http://127.8.9.10", "http://[::1]:8000", "http://localhost"]
)
def test_a_server_that_was_reached_from_this_machine_runs_code(sqlite_url: str, address: str) -> None:
    with serving(sqlite_url, base_url=address) as client:
        execution = client.post(f"/workflows/{save(client, line(action('pass')))}/execute").json()

    assert execution["status"] == "completed"


@pytest.mark.parametrize(
    "settings", [{"host": "0.0.0.0"}, {"host": "::"}, {"dyno": "web.1"}, {"railway_environment": "x"}]
)
def test_a_server_that_is_open_by_its_settings_runs_code_behind_walls_or_not_at_all(
    sqlite_url: str, settings: dict[str, str]
) -> None:
    with serving(sqlite_url, **KEY, **settings) as client:
        client.headers["Authorization"] = f"Bearer {KEY['nova_api_key']}"
        execution = client.post(f"/workflows/{save(client, line(action('pass')))}/execute").json()

        assert is_walled_or_refused(client, execution)


def test_a_page_of_another_site_reaches_no_code_without_walls_by_rebinding_its_name(sqlite_url: str) -> None:
    """A browser resolves the name of a hostile page to 127.0.0.1, and sends its requests here as the page's own."""
    with serving(sqlite_url) as client:
        headers = {"Host": "attacker.example:8000", "Origin": "http://attacker.example:8000"}
        workflow = client.post("/workflows", json=line(action("pass")), headers=headers)
        if workflow.status_code >= 400:
            return

        execution = client.post(f"/workflows/{workflow.json()['id']}/execute", headers=headers)

        assert execution.status_code >= 400 or is_walled_or_refused(client, execution.json())


NAMESPACE = 'ip link set lo up && ip address add 192.0.2.1/32 dev lo && exec "$@"'
INSIDE = """
import sys
from tests.api.door import function, line, action
from tests.api.test_server import running
import json, urllib.error, urllib.request

KEY = "the-key-of-those-who-reach-it"

def call(path, body=None, key=KEY):
    request = urllib.request.Request(
        f"http://192.0.2.1:{server.port}{path}", data=body and json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
    )
    return json.load(urllib.request.urlopen(request, timeout=20))

def is_refused(key):
    try:
        call("/workflows", key=key)
    except urllib.error.HTTPError as refused:
        return refused.code == 401

with running(sys.argv[1], "--host", "0.0.0.0", NOVA_API_KEY=KEY) as server:
    assert is_refused(None) and is_refused("the-key-of-nobody-at-all")
    ids = [call("/workflows", line(node, name=str(n)))["id"]
           for n, node in enumerate([action("context['x'] = 1"), function("greet")])]
    runs = [call(f"/workflows/{each}/execute", {}) for each in ids]
    print(json.dumps([[run["status"], run["error"] and run["error"]["type"]] for run in runs]))
"""


def can_make_namespaces() -> bool:
    """A network of its own, so that another address than loopback can be used without leaving the machine."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    command = ["unshare", "--net", "--map-root-user", "sh", "-c", NAMESPACE, "sh", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_make_namespaces(), reason="no network namespaces here: `unshare` and `ip` are needed")
def test_a_server_on_every_address_runs_code_over_another_address_behind_walls(sqlite_url: str) -> None:
    command = ["unshare", "--net", "--map-root-user", "sh", "-c", NAMESPACE, "sh"]

    ended = subprocess.run(
        [*command, sys.executable, "-c", INSIDE, sqlite_url], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) in (
        [["completed", None], ["completed", None]],
        [["failed", "CodeRefused"], ["completed", None]],  # where no walls can be raised
    )
