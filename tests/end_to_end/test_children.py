"""Children are started once each, and their parent ends, whatever dies around the commits that make it so."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.processes import KILLED, Installation, parsed
from tests.runtime.building import call, graph

INNER = graph("start -> work, work -> end", work=call("work"))
PARENT = graph(
    "start -> each, each -> end",
    each={
        "type": "map", "items": "[0, 1, 2]", "graph": INNER, "concurrency": 2,
        "context": {"effects": "{{ context.effects }}", "order": "{{ context.item }}"},
    },
)  # fmt: skip
BOUNDARIES = [
    "settle.before_commit:1",
    "settle.after_commit:1",
    "children.before_commit:2",
    "settle.after_commit:3",
    "wake.after_commit:1",
]


@pytest.mark.parametrize("failpoint", BOUNDARIES)
def test_every_child_is_there_once_whatever_dies(tmp_path: Path, database_url: str, failpoint: str) -> None:
    installation = Installation(database_url, tmp_path)
    definition = tmp_path / "map.json"
    definition.write_text(json.dumps({"name": "map", "graph_definition": PARENT}))

    killed, _ = installation.command(
        "run", str(definition), f"--set=effects={installation.effects_file}", failpoint=failpoint
    )
    installation.end_leases_of_the_dead()
    installation.here("resume")

    assert killed == KILLED
    assert installation.executions() == dict.fromkeys(range(1, 5), "completed")
    [parent] = installation.query("SELECT result FROM executions WHERE parent_id IS NULL")
    assert [child["work"] for child in parsed(parent)["result"]["each"]] == [f"work of {n}" for n in range(3)]
    items = installation.query("SELECT parent_item FROM executions WHERE parent_id IS NOT NULL ORDER BY parent_item")
    assert [item["parent_item"] for item in items] == [0, 1, 2]
    lines = Counter(line.split()[0] for line in installation.effects_file.read_text().splitlines())
    assert sum(lines.values()) <= 4, "only what was in flight may run again"
    assert installation.here("verify", "--all") == (0, "4 checked, 0 with something wrong\n")
