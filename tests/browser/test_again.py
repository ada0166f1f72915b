"""Runs that are run again, and compared with what they were made from."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from tests.api.door import Json, action, line, transform
from tests.api.test_server import Server
from tests.browser.parts import let, save, start, step

Visit = Callable[..., Page]
SUMS: Json = line(
    transform("double", twice="{{ context.n * 2 }}"),
    action("context['sum'] = context['twice'] + context['n']", "add", label="Add"),
    name="sums",
)


def test_a_failed_run_is_retried_and_compared_with_the_one_before(server: Server, visit: Visit, tmp_path: Path) -> None:
    failing = {"id": "look", "type": "function", "function": "look_for"}
    document = line(transform("before", seen="{{ context.path }}"), failing, name="not yet")
    failed = start(server, save(server, document), {"path": str(tmp_path / "there")})
    page = visit(f"#/executions/{failed}")
    (tmp_path / "there").touch()

    page.get_by_role("button", name="Retry").click()

    expect(page.locator('main .head .badge[data-status="completed"]')).to_be_visible()
    expect(page.get_by_role("link", name=f"#{failed}", exact=True)).to_be_visible()
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("status").filter(has_text="They part at")).to_contain_text("look")
    expect(page.get_by_label("Other execution")).to_contain_text(f"#{failed} · the one that")
    expect(page.locator('[data-differs="output"]')).to_contain_text("first difference")


def test_a_run_is_run_again_from_a_node(server: Server, visit: Visit, tmp_path: Path) -> None:
    workflow_id = save(server, line(step("one"), step("two"), name="again from a node"))
    for node_id in ("one", "two"):
        let(tmp_path, node_id)
    first = start(server, workflow_id, {"folder": str(tmp_path)})
    page = visit(f"#/executions/{first}")

    page.locator('[data-node="two"]').click()
    page.get_by_role("button", name="Rerun from two").click()

    expect(page.get_by_role("heading", name=f"Execution {first}", exact=True)).to_have_count(0)
    expect(page.locator('main .head .badge[data-status="completed"]')).to_be_visible()
    again = page.url.rpartition("/")[2]
    page.get_by_role("link", name=f"#{first}", exact=True).click()
    expect(page.get_by_role("link", name=f"#{again}", exact=True)).to_be_visible()


def test_two_runs_are_compared_where_their_inputs_differ(server: Server, visit: Visit) -> None:
    workflow_id = save(server, SUMS)
    others = [start(server, workflow_id, {"n": n}) for n in (2, 1)]
    one = start(server, workflow_id, {"n": 1})
    page = visit(f"#/executions/{one}/diff/{others[0]}", width=390)

    expect(page.get_by_role("status").filter(has_text="They part at")).to_contain_text("double: its input differs in n")
    expect(page.locator("main .diff .removed").first).to_contain_text('"n": 2')
    expect(page.locator("main .diff .added").first).to_contain_text('"n": 1')
    expect(page.locator('[data-differs="input"]').first).to_contain_text("input changed: n")
    page.get_by_label("Other execution").focus()
    page.keyboard.press("ArrowUp")

    expect(page.get_by_text("All nodes ended alike.", exact=True)).to_be_visible()
    expect(page).to_have_url(f"http://127.0.0.1:{server.port}/#/executions/{one}/diff/{others[1]}")
    assert page.evaluate("document.activeElement.id") == "other"


def test_who_has_gone_on_keeps_the_address(server: Server, visit: Visit) -> None:
    workflow_id = save(server, SUMS)
    one, _ = (start(server, workflow_id, {"n": 1}) for _ in range(2))
    page = visit(f"#/executions/{one}")
    choices = "**/executions?workflow_id=*"
    held: list[Route] = []
    page.route(choices, lambda route: route.continue_() if held else held.append(route))
    with page.expect_request(choices):
        page.get_by_role("link", name="Compare").click()
    page.get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("heading", name="Schedules")).to_be_visible()

    with page.expect_response("**/diff/*") as compared:
        held[0].continue_()
    compared.value.finished()
    page.evaluate("() => new Promise(requestAnimationFrame)")

    assert page.url.endswith("#/schedules")


def test_what_a_node_saw_is_found_far_behind_in_a_chain(server: Server, visit: Visit) -> None:
    workflow_id = save(server, SUMS)
    one, other = (start(server, workflow_id, {"n": n}) for n in (1, 2))
    page = visit("#/workflows")
    short = partial(re.sub, r"chain(\?limit=500)?", "chain?limit=1")  # a page has one attempt
    page.route("**/chain*", lambda route: route.continue_(url=short(route.request.url)))

    page.evaluate("place => { location.hash = place }", f"#/executions/{one}/diff/{other}")

    expect(page.locator("main .diff .removed").first).to_contain_text('"n": 1')


def test_what_differs_inside_of_another_definition_is_shown(server: Server, visit: Visit) -> None:
    children = []
    for factor in (2, 3):
        inner = line(transform("times", product=f"{{{{ context.item * {factor} }}}}"))["graph_definition"]
        outer = line({"id": "each", "type": "map", "items": "[1]", "graph": inner}, name=f"times {factor}")
        parent = start(server, save(server, outer))
        _, found = server.request("GET", f"/executions?parent_id={parent}")
        children.append(found["executions"][0]["id"])

    page = visit(f"#/executions/{children[0]}/diff/{children[1]}")

    expect(page.locator("main .diff .removed").first).to_contain_text("context.item * 2")
    expect(page.locator("main .diff .added").first).to_contain_text("context.item * 3")
