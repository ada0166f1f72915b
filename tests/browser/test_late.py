"""What comes late, or while somebody is at it: the newest stands in the end, and nothing asked for is lost."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from playwright.sync_api import APIResponse, Page, Route, WebSocketRoute, expect

from tests.api.door import line, transform
from tests.api.test_server import Server
from tests.browser.conftest import Visitor
from tests.browser.parts import let, save, start, step

Visit = Callable[..., Page]
SLOWLY = """
const { fetch } = window;
window.fetch = async (...asked) => {
  const answer = await fetch(...asked);
  if (asked[0].startsWith("/executions?")) await new Promise((resolve) => setTimeout(resolve, 700));
  return answer;
};
"""


@contextmanager
def held(page: Page, address: str) -> Iterator[None]:
    """The next answer from there is taken now, and comes at the end of the block."""
    place = re.compile(address)
    late: list[tuple[Route, APIResponse]] = []

    def take(route: Route) -> None:
        late.append((route, route.fetch()))

    page.route(place, take, times=1)
    yield
    page.wait_for_timeout(500)  # by then whoever waits for nothing shows what is newer
    while not late:
        page.wait_for_timeout(50)
    route, answer = late[0]
    with page.expect_response(lambda response: response.request == route.request) as answered:
        route.fulfill(response=answer)
    answered.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")


def status_of(page: Page, status: str) -> None:
    expect(page.locator(f'main .head .badge[data-status="{status}"]')).to_be_visible()


def test_an_answer_of_before_the_end_does_not_take_the_end_back(server: Server, visit: Visit, tmp_path: Path) -> None:
    workflow_id = save(server, line(step("one"), step("two"), name="steps"))
    execution_id = start(server, workflow_id, {"folder": str(tmp_path)}, wait=False)
    page = visit(f"#/executions/{execution_id}")
    expect(page.locator('[data-node="one"]')).to_have_attribute("data-state", "running")

    with held(page, rf"/executions/{execution_id}/events$"):
        with page.expect_request(re.compile(rf"/executions/{execution_id}/events$")):
            page.locator('[data-node="two"]').click()
        for node_id in ("one", "two"):
            let(tmp_path, node_id)
        status_of(page, "completed")

    status_of(page, "completed")
    expect(page.locator("main pre.json").first).to_contain_text('"two": "done"')


def test_a_list_comes_however_much_happens_and_however_slow_the_answers_are(server: Server, visitor: Visitor) -> None:
    workflow_id = save(server, line(transform(x=1), name="in a storm"))
    page = visitor.open("#/health")
    lines: list[WebSocketRoute] = []
    page.route_web_socket("**/ws*", lambda told: lines.append(told))  # noqa: PLW0108 -- it must be marked
    page.add_init_script(SLOWLY)
    page.goto(f"{visitor.url}/?#/executions?workflow_id={workflow_id}")
    expect(page.get_by_text("No execution is like this.")).to_be_visible()
    row = page.get_by_role("link", name=f"#{start(server, workflow_id)}", exact=True)

    for _ in range(100):
        lines[-1].send('{"type": "task_started"}')
        page.wait_for_timeout(100)
        if row.is_visible():
            break

    assert row.is_visible()


def test_a_notice_takes_nothing_from_who_reads_the_list(server: Server, visit: Visit) -> None:
    inner = line(transform(x=1))["graph_definition"]
    each = {"id": "each", "type": "map", "items": "context.rows", "graph": inner}
    parent_id = start(server, save(server, line(each, name="many items")), {"rows": [*range(52)]})
    page = visit(f"#/executions?parent_id={parent_id}")
    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    with held(page, r"/executions\?.*(before=|limit=100)"):
        page.get_by_role("button", name="Older").click()
        with page.expect_request(re.compile(r"/executions\?parent_id")):
            start(server, save(server, line(transform(x=1), name="listed")))
    expect(rows).to_have_count(52)
    assert page.evaluate("document.activeElement.matches('main .scroll')"), "the keyboard stays where it was"

    link = rows.nth(3).get_by_role("link").first
    link.focus()
    with page.expect_response(re.compile(r"/executions\?parent_id")) as answered:
        start(server, save(server, line(transform(x=1), name="listed")))
    answered.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(link).to_be_focused()


def test_a_press_is_not_lost_to_what_comes_while_it_lasts(server: Server, visit: Visit) -> None:
    workflow_id = save(server, line(transform(x=1), name="pressed"))
    execution_id = start(server, workflow_id)
    page = visit(f"#/executions?workflow_id={workflow_id}")
    link = page.get_by_role("link", name=f"#{execution_id}", exact=True)
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    link.hover()
    page.mouse.down()
    with page.expect_response(re.compile(rf"/executions\?workflow_id={workflow_id}")) as answered:
        start(server, workflow_id)
    answered.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")

    page.mouse.up()

    expect(page.get_by_role("heading", name=f"Execution {execution_id}")).to_be_visible()


def test_an_answered_review_does_not_come_back(server: Server, visit: Visit) -> None:
    start(server, save(server, line({"id": "look", "type": "review", "title": "Once only?"}, name="answered")))
    other = save(server, line(transform(x=1), name="pressed"))
    page = visit("#/reviews")
    card = page.get_by_role("article", name="Once only?")
    expect(card).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    with held(page, r"/reviews\?limit=50"):
        with page.expect_request(re.compile(r"/reviews\?limit=50")):
            start(server, other)
        card.get_by_role("button", name="Approve").click()
        expect(page.get_by_text("goes on.")).to_be_visible()

    expect(card).to_have_count(0)


def test_what_a_run_has_started_is_counted_to_the_end(server: Server, visit: Visit, tmp_path: Path) -> None:
    inner = line(transform(x="{{ 1 // 0 }}"))["graph_definition"]
    first = {"id": "first", "type": "map", "items": "[1]", "on_error": "collect", "graph": inner}
    second = {**first, "id": "second", "items": "[1, 2]"}
    workflow_id = save(server, line(first, step("between"), second, name="two maps"))
    page = visit(f"#/executions/{start(server, workflow_id, {'folder': str(tmp_path)}, wait=False)}")
    expect(page.locator('[data-node="between"]')).to_have_attribute("data-state", "running")
    page.reload()
    expect(page.get_by_text("1 execution (0 completed)")).to_be_visible()

    let(tmp_path, "between")

    expect(page.get_by_text("3 executions (0 completed)")).to_be_visible()


def test_who_has_started_a_run_is_told_with_its_place(server: Server, visit: Visit) -> None:
    save(server, line(transform(x=1), name="called"))
    each = {"id": "each", "type": "map", "items": "[1]", "workflow": "called"}
    more = {"id": "more", "type": "map", "items": "[1, 2]", "workflow": "called"}
    one = {"id": "one", "type": "workflow", "workflow": "called"}
    parent_id = start(server, save(server, line(one, each, more, name="calls")))
    page = visit(f"#/executions?parent_id={parent_id}")
    rows = page.locator("main tbody tr")

    expect(rows).to_have_count(4)
    assert page.locator("main tbody td:nth-child(4)").all_inner_texts() == [
        *(f"#{parent_id} at {place}" for place in ("more, item 1", "more, item 0", "each, item 0", "one"))
    ]
    rows.nth(2).get_by_role("link").first.click()
    expect(page.get_by_text("at each, item 0")).to_be_visible()
    page.get_by_role("link", name=f"#{parent_id}", exact=True).click()
    expect(page.get_by_role("link", name="4 executions", exact=True)).to_be_visible()


def test_no_filter_of_an_address_is_dropped(server: Server, visit: Visit) -> None:
    document = line(transform(x=1), name="archived before it was looked for")
    archived, other = save(server, document), save(server, line(transform(x=1), name="pressed"))
    execution_id = start(server, archived)
    start(server, other)
    _, found = server.request("GET", f"/executions/{execution_id}")
    server.request("DELETE", f"/workflows/{archived}")
    page = visit("#/health")
    page.route("**/clients?*", lambda route: route.abort("connectionrefused"))
    before = found["created_at"]

    page.goto(page.url.replace("#/health", f"#/executions?workflow_id={archived}"))
    expect(page.locator("main tbody tr")).to_have_count(1)
    expect(page.get_by_label("Workflow")).to_have_value(str(archived))
    expect(page.locator("#toast")).to_contain_text("The clients cannot be shown")
    with page.expect_request(re.compile(r"/executions\?")) as asked:
        page.goto(page.url.replace(f"workflow_id={archived}", f"client_id=999&created_from={quote(before)}"))

    expect(page.get_by_text("No execution is like this.")).to_be_visible()
    assert {"client_id": ["999"], "created_from": [before]}.items() <= parse_qs(urlsplit(asked.value.url).query).items()
