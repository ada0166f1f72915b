"""What every answer tells a browser, unless a route says otherwise: run nothing, show it in nobody's frame."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

USUAL = [
    (b"content-security-policy", b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
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
    present = {name for name, _ in headers.raw}
    headers.raw.extend(header for header in USUAL if header[0] not in present)
    if scope["path"].startswith(DOCS):
        headers["Content-Security-Policy"] = OF_DOCS
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", ONE_YEAR)
