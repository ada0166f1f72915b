"""Shows a running Nova at work, over HTTP alone: loads an example, runs it, prints what happened.

python -m examples.tour --url http://127.0.0.1:8000
python -m examples.tour --url http://127.0.0.1:8000 --example scan --services http://127.0.0.1:8600

Where Nova asks for a key, NOVA_API_KEY is sent.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table
from rich.text import Text

HERE = Path(__file__).parent
EXAMPLES = {
    "invoice": ["invoice/workflow.json"],
    "mail": ["invoice/mail.json"],
    "creative": ["creative/workflow.json"],
    "newsroom": ["newsroom/workflow.json"],
    "scan": ["scan/tools/link.json", "scan/tools/phone.json", "scan/tools/company.json", "scan/workflow.json"],
    "knowledge": ["knowledge/workflow.json"],
}
"""What each loads; the last one is what runs."""
STAND_INS = "http://127.0.0.1:8600"
"""Where the definitions say that the services are."""
CREDENTIALS = {
    "mail_host": "127.0.0.1",
    "mail_user": "acme",
    "mail_password": "correct horse",
    "db_url": "sqlite:///acme-mail.db",
}
"""Of the client `acme` at the stand-ins."""
HIDDEN = ("raw_mail", "pdf_base64", "invoice_text", "advertisement", "pages", "entries", "embed")
"""Long values; the database has them."""
ENDED = ("completed", "failed", "stopped")

console = Console(highlight=False)


def main() -> int:
    """Answers 0 if the example ran to its end, or to the person that it waits for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--example", default="invoice", choices=EXAMPLES)
    parser.add_argument("--services", default=STAND_INS)
    arguments = parser.parse_args()
    key = os.environ.get("NOVA_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=arguments.url, headers=headers, timeout=60) as nova:
        ids = [load(nova, HERE / path, arguments.services) for path in EXAMPLES[arguments.example]]
        if arguments.example == "mail":
            nova.post("/clients", json={"slug": "acme", "name": "Acme"})
            nova.put("/clients/acme/credentials/mail", json=CREDENTIALS).raise_for_status()
        more = {"client_slug": "acme"} if arguments.example == "mail" else {}
        execution = run(nova, ids[-1], **more)
        show(nova, execution, arguments.example)
        if arguments.example == "invoice":
            show_next(nova, ids[-1])
    return 0 if execution["status"] in ("completed", "waiting") else 1


def load(nova: httpx2.Client, path: Path, services: str) -> int:
    """The id of the example's workflow: saved now, or by an earlier visit."""
    definition = json.loads(path.read_text(encoding="utf-8").replace(STAND_INS, services))
    known = {each["name"]: each["id"] for each in nova.get("/workflows", params={"limit": 500}).json()["workflows"]}
    if definition["name"] in known:
        workflow_id = int(known[definition["name"]])
        nova.put(f"/workflows/{workflow_id}", json=definition, headers={"If-Match": "*"}).raise_for_status()
        return workflow_id
    return int(nova.post("/workflows", json=definition).raise_for_status().json()["id"])


def run(nova: httpx2.Client, workflow_id: int, **more: Any) -> dict[str, Any]:
    """The execution when it has ended, or waits for a person."""
    answer = nova.post(f"/workflows/{workflow_id}/execute", json=more)
    execution: dict[str, Any] = answer.raise_for_status().json()
    while execution["status"] not in ENDED and execution.get("waiting_for") != "review":
        answer = nova.get(f"/executions/{execution['id']}", params={"wait": 1})
        execution = answer.raise_for_status().json()
    return execution


def show(nova: httpx2.Client, execution: dict[str, Any], example: str) -> None:
    chain = nova.get(f"/executions/{execution['id']}/chain").raise_for_status().json()
    took = "" if execution["execution_time"] is None else f" in {execution['execution_time'] * 1000:.0f} ms"
    console.print(f"\nExecution {execution['id']} of the {example} example: [bold]{execution['status']}[/]{took}\n")
    console.print(nodes_table(chain["entries"]), "\n", result_table(execution["result"] or {}), sep="")
    if execution["error"]:
        console.print(Text(f"\n{execution['error']['node_id']}: {execution['error']['message']}", "red"))
    if execution["status"] == "waiting":
        node_id = next(each["node_id"] for each in reversed(chain["entries"]) if each["waiting_for"] == "review")
        url = nova.base_url.join(f"/executions/{execution['id']}/nodes/{node_id}/review")
        console.print("\nIt waits for you to decide:\n")
        show_curl(str(url), {"decision": "approve"})


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
    console.print("\nRun another mail yourself:\n")
    body = {"initial_context": {"mail": "under-limit.eml"}}
    show_curl(str(nova.base_url.join(f"/workflows/{workflow_id}/execute")), body)


def show_curl(url: str, body: dict[str, Any]) -> None:
    text = f"  curl -X POST {url} -H 'Content-Type: application/json' -d '{json.dumps(body)}'\n"
    console.print(Text(text), soft_wrap=True)


def table_of(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column == "time" else "left", no_wrap=column not in ("changed", ""))
    return table


if __name__ == "__main__":
    raise SystemExit(main())
