"""`GET /`: the page for a browser, a signpost for a program; and the files of the page."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from src.api.access import PUBLIC
from src.api.schemas import Door
from src.nova import VERSION

WEB = Path(__file__).parent.parent / "web"
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
"""Nothing inline, nothing from elsewhere: what a workflow's author names a node can never become a script."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
router = APIRouter(tags=["health"], dependencies=[PUBLIC])


def install(app: FastAPI) -> None:
    shell = Environment(loader=FileSystemLoader(WEB), autoescape=True).get_template("page.html")
    app.state.page = shell.render(version=VERSION)
    app.mount("/static", _Files(directory=WEB / "static"), name="static")


@router.get(
    "/", response_model=Door, responses={200: {"model": Door, "content": {"text/html": {"schema": {"type": "string"}}}}}
)
async def door(request: Request) -> Response:
    """HTML for who asks for it (`Accept`), otherwise where everything is."""
    if _wants_html(request.headers.get("accept", "")):
        return HTMLResponse(request.app.state.page, headers=HEADERS | {"Vary": "Accept"})
    links = {"docs": "/docs", "workflows": "/workflows", "executions": "/executions", "health": "/health/ready"}
    return JSONResponse({"name": "nova", "version": VERSION, "links": links}, headers={"Vary": "Accept"})


def _wants_html(accept: str) -> bool:
    """A browser names HTML and prefers nothing to it; a program names JSON, anything, or nothing."""
    kinds = [part.split(";")[0].strip() for part in accept.split(",")]
    return "text/html" in kinds and "application/json" not in kinds[: kinds.index("text/html")]


class _Files(StaticFiles):
    """Asked for again each time and answered 304: a new release is there at once, and half of an old one never."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(HEADERS)
        return answer
