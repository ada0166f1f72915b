"""What authors and callers write is text on the page, whatever it says."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.api.door import action, line
from tests.api.test_server import Server
from tests.browser.parts import save, start

MARKUP = "<img src=x onerror=window.caught=1><script>window.caught=1</script>"
TURNED = "safe\u202etxt.exe"
"""A right-to-left override: what follows would be read backwards."""
SHOWN = "safe⟦U+202E⟧txt.exe"


def test_names_labels_logs_and_contexts_are_text_and_nothing_else(server: Server, visit: Callable[..., Page]) -> None:
    code = f"print({MARKUP!r})\ncontext[{MARKUP!r}] = {TURNED!r}"
    form = {"properties": {MARKUP: {"type": "string", "description": MARKUP}}}
    review = {"id": "look", "type": "review", "title": f"{MARKUP}{TURNED}", "form": form}
    document = line(action(code, f"{MARKUP}", label=f"{TURNED} {MARKUP}"), review, name=f"{MARKUP}{TURNED}")
    document["description"] = f"javascript:window.caught=1 {MARKUP}"
    workflow_id = save(server, document)
    other_id, execution_id = (
        start(server, workflow_id, {"__proto__": MARKUP, "given": given}) for given in ("", TURNED)
    )
    schedule = {"workflow_id": workflow_id, "cron": "0 0 1 1 *", "name": MARKUP, "enabled": False}
    assert server.request("POST", "/schedules", schedule)[0] == 201
    page = visit("#/workflows")
    expect(page.get_by_role("link", name=f"{MARKUP}{SHOWN}")).to_be_visible()

    run = f"#/executions/{execution_id}"
    for place in (
        f"#/workflows/{workflow_id}",
        "#/reviews",
        "#/executions",
        "#/schedules",
        f"{run}/diff/{other_id}",
        run,
    ):
        page.evaluate("place => { location.hash = place }", place)
        expect(page.locator("main")).to_contain_text(MARKUP.split("><", maxsplit=1)[0])
        expect(page.locator("main")).to_contain_text("⟦U+202E⟧")
    expect(page.get_by_role("heading", name=f"Execution {execution_id}")).to_be_visible()  # no graph of an earlier view
    page.locator(".node").nth(1).click()
    expect(page.locator("main")).to_contain_text(f"+{MARKUP}: ")

    assert page.evaluate("window.caught === undefined")
    assert page.locator("main img, main script").count() == 0
    assert page.evaluate("({}).polluted === undefined && Object.prototype.toString.call({}) === '[object Object]'")
