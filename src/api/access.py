"""Who may come in: every request is looked at here, before its body is read. Routes say what they need:

    @router.get("/things/{workflow_id}", dependencies=[READ])

A route that says nothing needs `admin`. A key of one client reaches a route whose path names something of that client,
and one that says `OWN`: that it shows each caller what is its client's.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.params import Depends as Marker
from fastapi.params import Security as Needs
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from src.api.errors import RefusedRequest, problem
from src.api.requests import may_be_foreign
from src.core.about import about
from src.nova import Nova
from src.runtime.keys import ENVIRONMENT, LOCAL, Caller, Scope, is_checked

COOKIE = "nova_session"
MAX_FAILURES = 20
"""Wrong keys from one address in a minute."""
MINUTE = 60.0
MAX_REMEMBERED = 10_000
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OF_NOBODY = frozenset({"node_id", "name"})
"""Parameters of paths that name a part of what another one names."""
ANY_NUMBER = -1
"""Of slashes: in a path that holds the id of a node, which may have some of its own."""
OPEN_PATHS = ("/docs", "/openapi.json", "/redoc", "/static/")
_bearer = HTTPBearer(auto_error=False, description="A key: `python -m src keys create`.")


async def _anybody() -> None:
    """Marks routes; see below."""


async def _own() -> None:
    """Likewise."""


READ, RUN = Security(_bearer, scopes=[Scope.READ]), Security(_bearer, scopes=[Scope.RUN])
WRITE, ADMIN = Security(_bearer, scopes=[Scope.WRITE]), Security(_bearer, scopes=[Scope.ADMIN])
PUBLIC = Depends(_anybody)
"""Needs no key."""
OWN = Depends(_own)
"""Shows a caller what is its client's, and nothing else."""


@dataclass(frozen=True, slots=True)
class Rule:
    scope: Scope | None
    """None: public."""
    is_declared: bool
    is_for_clients: bool


class Rules:
    """What each route needs, by method and path."""

    def __init__(self, routes: Iterable[Any]) -> None:
        self._rules: dict[tuple[str, int], list[tuple[re.Pattern[str], Rule]]] = {}
        for route in routes:
            pattern, _, _ = compile_path(route.path)
            slashes = ANY_NUMBER if ":path}" in route.path else route.path.count("/")
            for method in getattr(route, "methods", None) or {"WEBSOCKET"}:
                self._rules.setdefault((method, slashes), []).append((pattern, _rule_of(route)))

    def __iter__(self) -> Iterator[tuple[str, str, Rule]]:
        for (method, _), rules in self._rules.items():
            yield from ((method, pattern.pattern, rule) for pattern, rule in rules)

    def find(self, method: str, path: str) -> tuple[Rule, dict[str, str]] | None:
        for slashes in (path.count("/"), ANY_NUMBER):
            for pattern, rule in self._rules.get((method, slashes), ()):
                if found := pattern.match(path):
                    return rule, found.groupdict()
        return None


def _rule_of(route: Any) -> Rule:
    markers: list[Marker] = list(getattr(route, "dependencies", ()))
    used = {marker.dependency for marker in markers}
    needs = [scope for marker in markers if isinstance(marker, Needs) for scope in marker.scopes or ()]
    parameters = set(re.findall(r"{(\w+)", route.path))
    names_own = any(map(is_checked, parameters)) and all(is_checked(each) or each in OF_NOBODY for each in parameters)
    is_public = _anybody in used
    scope = None if is_public else Scope(needs[-1]) if needs else Scope.ADMIN
    return Rule(scope, is_public or bool(needs), is_public or names_own or _own in used)


class Refusal(Exception):
    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = headers or {}


