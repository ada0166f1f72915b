"""What every answer tells a browser, unless a route says otherwise: run nothing, show it in nobody's frame."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

USUAL = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
OF_DOCS = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; img-src 'self' data: https:; worker-src blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""The pages of FastAPI bring scripts of their own and from elsewhere."""
DOCS = ("/docs", "/redoc")
ONE_YEAR = "max-age=31536000"


def add_headers(scope: Scope, start: Message) -> None:
    headers = MutableHeaders(scope=start)
    for name, value in USUAL.items():
        headers.setdefault(name, value)
    if scope["path"].startswith(DOCS):
        headers["Content-Security-Policy"] = OF_DOCS
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", ONE_YEAR)
