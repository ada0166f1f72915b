"""The HTTP client against real peers on loopback, which the operator has allowed."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from src.outside.breaker import Breakers, Circuit
from src.outside.errors import Cancelled, CircuitOpen, Fault, OutsideError, Refused, TooLarge
from src.outside.guard import Allowed, Guard, Resolver, look_up
from src.outside.http import HttpClient
from src.outside.messages import Answer, Call
from tests.outside.peers import Peer, Seen, Told, certificate_for, http_peer, raw_peer, server_context
from tests.runtime.building import eventually


def client(*peers: Peer, max_bytes: int = 100_000, breakers: Breakers | None = None, **guard: object) -> HttpClient:
    allowed = Allowed.read(peer.place for peer in peers)
    resolve: Resolver = guard.pop("resolve", look_up)  # type: ignore[assignment]
    return HttpClient(Guard(allowed, resolve=resolve), breakers or Breakers(), max_bytes=max_bytes)


@pytest.fixture
def echo() -> Iterator[Peer]:
    with http_peer(lambda _: Told(body="hello")) as peer:
        yield peer


def test_an_answer_is_status_headers_and_body(echo: Peer) -> None:
    answer = client(echo).send(Call("POST", f"{echo.url}/a?b=1", {"X-One": "1"}, {"c": ["2", "3"]}, b"body"))

    assert (answer.status, answer.text, answer.headers["Content-Type"]) == (200, "hello", "text/plain")
    [seen] = echo.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=1&c=2&c=3", b"body")
    assert seen.headers["x-one"] == "1"
    assert seen.headers["host"] == echo.place


def test_nothing_is_kept_from_one_call_to_the_next() -> None:
    with http_peer(lambda _: Told(headers={"Set-Cookie": "session=1"})) as peer:
        http = client(peer)
        http.send(Call("GET", peer.url))
        http.send(Call("GET", peer.url))

    assert all("cookie" not in seen.headers for seen in peer.seen)


def test_the_environments_proxies_and_credentials_are_not_used(echo: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert client(echo).send(Call("GET", echo.url)).status == 200


# Names.


def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_checked(echo: Peer) -> None:
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        """Public the first time that it is asked, loopback ever after."""
        asked.append(host)
        return ["192.0.2.1" if len(asked) == 1 else "127.0.0.1"]

    allowed = Allowed.read(["192.0.2.0/24"])
    http = HttpClient(Guard(allowed, ports=[echo.port], resolve=rebinding), Breakers(), max_bytes=1000)

    with pytest.raises(Fault):
        http.send(Call("GET", f"http://rebind.example:{echo.port}/", timeout_seconds=0.5))

    assert asked == ["rebind.example"]
    assert echo.seen == []


def test_a_name_that_turns_to_loopback_is_refused_at_the_next_call(echo: Peer) -> None:
    http = HttpClient(Guard(ports=[echo.port], resolve=lambda *_: ["127.0.0.1"]), Breakers(), max_bytes=1000)

    with pytest.raises(Refused, match="loopback"):
        http.send(Call("GET", f"http://rebind.example:{echo.port}/"))

    assert echo.seen == []


def test_the_peer_gets_the_name_and_not_the_address(echo: Peer) -> None:
    allowed = Allowed.read([f"crm.internal:{echo.port}"])
    http = HttpClient(Guard(allowed, resolve=lambda *_: ["127.0.0.1"]), Breakers(), max_bytes=1000)

    http.send(Call("GET", f"http://crm.internal:{echo.port}/"))

    assert echo.seen[0].headers["host"] == f"crm.internal:{echo.port}"


def test_the_next_address_is_tried_where_one_does_not_answer(echo: Peer) -> None:
    allowed = Allowed.read([f"two.internal:{echo.port}"])
    resolve = lambda *_: ["::1", "127.0.0.1"]
    http = HttpClient(Guard(allowed, resolve=resolve), Breakers(), max_bytes=1000)

    assert http.send(Call("GET", f"http://two.internal:{echo.port}/")).status == 200


# Redirects.


def redirecting(target: str, status: int = 302) -> Told:
    return Told(status, headers={"Location": target})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_private_address_is_refused(echo: Peer, status: int) -> None:
    with http_peer(lambda _: redirecting(echo.url, status)) as peer, pytest.raises(Refused):
        client(peer).send(Call("GET", peer.url))

    assert echo.seen == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
        "http://127.1/",
        "//10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "http://user:password@8.8.8.8/",
        "http://8.8.8.8:22/",
        "http://[::1",
    ],
)
def test_every_hop_is_looked_at_again(target: str) -> None:
    with http_peer(lambda _: redirecting(target)) as peer, pytest.raises(Refused):
        client(peer).send(Call("GET", peer.url))


def test_three_redirects_are_followed_and_no_fourth() -> None:
    def answer(seen: Seen) -> Told:
        left = int(seen.path.strip("/"))
        return redirecting(f"/{left - 1}") if left else Told(body="there")

    with http_peer(answer) as peer:
        assert client(peer).send(Call("GET", f"{peer.url}/3")).text == "there"
        with pytest.raises(Refused, match="more than 3 redirects"):
            client(peer).send(Call("GET", f"{peer.url}/4"))


def test_another_host_sees_no_header_that_may_be_a_secret(echo: Peer) -> None:
    secrets = {"Authorization": "Bearer s", "X-Api-Key": "s", "Cookie": "s", "Accept": "text/plain"}

    with http_peer(lambda _: redirecting(echo.url)) as peer:
        client(peer, echo).send(Call("GET", peer.url, secrets))

    assert echo.seen[0].headers["accept"] == "text/plain"
    assert "s" not in echo.seen[0].headers.values()
    assert "Bearer s" not in echo.seen[0].headers.values()


def test_the_same_host_sees_them_again() -> None:
    def answer(seen: Seen) -> Told:
        return redirecting("/there") if seen.path == "/" else Told()

    with http_peer(answer) as peer:
        client(peer).send(Call("GET", f"{peer.url}/", {"Authorization": "Bearer s"}))

    assert [seen.headers["authorization"] for seen in peer.seen] == ["Bearer s", "Bearer s"]


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
def test_a_redirected_post_is_what_the_status_makes_of_it(status: int, method: str) -> None:
    def answer(seen: Seen) -> Told:
        return redirecting("/there", status) if seen.path == "/" else Told()

    with http_peer(answer) as peer:
        client(peer).send(Call("POST", f"{peer.url}/", {"Content-Type": "text/plain"}, body=b"body"))

    assert peer.seen[1].method == method
    assert peer.seen[1].body == (b"body" if method == "POST" else b"")


def test_a_redirect_can_be_the_answer() -> None:
    with http_peer(lambda _: redirecting("http://10.0.0.1/")) as peer:
        assert client(peer).send(Call("GET", peer.url, follows=False)).status == 302


# Bounds.


def test_an_answer_that_is_too_large_is_not_taken() -> None:
    with http_peer(lambda _: Told(body=b"x" * 5000)) as peer, pytest.raises(TooLarge, match="1,000 bytes"):
        client(peer, max_bytes=1000).send(Call("GET", peer.url))


@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_unpacks_to_too_much_is_not_taken(times: int) -> None:
    bomb = bytes(30_000_000)
    for _ in range(times):
        bomb = gzip.compress(bomb)
    encoding = {"Content-Encoding": ", ".join(["gzip"] * times)}

    with http_peer(lambda _: Told(body=bomb, headers=encoding)) as peer, pytest.raises(TooLarge):
        client(peer).send(Call("GET", peer.url))


def test_a_packed_answer_is_unpacked() -> None:
    packed = Told(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})

    with http_peer(lambda _: packed) as peer:
        assert client(peer).send(Call("GET", peer.url)).text == "hello"


def test_an_answer_that_is_not_what_its_encoding_says_is_a_fault() -> None:
    wrong = Told(body=b"hello", headers={"Content-Encoding": "gzip"})

    with http_peer(lambda _: wrong) as peer, pytest.raises(Fault, match="Content-Encoding"):
        client(peer).send(Call("GET", peer.url))


def drip(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"x")
        threading.Event().wait(0.05)


def drip_body(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x")
        threading.Event().wait(0.05)


def silence(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.recv(4096)


@pytest.mark.parametrize("talk", [drip, drip_body, silence])
def test_a_slow_peer_gets_no_more_than_the_time_for_the_whole(talk: object) -> None:
    with raw_peer(talk) as peer, pytest.raises(Fault, match=r"within 0\.4 s"):  # type: ignore[arg-type]
        client(peer).send(Call("GET", peer.url, timeout_seconds=0.4))


def test_a_call_whose_result_nobody_wants_any_more_ends() -> None:
    cancelled = threading.Event()
    ended: list[OutsideError] = []

    def call() -> None:
        try:
            client(peer).send(Call("GET", peer.url, timeout_seconds=60), cancelled)
        except OutsideError as error:
            ended.append(error)

    with raw_peer(silence) as peer:
        thread = threading.Thread(target=call)
        thread.start()
        cancelled.set()
        eventually(lambda: bool(ended))
        thread.join()

    assert isinstance(ended[0], Cancelled)


def hang_up(connection: socket.socket) -> None:
    connection.recv(4096)


def babble(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"220 smtp.example ESMTP\r\n")


def break_off(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


@pytest.mark.parametrize("talk", [hang_up, babble, break_off])
def test_a_peer_that_breaks_off_is_a_fault(talk: object) -> None:
    with raw_peer(talk) as peer, pytest.raises(Fault):  # type: ignore[arg-type]
        client(peer).send(Call("GET", peer.url))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "other.example"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Proxy-Authorization": "x"},
        {"X": "a\r\nY: b"},
        {"X\r\nY": "b"},
        {"X": "ü€"},
    ],
)
def test_a_header_that_could_make_two_messages_of_one_is_refused(echo: Peer, headers: dict[str, str]) -> None:
    with pytest.raises(Refused):
        client(echo).send(Call("GET", echo.url, headers))


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "GET / HTTP/1.1\r\n", ""])
def test_only_the_usual_methods_are_sent(echo: Peer, method: str) -> None:
    with pytest.raises(Refused, match="expected one of"):
        client(echo).send(Call(method, echo.url))


def tls_peer(name: str, folder: Path) -> AbstractContextManager[Peer]:
    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")

    context = server_context(certificate_for(name, folder))
    return raw_peer(talk)


def test_a_certificate_that_nobody_vouches_for_is_refused_for_good(tmp_path: Path) -> None:
    with tls_peer("crm.internal", tmp_path) as peer, pytest.raises(Refused, match="self-signed certificate"):
        client(peer).send(Call("GET", f"https://{peer.place}/"))


@pytest.mark.parametrize("name", ["crm.internal", "other.internal"])
def test_the_certificate_must_be_for_the_name_and_not_for_the_address(tmp_path: Path, name: str) -> None:
    with tls_peer("crm.internal", tmp_path) as peer:
        guard = Guard(Allowed.read([f"{name}:{peer.port}"]), resolve=lambda *_: ["127.0.0.1"])
        trust = ssl.create_default_context(cafile=str(tmp_path / "crm.internal.pem"))
        http = HttpClient(guard, Breakers(), max_bytes=1000, trust=trust)

        if name == "crm.internal":
            assert http.send(Call("GET", f"https://{name}:{peer.port}/")).text == "secret"
        else:
            with pytest.raises(Refused, match="Hostname mismatch"):
                http.send(Call("GET", f"https://{name}:{peer.port}/"))


# The circuit.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_host_that_keeps_failing_is_left_alone_for_a_while() -> None:
    clock, status = Clock(), [503]
    breakers = Breakers(failures=3, open_seconds=30, now=clock)
    with http_peer(lambda _: Told(status[0])) as peer:
        http = client(peer, breakers=breakers)
        for _ in range(3):
            http.send(Call("GET", peer.url))

        assert breakers.states() == {peer.place: Circuit.OPEN}
        assert breakers.count_open() == 1
        with pytest.raises(CircuitOpen) as left_alone:
            http.send(Call("GET", peer.url))
        assert left_alone.value.retry_after_seconds == 30
        assert len(peer.seen) == 3

        clock.now, status[0] = 31, 200
        assert breakers.states() == {peer.place: Circuit.TRYING}
        assert http.send(Call("GET", peer.url)).status == 200
        assert breakers.states() == {}


def test_one_failure_opens_the_circuit_again_after_the_while() -> None:
    clock = Clock()
    breakers = Breakers(failures=2, open_seconds=30, now=clock)
    with http_peer(lambda _: Told(500)) as peer:
        http = client(peer, breakers=breakers)
        for clock.now in (0, 1, 40):
            http.send(Call("GET", peer.url))
        with pytest.raises(CircuitOpen):
            http.send(Call("GET", peer.url))

    assert len(peer.seen) == 3


def test_only_one_call_is_let_through_to_try() -> None:
    clock = Clock()
    breakers = Breakers(failures=1, open_seconds=30, now=clock)
    with pytest.raises(Fault), breakers.calling("h:1"):
        raise Fault("down")
    clock.now = 31

    with breakers.calling("h:1"), pytest.raises(CircuitOpen), breakers.calling("h:1"):
        pass

    assert breakers.states() == {}


def test_what_says_nothing_about_a_host_neither_opens_nor_closes_its_circuit() -> None:
    breakers = Breakers(failures=2)
    with pytest.raises(Fault), breakers.calling("h:1"):
        raise Fault("down")
    for error in (Refused("not there"), Cancelled("stopped"), TooLarge("much")):
        with pytest.raises(type(error)), breakers.calling("h:1"):
            raise error

    assert breakers.states() == {"h:1": Circuit.CLOSED}


@pytest.mark.parametrize("status", [400, 404, 429])
def test_a_host_that_refuses_is_not_one_that_fails(status: int) -> None:
    breakers = Breakers(failures=1)
    with http_peer(lambda _: Told(status)) as peer:
        client(peer, breakers=breakers).send(Call("GET", peer.url))

    assert breakers.states() == {}


# How an answer is read.


@pytest.mark.parametrize(
    ("asked", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("-1", None), ("99999999", 86_400.0)]
)
def test_retry_after_is_a_number_of_seconds(asked: str, seconds: float | None) -> None:
    assert Answer(503, {"retry-after": asked}, b"").retry_after_seconds == seconds


def test_retry_after_may_be_a_moment() -> None:
    assert Answer(503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, b"").retry_after_seconds == 0.0


@pytest.mark.parametrize(("charset", "body"), [("utf-8", "ü"), ("latin-1", "ü"), ("no-such", "ü"), ("hex", "ü")])
def test_a_text_is_read_in_its_charset(charset: str, body: str) -> None:
    encoded = body.encode("latin-1" if charset == "latin-1" else "utf-8")

    assert Answer(200, {}, encoded, charset).text == body
