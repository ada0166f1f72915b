"""The picture of the page in the README: `python -m tests.browser.picture`."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from src.database import migrate
from tests.api.door import Json
from tests.api.test_server import ROOT
from tests.browser.parts import PageServer, let, save, start, step
from tests.browsers import FLAGS, find_browser

PICTURE = ROOT / "docs" / "page.png"
ORDERS = {"2026-10": 41, "2026-11": 57}


def report() -> Json:
    """Six sources side by side, of which two take their time."""
    sources = {"orders": "Orders", "refunds": "Refunds", "stock": "Stock", "visits": "Visits of the shop"}
    sum_up = 'context["growth"] = round(context["months"]["2026-11"] / context["months"]["2026-10"] - 1, 3)'
    nodes = [
        {"id": "start", "type": "start", "label": "Start"},
        {"id": "read", "type": "transform", "label": "Read the months", "set": {"months": "{{ context.figures }}"}},
        *(step(node_id, label=label) for node_id, label in sources.items()),
        {"id": "growth", "type": "action", "label": "Work out the growth", "code": sum_up},
        {"id": "good", "type": "decision", "label": "Better than last month?", "expression": "context.growth > 0"},
        {"id": "praise", "type": "transform", "label": "Praise", "set": {"tone": "good news"}},
        {"id": "worry", "type": "review", "label": "Let somebody look", "title": "Sales are down"},
        {"id": "end", "type": "end", "label": "End"},
    ]
    pairs = [("start", "read"), *(("read", each) for each in (*sources, "growth")), ("growth", "good")]
    pairs += [*((each, "end") for each in sources), ("praise", "end"), ("worry", "end")]
    edges: list[Json] = [{"from": source, "to": target} for source, target in pairs]
    edges += [
        {"from": "good", "to": "praise", "condition": "true"},
        {"from": "good", "to": "worry", "condition": "false"},
    ]
    return {"name": "monthly report", "graph_definition": {"nodes": nodes, "edges": edges}}


def draw(browser: Browser, server: PageServer, folder: Path, picture: Path) -> None:
    """An execution in the middle of its work, with a node opened."""
    context = {"folder": str(folder), "figures": ORDERS}
    execution_id = start(server, save(server, report()), context, wait=False)
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light", reduced_motion="reduce")
    page.goto(f"http://127.0.0.1:{server.port}/#/executions/{execution_id}")
    for node_id in ("orders", "refunds"):
        let(folder, node_id)
        expect(page.locator(f'[data-node="{node_id}"]')).to_have_attribute("data-state", "success")
    expect(page.locator('[data-node="praise"]')).to_have_attribute("data-state", "success")
    expect(page.locator('[data-node="stock"] .more')).to_have_text("half way")
    page.locator('[data-node="growth"]').click()
    expect(page.locator(".diff .added")).to_contain_text("growth: 0.39")
    page.screenshot(path=picture)
    for node_id in ("stock", "visits"):
        let(folder, node_id)
    expect(page.locator('main .head .badge[data-status="completed"]')).to_be_visible()
    page.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        url = f"sqlite:///{name}/nova.db"
        migrate(url)
        server = PageServer(url)
        try:
            server.wait_until_ready(60)
            browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
            draw(browser, server, Path(name), PICTURE)
            browser.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
