"""What comes late, or while somebody is at it: the newest stands in the end, and nothing asked for is lost."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import APIResponse, Page, Route, expect

from tests.api.door import line
from tests.api.test_server import Server
from tests.browser.parts import let, save, start, step

Visit = Callable[..., Page]


@contextmanager
def held(page: Page, address: str) -> Iterator[None]:
    """The next answer from there is taken now, and comes at the end of the block."""
    place = re.compile(address)
    late: list[tuple[Route, APIResponse]] = []

    def take(route: Route) -> None:
        late.append((route, route.fetch()))

    page.route(place, take, times=1)
    yield
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
        page.wait_for_timeout(700)  # by then whoever waits for nothing has read the end

    status_of(page, "completed")
    expect(page.locator("main pre.json").first).to_contain_text('"two": "done"')
