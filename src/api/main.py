"""The web door: `uvicorn src.api.main:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import Scope

from src.api import errors
from src.api.requests import RequestFrame
from src.api.routes import executions, health, workflows
from src.bootstrap import VERSION, build
from src.settings import Settings, read_settings


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    nova = build(app.state.settings)
    nova.start()
    nova.sandbox.warm_up()
    app.state.nova = nova
    yield
    nova.close()


def create_app(settings: Settings) -> FastAPI:
    app = FastAPI(
        title="Nova",
        version=VERSION,
        description="Runs workflows inside the request, durably.",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes)
    app.add_middleware(RequestFrame, on_exposed=_expose, max_body_bytes=settings.max_body_bytes)
    errors.install(app)
    for routes in (executions, workflows, health):
        app.include_router(routes.router)
    return app


def _expose(scope: Scope) -> None:
    scope["app"].state.nova.expose()


app = create_app(read_settings())
