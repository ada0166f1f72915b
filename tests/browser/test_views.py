"""Views that are short to try: the way in where keys are asked for, triggers."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import REFUSALS, Visitor
from tests.browser.parts import PageServer

KEY = "nova_first_" + "k" * 43


def test_a_key_lets_in_and_a_wrong_one_does_not(visitor: Visitor, sqlite_url: str) -> None:
    server = PageServer(sqlite_url, API_KEYS="required", NOVA_API_KEY=KEY)
    try:
        server.wait_until_ready(60)
        visitor.expected += REFUSALS
        visitor.url = f"http://127.0.0.1:{server.port}"
        page = visitor.open("#/workflows")

        expect(page.get_by_label("Key")).to_be_focused()
        page.get_by_label("Key").fill("nova_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).not_to_be_empty()
        page.get_by_label("Key").fill(KEY)
        page.get_by_role("button", name="Sign in").click()

        expect(page.get_by_role("heading", name="Workflows")).to_be_visible()
        expect(page.get_by_text("There is no workflow yet.")).to_be_visible()
        expect(page.locator("#live")).to_have_attribute("data-state", "on")
        kept = page.evaluate("[document.cookie, {...localStorage}, {...sessionStorage}]")
        page.route("**/sign-out", lambda route: route.abort("connectionrefused"))
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_text("The server does not answer.")).to_be_visible()
        page.unroute("**/sign-out")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Key")).to_be_visible()
        page.get_by_label("Key").fill(KEY[:8])
        page.evaluate("import('/static/api.js').then(({ get }) => get('/workflows').catch(() => null))")  # refused, too
        expect(page.get_by_label("Key")).to_have_value(KEY[:8])
        assert kept == ["", {}, {}]
    finally:
        server.stop()


def test_the_triggers_show_their_numbers_and_the_tree(visit: Callable[..., Page]) -> None:
    page = visit("#/triggers")

    expect(page.get_by_role("heading", name="Triggers")).to_be_visible()
    expect(page.locator(".check")).to_have_count(5)
    expect(page.locator(".check").filter(has_text="fires above")).to_have_count(5)
    expect(page.locator(".tree li").first).to_contain_text("Is a worker switched on?")
