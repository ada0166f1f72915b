"""The page as people use it: run, watch, pause, answer, edit."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.api.door import action, line, transform
from tests.api.test_server import Server
from tests.browser.conftest import Visitor
from tests.browser.parts import INVOICE, PageServer, let, save, start, step, wide
from tests.browser.picture import PICTURE, draw

Visit = Callable[..., Page]


def status_of(page: Page, status: str) -> None:
    expect(page.locator(f'main .head .badge[data-status="{status}"]')).to_be_visible()


def node(page: Page, node_id: str, state: str) -> None:
    expect(page.locator(f'[data-node="{node_id}"]')).to_have_attribute("data-state", state)


def test_the_invoice_is_run_from_its_form_and_draws_itself_to_the_end(server: Server, visit: Visit) -> None:
    save(server, INVOICE)
    page = visit("#/workflows")

    page.get_by_role("link", name="invoice").click()
    page.get_by_label("Context (JSON)").fill(json.dumps({"mail": "under-limit.eml"}))
    page.get_by_role("button", name="Run", exact=True).click()

    status_of(page, "completed")
    node(page, "find_total", "success")
    node(page, "no_invoice", "skipped")
    page.locator('[data-node="read_mail"]').click()
    expect(page.get_by_text("PDF: ", exact=False).first).to_be_visible()  # the log of the node
    expect(page.locator(".diff .added").filter(has_text="subject:")).to_be_visible()
    expect(page.locator(".timeline .row")).to_have_count(9)


def test_a_run_shows_what_is_under_way_and_is_paused_and_resumed(server: Server, visit: Visit, tmp_path: Path) -> None:
    workflow_id = save(server, line(step("one"), step("two"), name="steps"))
    execution_id = start(server, workflow_id, {"folder": str(tmp_path)}, wait=False)
    page = visit(f"#/executions/{execution_id}")

    node(page, "one", "running")
    node(page, "start", "success")  # it is not committed yet, but what comes after it runs
    expect(page.locator('[data-node="one"] .more')).to_have_text("half way")
    fact = page.locator("main dd").filter(has_text="background").element_handle()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("pause requested")).to_be_visible()
    let(tmp_path, "one")
    status_of(page, "paused")
    node(page, "one", "success")
    assert fact.evaluate("element => element.isConnected"), "what may be pressed is not made anew while it runs"
    page.get_by_role("button", name="Resume").click()
    node(page, "two", "running")
    let(tmp_path, "two")

    status_of(page, "completed")


def test_a_page_that_lost_its_server_goes_on_when_one_is_back(
    visitor: Visitor, sqlite_url: str, tmp_path: Path
) -> None:
    first = PageServer(sqlite_url)
    try:
        first.wait_until_ready(60)
        workflow_id = save(first, line(step("one"), step("two"), name="steps"))
        execution_id = start(first, workflow_id, {"folder": str(tmp_path)}, wait=False)
        visitor.url = f"http://127.0.0.1:{first.port}"
        page = visitor.open(f"#/executions/{execution_id}")
        let(tmp_path, "one")
        node(page, "two", "running")
    finally:
        first.stop()

    let(tmp_path, "two")
    second = PageServer(sqlite_url, port=first.port)
    try:
        second.wait_until_ready(60)
        status_of(page, "completed")
        node(page, "two", "success")
    finally:
        page.close()
        second.stop()


def test_a_run_is_stopped_after_a_question(server: Server, visit: Visit, tmp_path: Path) -> None:
    workflow_id = save(server, line(step("one"), name="to be stopped"))
    page = visit(f"#/executions/{start(server, workflow_id, {'folder': str(tmp_path)}, wait=False)}")

    page.get_by_role("button", name="Stop").click()

    status_of(page, "stopped")
    let(tmp_path, "one")
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)


def test_an_error_is_shown_with_the_line_that_its_author_wrote(server: Server, visit: Visit) -> None:
    document = line(action("total = 1\nfor part in []:\n    pass\ntotal / 0\n", label="Divide"), name="broken")
    page = visit(f"#/executions/{start(server, save(server, document))}")

    status_of(page, "failed")
    expect(page.locator(".code-lines .marked")).to_have_text("4total / 0")
    expect(page.get_by_role("alert").first).to_contain_text("ZeroDivisionError")


def test_a_review_is_answered_where_it_stands(server: Server, visit: Visit) -> None:
    form = {
        "type": "object",
        "required": ["account"],
        "properties": {"account": {"type": "string", "title": "Account"}, "urgent": {"type": "boolean"}},
    }
    document = line(
        transform(amount="{{ 1640 }}"), {"id": "look", "type": "review", "title": "May it be paid?", "form": form}
    )
    execution_id = start(server, save(server, {**document, "name": "approval"}))
    page = visit("#/reviews")
    card = page.get_by_role("article", name="May it be paid?")

    card.get_by_role("button", name="Approve").click()
    expect(card.get_by_text("At least 1 characters are needed.")).to_be_visible()
    card.get_by_label("Account").fill("4711")
    card.get_by_label("Comment").fill("as ordered")
    start(server, save(server, line({"id": "also", "type": "review", "title": "And this?"}, name="also to be seen")))
    expect(page.get_by_role("article", name="And this?")).to_be_visible()
    expect(card.get_by_label("Comment")).to_be_focused()  # what somebody writes is left alone when others come
    card.get_by_role("button", name="Approve").click()

    expect(card).to_have_count(0)
    page.goto(f"http://127.0.0.1:{server.port}/#/executions/{execution_id}")
    status_of(page, "completed")
    page.get_by_role("tab", name="Hand-offs and events").click()
    expect(page.locator(".events")).to_contain_text("as ordered")


def test_a_form_is_made_from_the_inputs_of_a_definition(server: Server, visit: Visit) -> None:
    document = line(transform(seen="{{ context.pages }}"), name="typed")
    document["graph_definition"]["inputs"] = {
        "type": "object",
        "required": ["pages"],
        "properties": {
            "pages": {"type": "integer", "title": "Pages", "minimum": 1},
            "region": {"enum": ["EU", "US"], "title": "Region"},
            "draft": {"type": "boolean", "title": "Draft"},
        },
    }
    page = visit(f"#/workflows/{save(server, document)}")

    page.get_by_label("Pages").fill("0")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("At least 1.")).to_be_visible()
    page.get_by_label("Pages").fill("7")
    page.get_by_label("Region").select_option("US")
    page.get_by_label("Draft").check()
    page.get_by_role("button", name="Run", exact=True).click()

    status_of(page, "completed")
    result = json.loads(page.locator("pre.json").first.inner_text())
    assert {"pages": 7, "region": "US", "draft": True}.items() <= result.items()


def test_a_definition_is_edited_and_every_problem_shown_at_its_line(server: Server, visit: Visit) -> None:
    workflow_id = save(server, line(transform(x="{{ 1 }}"), name="to be edited"))
    page = visit(f"#/workflows/{workflow_id}")
    page.get_by_role("tab", name="Definition").click()
    area = page.get_by_label("Definition as JSON")
    good = area.input_value()
    keep = page.get_by_role("button", name="Save as new version")

    area.fill(good.replace('"transform"', '"transfrom"').replace('"to": "end"', '"to": "nowhere"'))
    expect(page.locator(".gutter .bad")).to_have_count(2)
    lines = [int(text) for text in page.locator(".gutter .bad").all_inner_texts()]
    texts = area.input_value().split("\n")
    expect(keep).to_be_disabled()
    area.fill("{ not JSON")
    expect(page.get_by_text("This is not JSON")).to_be_visible()
    area.fill(good.replace("{{ 1 }}", "{{ 2 }}"))
    keep.click()
    expect(page.locator("main .head .badge").filter(has_text="version 2")).to_be_visible()
    page.get_by_role("tab", name="Versions").click()

    assert ["transfrom" in texts[lines[0] - 1], "nowhere" in texts[lines[1] - 1]] == [True, True]
    expect(page.locator(".diff .removed")).to_contain_text("{{ 1 }}")
    expect(page.locator(".diff .added")).to_contain_text("{{ 2 }}")


def test_the_node_that_failed_is_in_sight_however_large_the_graph(server: Server, visit: Visit) -> None:
    document = wide(40)
    document["graph_definition"]["nodes"][-2]["set"] = {"x": "{{ 1 // 0 }}"}
    page = visit(f"#/executions/{start(server, save(server, document))}")

    expect(page.locator('[data-node="n39"]')).to_be_in_viewport()

    expect(page.locator('[data-node="n39"]')).to_have_attribute("data-state", "failed")
    page.get_by_role("button", name="Fold this level").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".node")).to_have_count(15)


def test_a_thousand_nodes_are_folded_and_unfolded(server: Server, visit: Visit) -> None:
    page = visit(f"#/executions/{start(server, save(server, wide(1000)))}")
    fold = page.get_by_role("button", name="988 more nodes")

    expect(fold).to_contain_text("✓ 988")
    assert page.locator(".node").count() < 20
    fold.click()
    expect(page.locator(".node")).to_have_count(1003)
    page.get_by_role("button", name="Fold this level").click()
    expect(page.locator(".node")).to_have_count(15)


def test_an_item_of_a_map_shows_the_graph_that_it_runs(server: Server, visit: Visit) -> None:
    inner = line({**transform("same", x=2), "label": "Of the item"}, transform("more", y=1))
    each = {"id": "each", "type": "map", "items": "[7]", "graph": inner["graph_definition"]}
    document = line({**transform("same", x=1), "label": "Of the whole"}, each, name="the same id twice")
    page = visit(f"#/executions/{start(server, save(server, document))}")

    page.get_by_role("link", name="1 execution", exact=True).click()
    expect(page.get_by_text("Only what execution")).to_be_visible()
    page.locator("main tbody a").first.click()

    expect(page.get_by_text("item 0")).to_be_visible()
    node(page, "more", "success")
    expect(page.locator('[data-node="same"]')).to_contain_text("Of the item")
    expect(page.locator('[data-node="each"]')).to_have_count(0)


def test_executions_come_into_the_list_as_they_happen(server: Server, visit: Visit) -> None:
    workflow_id = save(server, line(transform(x=1), name="listed"))
    page = visit(f"#/executions?workflow_id={workflow_id}")
    expect(page.get_by_text("No execution is like this.")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("data-state", "on")

    execution_id = start(server, workflow_id)

    expect(page.get_by_role("link", name=f"#{execution_id}", exact=True)).to_be_visible()
    page.get_by_label("Status").select_option("failed")
    expect(page.get_by_text("No execution is like this.")).to_be_visible()
    page.get_by_label("Execution or task id").fill(str(execution_id))
    page.get_by_role("button", name="Open").click()
    status_of(page, "completed")


def test_a_list_that_was_cut_off_shows_what_happened_meanwhile(server: Server, visitor: Visitor) -> None:
    workflow_id = save(server, line(transform(x=1), name="meanwhile"))
    page = visitor.open("#/health")
    lines: list[WebSocketRoute] = []  # on which nobody tells the page anything
    page.route_web_socket("**/ws*", lambda told: lines.append(told))  # noqa: PLW0108 -- it must be marked
    page.goto(f"{visitor.url}/?#/executions?workflow_id={workflow_id}")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    expect(page.get_by_text("No execution is like this.")).to_be_visible()

    execution_id = start(server, workflow_id)
    lines[-1].close()

    expect(page.get_by_role("link", name=f"#{execution_id}", exact=True)).to_be_visible()


def test_executions_are_searched_by_client_time_error_and_what_started_them(server: Server, visit: Visit) -> None:
    server.request("POST", "/clients", {"slug": "searched"})
    each = {"id": "each", "type": "map", "items": "[1, 2]", "graph": line(transform(x=1))["graph_definition"]}
    workflow_id = save(server, line(each, name="searched"))
    status, ours = server.request("POST", f"/workflows/{workflow_id}/execute", {"client_slug": "searched"})
    page = visit(f"#/executions?workflow_id={workflow_id}")
    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(1)

    page.get_by_text("More filters").click()
    page.get_by_label("Also what other executions have started").check()
    expect(rows).to_have_count(3)
    page.get_by_label("Client").select_option("searched")
    page.get_by_label("Created from").fill("2020-01-01T00:00")
    page.get_by_label("Created from").blur()
    expect(rows).to_have_count(3)
    page.reload()
    expect(page.get_by_label("Created from")).to_have_value("2020-01-01T00:00")
    expect(rows).to_have_count(3)
    page.get_by_label("Created before").fill("2020-01-02T00:00")
    page.get_by_label("Created before").blur()
    expect(page.get_by_text("No execution is like this.")).to_be_visible()
    page.get_by_label("Type of error").fill("ValueError")
    page.get_by_label("Type of error").blur()

    expect(page).to_have_url(re.compile("error_type=ValueError"))
    assert (status, ours["status"]) == (200, "completed")


def test_the_picture_of_the_readme_can_be_made_again(browser: Browser, server: PageServer, tmp_path: Path) -> None:
    draw(browser, server, tmp_path, tmp_path / "page.png")

    for picture in (tmp_path / "page.png", PICTURE):
        content = picture.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 200_000
