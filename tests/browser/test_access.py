"""Everybody can use it: with a keyboard, a screen reader, in dark and light, on a phone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.api.door import action, line, transform
from tests.api.test_server import Server
from tests.browser.parts import INVOICE, save, start

AUDIT = (Path(__file__).parent / "audit.js").read_text(encoding="utf-8")
Visit = Callable[..., Page]


@pytest.fixture
def places(server: Server) -> list[str]:
    """Every view, with something in it."""
    invoice = save(server, INVOICE)
    broken = save(server, line(action("1 / 0", label="Divide"), name="by zero"))
    asked = save(server, line(transform(x=1), {"id": "look", "type": "review", "title": "Look"}, name="asked"))
    named = save(server, line({**transform(x=1), "label": "endless " * 20}, name=f"{'W' * 80} long"))
    each = {"id": "each", "type": "map", "items": "[7]", "graph": line(transform(x=1))["graph_definition"]}
    mapped = save(server, line(each, name="items"))
    runs = [start(server, each) for each in (invoice, broken, asked, named, mapped)]
    again = start(server, broken)
    _, items = server.request("GET", f"/executions?parent_id={runs[-1]}")
    server.request("POST", "/schedules", {"workflow_id": invoice, "cron": "30 7 * * MON-FRI", "enabled": False})
    views = [
        "workflows",
        f"workflows/{invoice}",
        "workflows/new",
        f"workflows/{named}",
        "executions?top_level=false",
        "schedules",
        "reviews",
        "triggers",
        "health",
        "nowhere",
    ]
    views += [f"executions/{each}" for each in (*runs, items["executions"][0]["id"])]
    return [f"#/{view}" for view in (*views, f"executions/{runs[1]}/diff/{again}")]


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)], ids=["light", "dark", "phone"])
def test_every_view_has_names_contrast_and_fits(visit: Visit, places: list[str], width: int, dark: bool) -> None:
    page = visit(places[-1], width=width, dark=dark)

    complaints = []
    for place in places:
        page.evaluate("place => { document.querySelector('main').replaceChildren(); location.hash = place }", place)
        expect(page.locator("main h1")).to_be_visible()
        if place.removeprefix("#/executions/").isdecimal():
            page.locator(".node").nth(1).click()
            page.locator("details").first.wait_for()
        elif place == "#/schedules":
            page.get_by_role("button", name="New schedule").click()
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        page.keyboard.press("Tab")  # from here on focus is shown: somebody uses the keyboard
        complaints += [f"{place}: {each}" for each in page.evaluate(f"({AUDIT})()")]

    assert not complaints, "\n".join(complaints)


def test_a_keyboard_reaches_everything(visit: Visit, server: Server) -> None:
    page = visit(f"#/executions/{start(server, save(server, INVOICE))}")
    expect(page.locator('[data-node="start"]')).to_have_attribute("data-state", "success")

    page.locator('[data-node="start"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")

    expect(page.locator('[data-node="fetch_mail"]')).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("heading", name="Fetch the mail")).to_be_visible()
    page.get_by_role("tab", name="Result").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Hand-offs and events")).to_have_attribute("aria-selected", "true")