class Counter:
    """How often each has come within this minute; about, and for this process alone."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[float, int]] = {}

    def count(self, who: str) -> tuple[int, int]:
        """With this time; and in how many seconds it begins anew."""
        now = time.monotonic()
        since, count = self._counts.get(who, (now, 0))
        if now - since >= MINUTE:
            since, count = now, 0
        if len(self._counts) >= MAX_REMEMBERED:
            self._counts = {each: seen for each, seen in self._counts.items() if now - seen[0] < MINUTE}
        self._counts[who] = (since, count + 1)
        return count + 1, max(1, int(MINUTE - (now - since)))


class Access:
    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._failures, self._requests = Counter(), Counter()

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        scope["nova.access"] = self
        try:
            caller = await self._admitted(scope)
        except Refusal as refusal:
            await _refuse(refusal, scope, receive, send)
            return
        scope["nova.caller"] = caller
        with about(actor=None if caller is LOCAL else caller.actor):
            await self._app(scope, receive, send)

    async def _admitted(self, scope: Connection) -> Caller:
        """Raises Refusal."""
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        found = self._rules.find("GET" if method == "HEAD" else method, scope["path"])
        rule, parameters = found or (Rule(Scope.ADMIN, is_declared=False, is_for_clients=False), {})
        if rule.scope is None or (found is None and scope["path"].startswith(OPEN_PATHS)):
            return LOCAL
        nova: Nova = scope["app"].state.nova
        caller = await self._caller(nova, scope, Headers(scope=scope), method)
        if found is None:
            return caller  # there is no such route, and the router says so; what is mounted stands in OPEN_PATHS
        self._check_rate(nova, caller)
        if not caller.may(rule.scope):
            raise Refusal(403, "forbidden", f"This key may not do this: it needs the scope {rule.scope}.")
        if caller.client_id is not None:
            await _check_client(nova, caller, rule, parameters)
        return caller

    async def _caller(self, nova: Nova, scope: Connection, headers: Headers, method: str) -> Caller:
        if not nova.settings.asks_for_keys:
            if may_be_foreign(scope, headers):
                raise Refusal(401, "key_needed", _CLOSED_TO_OTHERS)
            _check_origin(headers, method, is_strict=False)
            return LOCAL
        scheme, _, key = headers.get("authorization", "").partition(" ")
        session = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        if scheme.lower() == "bearer" and key:
            caller = await run_in_threadpool(nova.keys.check, key.strip())
        elif session:
            caller = await run_in_threadpool(nova.keys.check_session, session) or self.failed(scope)
            _check_origin(headers, method, is_strict=True)
        else:
            raise Refusal(401, "key_needed", _KEY_NEEDED, {"WWW-Authenticate": "Bearer"})
        return caller or self.failed(scope)

    def failed(self, scope: Connection) -> Caller:
        """Raises Refusal: there is no such key, and somebody may be trying them out."""
        count, seconds = self._failures.count((scope.get("client") or ("unknown",))[0])
        if count > MAX_FAILURES:
            detail = "Too many wrong keys have come from this address."
            raise Refusal(429, "too_many_failures", detail, {"Retry-After": str(seconds)})
        raise Refusal(401, "key_refused", "There is no such key, or no longer.", {"WWW-Authenticate": "Bearer"})

    def _check_rate(self, nova: Nova, caller: Caller) -> None:
        limit = nova.settings.key_requests_per_minute
        if not limit or caller.key_id in (None, ENVIRONMENT):
            return
        count, seconds = self._requests.count(caller.key_id)
        if count > limit:
            detail = f"This key may send {limit} requests in a minute (KEY_REQUESTS_PER_MINUTE)."
            raise Refusal(429, "too_many_requests", detail, {"Retry-After": str(seconds)})


_KEY_NEEDED = (
    "A key is needed: Authorization: Bearer nova_... The first one is NOVA_API_KEY, or what "
    "`python -m src keys create admin --scope admin` prints."
)
_CLOSED_TO_OTHERS = (
    "This server asks for no key, so it answers only its own machine. Set NOVA_API_KEY, and send it as a bearer token."
)


async def _check_client(nova: Nova, caller: Caller, rule: Rule, parameters: dict[str, str]) -> None:
    if not rule.is_for_clients:
        raise Refusal(403, "forbidden", "This is for keys that belong to no client.")
    foreign = await run_in_threadpool(nova.keys.foreign, caller, parameters)
    if foreign is not None:
        raise Refusal(404, foreign.code, str(foreign))


def _check_origin(headers: Headers, method: str, *, is_strict: bool) -> None:
    """A browser sends cookies, and reaches this machine, for pages of other sites too; it says for which."""
    if method in SAFE:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if origin is not None:
        is_same = urlsplit(origin).netloc == headers.get("host") and origin != "null"
    else:
        is_same = site in ("same-origin", "none") if site is not None else not is_strict
    if not is_same:
        raise Refusal(403, "other_site", "A page of another site cannot do this.")


async def _refuse(refusal: Refusal, scope: Connection, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.detail[:120]})
        return
    await _answer(refusal, Request(scope))(scope, receive, send)


def _answer(refusal: Refusal, request: Request) -> Response:
    answer = problem(request, refusal.status, refusal.code, refusal.detail)
    answer.headers.update(refusal.headers)
    return answer


def refuse_key(request: Request) -> Response:
    """The answer to a wrong key that came in a body."""
    access: Access = request.scope["nova.access"]
    try:
        access.failed(request.scope)
    except Refusal as refusal:
        return _answer(refusal, request)
    raise AssertionError("it always refuses")


def same_origin(request: Request) -> None:
    """Raises RefusedRequest for what a page of another site sends."""
    try:
        _check_origin(request.headers, request.method, is_strict=False)
    except Refusal as refusal:
        raise RefusedRequest(refusal.status, refusal.code, refusal.detail) from None


async def _caller_of(request: Request) -> Caller:
    caller: Caller = request.scope["nova.caller"]
    return caller


Who = Annotated[Caller, Depends(_caller_of)]
"""Whoever sends the request, for routes that show or note it."""
