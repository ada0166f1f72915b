"""What stands at the door: a page for browsers, JSON for programs. What the page does is in tests/browser."""

import re
from pathlib import Path

import pytest

import src.api
from tests.api.conftest import Door

STATIC = Path(src.api.__file__).parent / "web" / "static"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_a_browser_gets_the_page_and_a_program_gets_json(door: Door) -> None:
    page = door.client.get("/", headers={"Accept": BROWSER})

    assert page.headers["content-type"].startswith("text/html")
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        assert door.client.get("/", headers={"Accept": accept}).json()["name"] == "nova"
    assert page.headers["vary"] == "Accept"


def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(door: Door) -> None:
    page = door.client.get("/", headers={"Accept": BROWSER})

    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert not re.search(r"unsafe|https?:|data:|\*", policy)
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|//", page.text.replace("<!doctype html>", ""))


@pytest.mark.parametrize("path", sorted(STATIC.iterdir()), ids=lambda path: path.name)
def test_every_file_of_the_page_comes_from_this_server_and_makes_no_markup(door: Door, path: Path) -> None:
    answer = door.client.get(f"/static/{path.name}")
    again = door.client.get(f"/static/{path.name}", headers={"If-None-Match": answer.headers["etag"]})

    assert answer.status_code == 200
    assert again.status_code == 304
    assert "content-security-policy" in answer.headers
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|DOMParser", answer.text
    )
    addresses = set(re.findall(r"https?://[^\s\"'`]+", answer.text))
    assert addresses <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", ["../page.html", "..%2f..%2fmain.py", "%2e%2e/page.html", "nothing.js", ""])
def test_no_other_file_is_served(door: Door, path: str) -> None:
    assert door.client.get(f"/static/{path}").status_code == 404
