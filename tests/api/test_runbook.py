"""Every query of the runbook runs as it stands, on both databases, and finds what its heading speaks of."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.api.door import action, execute, line, save

RUNBOOK = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?);\n```", RUNBOOK, re.DOTALL)


def test_every_query_runs_and_the_first_finds_the_node_that_failed(client: TestClient) -> None:
    execute(client, save(client, line(action("1/0"))))
    database = client.app.state.nova.database  # type: ignore[attr-defined]

    with database.read() as connection:
        answers = [connection.exec_driver_sql(query).all() for query in QUERIES]

    assert len(answers) == RUNBOOK.count("```sql")
    assert [tuple(row)[:5] for row in answers[0]] == [("work", "action", "ZeroDivisionError", "permanent", 1)]


@pytest.mark.parametrize("section", RUNBOOK.split("\n## ")[1:], ids=lambda text: text.partition("\n")[0])
def test_every_symptom_has_a_query_and_an_action(section: str) -> None:
    heading, *queries = section.split("```sql")

    assert queries, heading
    assert len(section.rpartition("```")[2].strip()) > 40
