"""A real browser on a real server. Whatever a test does: no error on the console, no request to anywhere else."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.api.test_server import Server
from tests.browser.parts import PageServer
from tests.browsers import FLAGS, find_browser

PATIENCE_MILLISECONDS = 30_000
EXPECTED = ("net::ERR_CONNECTION_REFUSED", "net::ERR_EMPTY_RESPONSE", "net::ERR_INCOMPLETE_CHUNKED_ENCODING")
"""What a browser notes where a server is stopped, which a test does on purpose."""
REFUSALS = tuple(f"the server responded with a status of {status}" for status in (401, 404, 422))
"""What it notes where a server refuses something, as it should."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        expect.set_options(timeout=PATIENCE_MILLISECONDS)
        yield started
        started.close()


@pytest.fixture(scope="package")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = shutil.copyfile(sqlite_template, tmp_path_factory.mktemp("browser") / "nova.db")
    started = PageServer(f"sqlite:///{path}")
    try:
        started.wait_until_ready(60)
        yield started
    finally:
        started.stop()


@dataclass
class Visitor:
    """Opens pages and keeps an eye on them."""

    browser: Browser
    url: str
    complaints: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    expected: tuple[str, ...] = EXPECTED
    """Of the console."""

    def open(self, place: str, *, width: int = 1280, height: int = 860, dark: bool = False) -> Page:
        scheme: Any = "dark" if dark else "light"
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._answer)
        page.on("request", lambda request: self._note_request(request.url))
        page.goto(f"{self.url}/{place}")
        return page

    def _answer(self, dialog: Any) -> None:
        if dialog.type != "confirm":
            self.complaints.append(f"a dialog: {dialog.message}")
        dialog.accept()

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(each in text for each in self.expected):
            self.complaints.append(f"console: {text}")

    def _note_request(self, url: str) -> None:
        if not url.startswith((f"{self.url}/", f"{self.url.replace('http', 'ws', 1)}/")):
            self.complaints.append(f"a request to {url}")


@pytest.fixture
def visitor(browser: Browser, server: Server) -> Iterator[Visitor]:
    found = Visitor(browser, f"http://127.0.0.1:{server.port}")
    yield found
    for context in found.contexts:
        context.close()
    assert found.complaints == []


@pytest.fixture
def visit(visitor: Visitor) -> Callable[..., Page]:
    return visitor.open
