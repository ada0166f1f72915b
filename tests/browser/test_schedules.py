"""What runs by the clock, made and changed on the page."""

from playwright.sync_api import Locator, Page, Route, expect

from tests.api.door import line, transform
from tests.api.test_server import Server
from tests.browser.conftest import REFUSALS, Visitor
from tests.browser.parts import save


def open_schedules(server: Server, visitor: Visitor) -> Page:
    save(server, line(transform(x=1), name="by the clock"))
    visitor.expected += REFUSALS
    return visitor.open("#/schedules")


def create(page: Page, name: str, **fields: str) -> Locator:
    page.get_by_role("button", name="New schedule").click()
    form = page.get_by_role("form", name="New schedule")
    form.get_by_label("Workflow").select_option("by the clock")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Time zone").fill("Europe/Berlin")
    for label, value in fields.items():
        form.get_by_label(label).fill(value)
    form.get_by_role("button", name="Create").click()
    return form


def test_a_schedule_is_made_changed_held_and_deleted(server: Server, visitor: Visitor) -> None:
    page = open_schedules(server, visitor)
    create(page, "every morning", Cron="30 7 * * *")
    card = page.get_by_role("article", name="every morning")
    expect(card).to_contain_text("Europe/Berlin")
    expect(card.locator("time")).to_have_count(1)

    card.get_by_role("button", name="Pause").click()
    expect(card.locator('.badge[data-status="paused"]')).to_be_visible()
    card.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("every evening")
    page.get_by_label("Cron").fill("30 19 * * *")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("button", name="Save").click()
    assert sent.value.post_data_json == {"name": "every evening", "cron": "30 19 * * *"}
    card = page.get_by_role("article", name="every evening")
    expect(card).to_contain_text("30 19 * * *")
    card.get_by_role("button", name="Run now").click()
    expect(page.locator('main .head .badge[data-status="completed"]')).to_be_visible()
    page.go_back()
    card.get_by_role("link", name="all runs").click()
    expect(page.locator("main tbody tr")).to_have_count(1)
    page.go_back()
    card.get_by_role("button", name="Delete").click()

    expect(card).to_have_count(0)


def test_what_is_wrong_with_a_schedule_stands_at_its_field(server: Server, visitor: Visitor) -> None:
    page = open_schedules(server, visitor)

    form = create(page, "never", Cron="61 7 * * *")
    cron = form.locator(".field").filter(has=page.get_by_label("Cron"))
    expect(cron.get_by_role("alert")).to_contain_text("Bad minute")
    expect(form.get_by_label("Cron")).to_be_focused()
    form.get_by_label("Cron").fill("30 7 * * *")
    expect(form.get_by_role("status")).to_contain_text("Next:")
    form.get_by_label("Time zone").fill("Mars/Olympus")
    form.get_by_role("button", name="Create").click()

    expect(form.get_by_label("Time zone")).to_have_attribute("aria-invalid", "true")
    expect(cron.get_by_role("alert")).to_be_empty()
    form.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="New schedule")).to_be_focused()


def test_a_schedule_is_made_once_though_the_list_does_not_come(server: Server, visitor: Visitor) -> None:
    page = open_schedules(server, visitor)
    expect(page.get_by_role("button", name="New schedule")).to_be_visible()
    lists = "**/schedules?limit=500"
    page.route(lists, lambda route: route.abort("connectionrefused"))

    form = create(page, "only once")

    expect(page.get_by_text("The server does not answer.")).to_be_visible()
    expect(form).to_have_count(0)
    page.unroute(lists)
    page.reload()
    card = page.get_by_role("article", name="only once")
    expect(card).to_have_count(1)
    card.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)


def test_a_list_that_does_not_come_is_no_failure_of_what_was_done(server: Server, visitor: Visitor) -> None:
    page = open_schedules(server, visitor)
    create(page, "held")
    card = page.get_by_role("article", name="held")
    expect(card).to_be_visible()
    lists = "**/schedules?limit=500"
    page.route(lists, lambda route: route.abort("connectionrefused"))

    card.get_by_role("button", name="Pause").click()

    expect(page.locator("#toast")).to_contain_text("The server does not answer.")
    expect(card.get_by_role("alert")).to_be_empty()
    page.unroute(lists)
    page.reload()
    expect(card.locator('.badge[data-status="paused"]')).to_be_visible()
    card.get_by_role("button", name="Delete").click()
    expect(card).to_have_count(0)


def test_what_was_asked_before_does_not_replace_what_is_due(server: Server, visitor: Visitor) -> None:
    page = open_schedules(server, visitor)
    held: list[Route] = []
    page.route("**/schedules/preview", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/schedules/preview"):
        page.get_by_role("button", name="New schedule").click()
    form = page.get_by_role("form", name="New schedule")

    form.get_by_label("Cron").fill("0 0 1 1 *")
    expect(form.get_by_role("status")).to_contain_text("Next:")
    due = form.get_by_role("status").text_content()
    with page.expect_response("**/schedules/preview") as late:
        held[0].continue_()
    late.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")

    assert form.get_by_role("status").text_content() == due
