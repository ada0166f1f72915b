"""Shows a running Nova at work, over HTTP alone: loads the examples, runs the invoice, prints what happened.

python -m examples.tour --url http://127.0.0.1:8000
"""

import argparse
import json
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

HERE = Path(__file__).parent
HIDDEN = ("raw_mail", "pdf_base64", "invoice_text")
"""Long values of the invoice; the database has them."""

console = Console(highlight=False)


def main() -> int:
    """Answers 0 if the invoice ran to its end."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="http://127.0.0.1:8000")
    with httpx2.Client(base_url=arguments.parse_args().url, timeout=60) as nova:
        ids = {path.parent.name: load(nova, path) for path in sorted(HERE.glob("*/workflow.json"))}
        execution = run(nova, ids["invoice"], {"mail": "over-limit.eml"})
        show(nova, execution)
        show_next(nova, ids["invoice"])
    return 0 if execution["status"] == "completed" else 1


def load(nova: httpx2.Client, path: Path) -> int:
    """The id of the example's workflow: saved now, or by an earlier visit."""
    definition = json.loads(path.read_text(encoding="utf-8"))
    known = {each["name"]: each["id"] for each in nova.get("/workflows", params={"limit": 500}).json()["workflows"]}
    if definition["name"] in known:
        workflow_id = int(known[definition["name"]])
        nova.put(f"/workflows/{workflow_id}", json=definition, headers={"If-Match": "*"}).raise_for_status()
        return workflow_id
    return int(nova.post("/workflows", json=definition).raise_for_status().json()["id"])


def run(nova: httpx2.Client, workflow_id: int, context: dict[str, Any]) -> dict[str, Any]:
    answer = nova.post(f"/workflows/{workflow_id}/execute", json={"initial_context": context})
    execution: dict[str, Any] = answer.raise_for_status().json()
    return execution


def show(nova: httpx2.Client, execution: dict[str, Any]) -> None:
    chain = nova.get(f"/executions/{execution['id']}/chain").raise_for_status().json()
    took = f"{execution['execution_time'] * 1000:.0f} ms"
    console.print(f"\nExecution {execution['id']} of the invoice example: [bold]{execution['status']}[/] in {took}\n")
    console.print(nodes_table(chain["entries"]), "\n", result_table(execution["result"]), sep="")
    if execution["error"]:
        console.print(Text(f"\n{execution['error']['node_id']}: {execution['error']['message']}", "red"))


def nodes_table(entries: list[dict[str, Any]]) -> Table:
    table = table_of("node", "kind", "status", "branch", "time", "changed")
    for entry in entries:
        changed = Text(", ".join(entry["output_result"] or {}), no_wrap=True, overflow="ellipsis")
        time = f"{entry['execution_time'] * 1000:.1f} ms"
        branch = entry["decision_result"] or ""
        table.add_row(entry["node_id"], entry["node_type"], entry["status"], branch, time, changed)
    return table


def result_table(result: dict[str, Any]) -> Table:
    table = table_of("result", "")
    for key, value in result.items():
        if key not in HIDDEN:
            table.add_row(key, Text(json.dumps(value, ensure_ascii=False), no_wrap=True, overflow="ellipsis"))
    return table


def show_next(nova: httpx2.Client, workflow_id: int) -> None:
    body = json.dumps({"initial_context": {"mail": "under-limit.eml"}})
    console.print("\nRun another mail yourself:\n")
    url = nova.base_url.join(f"/workflows/{workflow_id}/execute")
    console.print(Text(f"  curl -X POST {url} -H 'Content-Type: application/json' -d '{body}'\n"), soft_wrap=True)


def table_of(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column == "time" else "left", no_wrap=column not in ("changed", ""))
    return table


if __name__ == "__main__":
    raise SystemExit(main())
