"""docs/scale.md: its statements cut `chain_of_work` into months, and nobody who uses it notices."""

import re
from pathlib import Path

from src.runtime.workflows import Draft
from tests.runtime.building import change, graph, rows, run_to_end, running

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
ONCE, EACH_MONTH = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
IN_A_DAY = "SELECT sum(attempts) AS attempts FROM node_stats WHERE node_id = 'a' AND period = '24h'"
COUNTS = "SELECT tableoid::regclass::text AS part, count(*) AS rows FROM chain_of_work GROUP BY 1 ORDER BY 1"


def test_runs_go_on_and_verify_on_a_table_of_months(postgres_url: str) -> None:
    definition = graph("start -> a, a -> end", a={"type": "transform", "set": {"copy": "{{ context.n }}"}})
    with running(postgres_url) as nova:
        workflow_id = nova.workflows.keep(Draft("one", definition))

        def run(number: int) -> int:
            return int(run_to_end(nova, nova.executions.order(workflow_id, {"n": number})).row.id)

        before = [run(1), run(2)]
        change(nova.database, ONCE)
        this_month = run(3)
        change(nova.database, EACH_MONTH)
        change(nova.database, EACH_MONTH)  # told twice: there is nothing to give a name to
        next_month = run(4)

        parts = {row.part: row.rows for row in rows(nova.database, COUNTS)}
        named = [part for part in parts if re.fullmatch(r"chain_of_work_\d{4}_\d{2}", part)]
        assert parts == {"chain_of_work_before": 6, named[0]: 3, "chain_of_work_now": 3}
        assert [nova.executions.verify(each) for each in (*before, this_month, next_month)] == [[], [], [], []]
        [seen] = rows(
            nova.database, "SELECT sum(attempts) AS attempts FROM node_stats WHERE node_id = 'a' AND period = '24h'"
        )
        assert seen.attempts == 4, "the views read every month"
        change(nova.database, f"DROP TABLE {named[0]}")
        assert nova.executions.find(this_month).result == {"n": 3, "copy": 3}
        assert nova.executions.verify(this_month) != []
