"""The web door: `uvicorn src.api.main:app`."""

import gc
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import Scope

from src.api import errors
from src.api.access import Access, Rules
from src.api.requests import RequestFrame
from src.api.routes import (
    audit,
    clients,
    execute,
    executions,
    health,
    keys,
    live,
    metrics,
    page,
    reruns,
    reviews,
    schedules,
    sign_in,
    stats,
    triggers,
    workflows,
)
from src.bootstrap import build
from src.logs import runs_under_uvicorn, take_over_uvicorn
from src.nova import VERSION, Nova, Role
from src.settings import Settings, read_settings

ROUTES = (
    execute,
    executions,
    live,
    page,
    reruns,
    reviews,
    schedules,
    triggers,
    workflows,
    clients,
    keys,
    sign_in,
    audit,
    metrics,
    stats,
    health,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-ID",
)
EXPOSED = ("ETag", "Location", "Retry-After", "X-Request-ID")
"""What pages of other sites may send and read, where there are any (CORS_ORIGINS)."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    nova = build(app.state.settings, Role.WEB)
    nova.serve()
    if app.state.warms_up:
        nova.sandbox.warm_up()
    app.state.nova = nova
    if _is_alone():
        gc.freeze()  # what is there by now stays: looking through it would hold everybody up for 60 ms each time
    with _drained_by_signals(nova):
        yield
    await nova.live.hub.close()
    nova.close()


@contextmanager
def _drained_by_signals(nova: Nova) -> Iterator[None]:
    """SIGTERM is told to the runs before the server waits for its open requests."""
    if not _is_alone():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def drain(number: int, frame: FrameType | None) -> None:
        nova.drain.begin(exit_code=128 + number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for each in before:
        signal.signal(each, drain)
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


def _is_alone() -> bool:
    """The process is there for this server; tests serve from another thread."""
    return threading.current_thread() is threading.main_thread()


def create_app(settings: Settings, *, warms_up: bool = True) -> FastAPI:
    """
    Args:
        warms_up: open the sandbox at the start, and not with the first code.
    """
    app = FastAPI(
        title="Nova",
        version=VERSION,
        description="Runs workflows inside the request, durably.",
        lifespan=_lifespan,
    )
    app.state.settings, app.state.warms_up = settings, warms_up
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes)
    rules = Rules(route for routes in ROUTES for route in routes.router.routes)
    app.add_middleware(Access, rules=rules)
    if settings.cors_origins:  # without credentials: a page of another site sends a key, never this one's cookie
        origins = settings.cors_origins
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=METHODS, allow_headers=HEADERS, expose_headers=EXPOSED
        )
    app.add_middleware(RequestFrame, on_exposed=_expose, max_body_bytes=settings.max_body_bytes)
    errors.install(app)
    page.install(app)
    for routes in ROUTES:
        app.include_router(routes.router)
    return app


def _expose(scope: Scope) -> None:
    scope["app"].state.nova.expose()


_settings = read_settings()
if runs_under_uvicorn():
    take_over_uvicorn(_settings.log_format)
app = create_app(_settings)
