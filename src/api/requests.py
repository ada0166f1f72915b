"""What every request passes: strict JSON, `X-Request-ID`, a look at where it came in; and how `Prefer` is read."""

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.errors import RefusedRequest, problem
from src.api.headers import add_headers
from src.core.about import about
from src.settings import is_loopback

logger = logging.getLogger(__name__)

QUIET = ("/health", "/metrics")
"""Asked every few seconds by machines."""
REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


class StrictRequest(Request):
    async def json(self) -> Any:
        """The body as JSON, to the letter: Python's parser alone would let NaN through."""
        try:
            return json.loads(await self.body(), parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            raise RefusedRequest(400, "malformed_json", "The body is not UTF-8.") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise RefusedRequest(400, "malformed_json", f"The body is not JSON: {error.msg} ({where}).") from None
        except (ValueError, RecursionError) as error:  # an integer of too many digits; brackets a thousand deep
            detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise RefusedRequest(400, "malformed_json", f"The body cannot be read: {detail}.") from None


class StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


class RequestFrame:
    """Around all the rest: echoes `X-Request-ID` (or makes one up), refuses a body whose length tells that it is too
    large, and calls `on_exposed` when others than this machine may have sent the request.
    """

    def __init__(self, app: ASGIApp, on_exposed: Callable[[Scope], None], max_body_bytes: int) -> None:
        self._app = app
        self._on_exposed = on_exposed
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if may_be_foreign(scope, headers):
            self._on_exposed(scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())

        status, begun = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
                add_headers(scope, message)
            await send(message)

        with about(request_id=request_id):
            try:
                await self._answer(scope, receive, send_with_id, headers)
            finally:
                _log(scope, status, time.perf_counter() - begun)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        length = headers.get("content-length", "")
        if length.isdigit() and int(length[:19]) > self._max_body_bytes:
            detail = f"The body is larger than {self._max_body_bytes:,} bytes (MAX_BODY_BYTES)."
            refusal = problem(Request(scope), 413, "content_too_large", detail)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _log(scope: Scope, status: int, seconds: float) -> None:
    """One line for each request, without its query, which may hold what is nobody's business.

    Args:
        status: 0 where it was not answered.
    """
    level = logging.DEBUG if scope["path"].startswith(QUIET) else logging.INFO
    told = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": round(seconds, 6)}
    logger.log(level, "request", extra=told)


def may_be_foreign(scope: Scope, headers: Headers) -> bool:
    """It came in on an address that others can reach, through a proxy, or under a name that is not this machine's:
    a page elsewhere can make a browser here send requests to a name that it lets point to 127.0.0.1.
    """
    server = scope.get("server")
    is_outside = bool(server and server[1] is not None and not is_loopback(server[0]))
    is_proxied = "x-forwarded-for" in headers or "forwarded" in headers
    return is_outside or is_proxied or not is_loopback(_host(headers))


def _host(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', 'localhost')}").hostname or ""
    except ValueError:  # [ without ]
        return ""


def preferences(request: Request) -> dict[str, str]:
    """The `Prefer` header (RFC 7240): token -> value, empty where it has none."""
    parts = ",".join(request.headers.getlist("prefer")).split(",")
    pairs = (part.split(";")[0].partition("=") for part in parts if part.strip())
    return {token.strip().lower(): value.strip().strip('"').lower() for token, _, value in pairs}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
