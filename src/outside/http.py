"""The HTTP client of nodes: guarded at every hop, bounded in time and size, with nothing kept from call to call."""

import re
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from http import HTTPStatus

import httpcore2
import httpx2

from src.outside.breaker import Breakers
from src.outside.deadline import Deadline
from src.outside.errors import Fault, Refused, TooLarge
from src.outside.guard import Guard
from src.outside.messages import SCHEMES, Answer, Call
from src.outside.network import GuardedBackend

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HOST = re.compile(rb"[a-zA-Z0-9._:-]+")
MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
KEEPS_METHOD = frozenset({307, 308})
HARMLESS = frozenset({"accept", "accept-language", "content-type", "idempotency-key", "user-agent"})
"""Headers that another host than the one they were written for may see."""
OF_A_BODY = frozenset({"content-type", "content-encoding", "idempotency-key"})
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"})
"""Headers that say where a message goes and ends: whoever writes them can make two out of one."""


class HttpClient:
    """May be used from any thread."""

    def __init__(
        self,
        guard: Guard,
        breakers: Breakers,
        *,
        max_bytes: int,
        user_agent: str = "nova",
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._breakers = breakers
        self._max_bytes = max_bytes
        self._user_agent = user_agent
        self._given_trust = trust

    def send(self, call: Call, cancelled: threading.Event | None = None) -> Answer:
        """What the other side answers, whatever its status.

        Raises:
            OutsideError: there is no answer, or none that is taken.
        """
        deadline = Deadline(call.timeout_seconds, cancelled)
        url = _first_url(call)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._answer(call, url, deadline)
            target = answer.headers.get("location")
            if not (call.follows and answer.status in REDIRECTS and target):
                return answer
            call, url = _redirected(call, url, answer.status, target)
        raise Refused(f"{place_of(url)}: more than {MAX_REDIRECTS} redirects")

    def _answer(self, call: Call, url: httpx2.URL, deadline: Deadline) -> Answer:
        request = _request(call, url, self._user_agent)
        with self._breakers.calling(place_of(url)) as calling:
            answer = self._exchange(request, deadline)
            calling.failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            return answer

    def _exchange(self, request: httpx2.Request, deadline: Deadline) -> Answer:
        """On a connection of its own: what was checked is what is used, and runs share nothing."""
        backend = GuardedBackend(self._guard, deadline)
        trust = self._trust if request.url.scheme == "https" else None
        with (
            _faults(place_of(request.url), deadline),
            httpcore2.ConnectionPool(trust, network_backend=backend) as connections,
        ):
            raw = connections.handle_request(_plain(request))
            assert isinstance(raw.stream, Iterable)
            response = httpx2.Response(raw.status, headers=raw.headers, stream=_Stream(raw.stream))
            body = self._body_of(response, deadline)
        charset = response.charset_encoding or "utf-8"
        return Answer(raw.status, response.headers, body, charset, place_of(request.url))

    def _body_of(self, response: httpx2.Response, deadline: Deadline) -> bytes:
        """Unpacked piece by piece: a small answer that unpacks to a large one is noticed on the way."""
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > self._max_bytes:
                raise TooLarge(f"the answer is larger than {self._max_bytes:,} bytes (OUTBOUND_MAX_BYTES)")
            deadline.check()
        return bytes(body)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """Made at the first call over TLS: reading all certificates takes its time."""
        return self._given_trust or ssl.create_default_context()


class _Stream(httpx2.SyncByteStream):
    def __init__(self, raw: Iterable[bytes]) -> None:
        self._raw = raw

    def __iter__(self) -> Iterator[bytes]:
        yield from self._raw


def place_of(url: httpx2.URL) -> str:
    """Host and port: what may be told of a URL, which may have secrets in all of its other parts."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or SCHEMES[url.scheme]}"


def _first_url(call: Call) -> httpx2.URL:
    try:
        url = httpx2.URL(call.url)
        return _checked(url.copy_merge_params(call.query) if call.query else url)
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise Refused(f"the URL cannot be read: {error}") from None


def _checked(url: httpx2.URL) -> httpx2.URL:
    """Raises Refused for a URL that no node may call, wherever its host is."""
    if url.scheme not in SCHEMES:
        raise Refused(f"expected a URL that begins with http:// or https://, got {url.scheme or 'none'!r}")
    if not HOST.fullmatch(url.raw_host):
        raise Refused(f"{url.host!r} is no name of a host" if url.host else "the URL names no host")
    if url.port == 0:
        raise Refused("there is no port 0")
    if url.userinfo:
        raise Refused("the URL has a user in it: that belongs into `auth`")
    return url


def _redirected(call: Call, url: httpx2.URL, status: int, target: str) -> tuple[Call, httpx2.URL]:
    try:
        onward = _checked(url.join(target))
    except (httpx2.InvalidURL, ValueError) as error:
        raise Refused(f"{place_of(url)} redirects to what is no URL: {error}") from None
    if url.scheme == "https" and onward.scheme == "http":
        raise Refused(f"{place_of(url)} redirects from https to http")
    headers = dict(call.headers)
    if place_of(onward) != place_of(url) or onward.scheme != url.scheme:
        headers = {name: value for name, value in headers.items() if name.lower() in HARMLESS}
    if status in KEEPS_METHOD or call.method in ("GET", "HEAD"):
        return replace(call, headers=headers), onward
    headers = {name: value for name, value in headers.items() if name.lower() not in OF_A_BODY}
    return replace(call, method="GET", body=None, headers=headers), onward


def _request(call: Call, url: httpx2.URL, user_agent: str) -> httpx2.Request:
    if call.method not in METHODS:
        raise Refused(f"expected one of {', '.join(sorted(METHODS))}, got {call.method!r}")
    ours = [name for name in call.headers if name.lower() in OURS or name.lower().startswith("proxy-")]
    if ours:
        raise Refused(f"this header is not for a node to set: {', '.join(ours)}")
    try:
        headers = httpx2.Headers({"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": user_agent})
        return httpx2.Request(call.method, url, headers=headers | call.headers, content=call.body)
    except (TypeError, ValueError) as error:
        raise Refused(f"a header cannot be sent: {type(error).__name__}") from None


def _plain(request: httpx2.Request) -> httpcore2.Request:
    url = request.url
    target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    return httpcore2.Request(request.method, target, headers=request.headers.raw, content=request.content)


@contextmanager
def _faults(place: str, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except httpcore2.TimeoutException:
        raise Fault(f"{place} did not answer within {deadline.seconds:g} s") from None
    except httpx2.DecodingError:
        raise Fault(f"{place} answered something else than its Content-Encoding says") from None
    except httpcore2.LocalProtocolError as error:
        raise Refused(f"this cannot be sent to {place}: {error}") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        cause = next(iter(error.args), None)  # httpcore raises its own errors without their causes
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Refused(f"{place}: {cause.verify_message}") from None
        raise Fault(f"{place}: {error}") from None
