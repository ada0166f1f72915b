"""Definitions that try to break the server that reads them: each is refused as a definition, or harmless when it runs.

Only small bombs are thrown here, so that a server without a guard is found out and survives.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Door
from tests.api.door import action, decision, execute, line, rows, save, transform

JSON = {"Content-Type": "application/json"}

LONG = {
    "a sum of 300": "context.a" + " + 1" * 300,
    "a sum of 5,000": "context.a" + " + 1" * 5_000,
    "300 attributes": "context" + ".a" * 300,
    "3,000 attributes": "context" + ".a" * 3_000,
    "500 times not": "not " * 500 + "true",
    "5,000 times not": "not " * 5_000 + "true",
    "400 signs": "-" * 400 + "1",
    "400 times and": "true" + " and true" * 400,
    "300 filters": "context.a" + "|abs" * 300,
    "300 subscripts": "context" + "['a']" * 300,
    "300 calls": "context" + ".get('a')" * 300,
    "5,000 brackets": "(" * 5_000 + "1" + ")" * 5_000,
    "150 lists": "[" * 150 + "]" * 150,
    "5,000 comparisons": "1" + " < 2" * 5_000,
    "5,000 conditions": "1 if true else " * 5_000 + "1",
    "an integer of 10,000 digits": "9" * 10_000,
}


COMPILED = """
import sys
from src.nodes.template import TemplateProblem, compile_template
try:
    compile_template(sys.stdin.read())
except TemplateProblem:
    pass
"""


@pytest.mark.parametrize("form", ["{{{{ {} }}}}", "a {{{{ {} }}}}"], ids=["value", "text"])
@pytest.mark.parametrize("expression", LONG.values(), ids=LONG.keys())
def test_an_expression_of_any_length_is_read_or_refused_at_once(expression: str, form: str) -> None:
    """In a process of its own: while Python compiles, nothing can interrupt it, and no other thread runs."""
    ended = subprocess.run(
        [sys.executable, "-c", COMPILED],
        cwd=Path(__file__).resolve().parents[2],
        input=form.format(expression),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr[-300:]


@pytest.mark.parametrize("name", ["a sum of 5,000", "3,000 attributes", "500 times not", "400 times and", "300 calls"])
def test_an_expression_that_is_too_long_is_a_problem_of_its_definition(door: Door, name: str) -> None:
    answer = door.client.post("/workflows/validate", json=line(decision(LONG[name])))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "expression",
    [
        "'aaaaaaaaaa'" + "|replace('a', 'aaaaaaaaaa')" * 7,
        "([('a' * 1000000)] * 20)|join",
        "(['a'] * 1000)|join('b' * 100000)",
        " ~ ".join(["('a' * 1000000)"] * 20),
        "('\\\\' * 1000)" + "|tojson" * 14,
    ],
    ids=["replace", "join", "a long separator", "many texts", "tojson"],
)
def test_a_short_expression_cannot_fill_the_memory(door: Door, expression: str) -> None:
    name = f"bomb {hash(expression)}"
    answer = door.client.post("/workflows", json=line(transform(size=f"{{{{ ({expression})|length }}}}"), name=name))
    if answer.status_code == 422:
        return

    execution = execute(door.client, answer.json()["id"]).json()

    assert execution["status"] == "failed", f"made {execution['result']['size']:,} characters out of nothing"


def test_a_short_expression_cannot_keep_the_server_busy(door: Door) -> None:
    """The inner lists are one list a thousand times over: 10 KB of memory, and a million items to add up."""
    expression = "([[1] * 1000] * 1000)|map('sum')|list|length"
    workflow_id = save(door.client, line(transform(x=f"{{{{ {expression} }}}}"), name="adder"))
    started = time.monotonic()

    execution = execute(door.client, workflow_id).json()

    assert time.monotonic() - started < 5
    assert execution["status"] in ("completed", "failed")


PYTHON = {
    "signs": "-" * 100_000 + "1",
    "brackets": "(" * 100_000,
    "attributes": "x" + ".a" * 100_000,
    "a sum": "1" + "+1" * 100_000,
    "lambdas": "lambda: " * 3_000 + "1",
    "indents": "\n".join(" " * depth + "if 1:" for depth in range(150)),
    "a power": "10 ** 10 ** 10",
    "a product": "'a' * 10 ** 10",
    "a line of a megabyte": "a" * 900_000,
    "an unknown encoding": "# coding: nonsense\nx = 1",
    "an open text": "'''",
    "a byte order mark": "\ufeffx = 1",
}


@pytest.mark.parametrize("code", PYTHON.values(), ids=PYTHON.keys())
def test_code_of_any_shape_is_compiled_or_refused(door: Door, code: str) -> None:
    started = time.monotonic()

    answer = door.client.post("/workflows/validate", json=line(action(code)))

    assert answer.status_code == 200
    assert time.monotonic() - started < 10


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_code_that_python_only_warns_of_can_be_saved(door: Door) -> None:
    answer = door.client.post("/workflows/validate", json=line(action(r"import re; re.compile('\d')")))

    assert answer.json() == {"valid": True, "errors": [], "warnings": []}


# React Flow may come with its lists as JSON in a text. What is in there has to pass the same checks as what is not.

SMUGGLED = {
    "infinity": "1e999",
    "half a surrogate pair": r'"\ud800"',
    "NUL": r'"a\u0000b"',
    "700 levels": "[" * 700 + "]" * 700,
    "950 levels": "[" * 950 + "]" * 950,
    "100,000 levels": "[" * 100_000 + "]" * 100_000,
    "an integer of 10,000 digits": "9" * 10_000,
    "NaN": "NaN",
}


@pytest.mark.parametrize("field", ["position", "label"])
@pytest.mark.parametrize("value", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_list_in_a_text_is_no_way_around_the_checks(door: Door, value: str, field: str) -> None:
    document = {
        "name": f"smuggled {hash(value)} {field}",
        "nodes_json": f'[{{"id": "a", "type": "input", "{field}": {value}}}, {{"id": "b", "type": "output"}}]',
        "edges_json": '[{"source": "a", "target": "b"}]',
    }
    before = rows(door.database_url)

    answers = [door.client.post(path, json=document) for path in ("/workflows", "/workflows/validate")]

    assert [answer.status_code for answer in answers] == [422, 200]
    assert answers[1].json()["valid"] is False
    assert rows(door.database_url) == before


def test_whatever_was_saved_can_be_read(door: Door) -> None:
    """What a row holds must not be able to break the lists that it stands in."""
    for number, value in enumerate(SMUGGLED.values()):
        nodes = f'[{{"id": "a", "type": "input", "position": {value}}}, {{"id": "b", "type": "output"}}]'
        edges = '[{"source": "a", "target": "b"}]'
        door.client.post("/workflows", json={"name": f"kept {number}", "nodes_json": nodes, "edges_json": edges})

    listed = door.client.get("/workflows", params={"limit": 500}).json()["workflows"]
    answers = [
        door.client.get(f"/workflows/{workflow['id']}{more}") for workflow in listed for more in ("", "/versions")
    ]

    assert [answer.status_code for answer in answers] == [200] * len(answers)


# Size.


def test_a_graph_of_many_joins_runs_in_seconds(door: Door) -> None:
    """A ladder: every rung has two inputs, so no context can be handed on as it is."""
    count = 700
    nodes: list[Any] = [{"id": "s", "type": "start"}, transform("l0", x=0), transform("r0", y=0)]
    edges = [{"from": "s", "to": "l0"}, {"from": "s", "to": "r0"}]
    for rung in range(1, count):
        nodes += [transform(f"l{rung}", x=rung), transform(f"r{rung}", y=rung)]
        edges += [{"from": f"{one}{rung - 1}", "to": f"{other}{rung}"} for one in ("l", "r") for other in ("l", "r")]
    nodes.append({"id": "e", "type": "end"})
    edges += [{"from": f"{side}{count - 1}", "to": "e"} for side in ("l", "r")]
    workflow_id = save(door.client, {"name": "ladder", "nodes": nodes, "edges": edges})
    started = time.monotonic()

    answer = execute(door.client, workflow_id)

    assert answer.json()["result"] == {"x": count - 1, "y": count - 1}
    assert time.monotonic() - started < 20


def test_a_graph_of_more_nodes_than_possible_is_refused(door: Door) -> None:
    document = {"name": "huge", "nodes": [{"id": f"{place}"} for place in range(10_001)], "edges": []}

    answer = door.client.post("/workflows", content=json.dumps(document).encode(), headers=JSON)

    assert answer.status_code == 422
    assert "10,000" in answer.json()["errors"][0]["detail"]


NAUGHTY = [
    "'; DROP TABLE workflows; --", "$1", "%s", "{{ context }}", "${x}", "a/b~1", "..", "<b>", "__class__",
    "\u202e\u200f", "\U0001f600", "\xe9", "e\u0301", "%00", "\\", '"', "nova", "id", "place", "True", "null", "0",
    " leading", "\x1b[31m", "a\u2028b",
]  # fmt: skip


def test_naughty_strings_as_ids_labels_and_keys_come_back_unchanged(door: Door) -> None:
    nodes = [{**transform(text, **{text: text.replace("{{", "")}), "label": text} for text in NAUGHTY]

    workflow_id = save(door.client, line(*nodes, name="naughty"))
    execution = execute(door.client, workflow_id, dict.fromkeys(NAUGHTY, 0)).json()

    assert execution["status"] == "completed"
    assert [node["id"] for node in execution["nodes"]] == ["start", *NAUGHTY, "end"]
    assert execution["result"] == {text: text.replace("{{", "") for text in NAUGHTY}
    saved = door.client.get(f"/workflows/{workflow_id}").json()["graph_definition"]["nodes"]
    assert [node.get("label") for node in saved[1:-1]] == NAUGHTY


@pytest.mark.parametrize("key", ["$ref", "__proto__", "nodes", "edges", "metadata"])
def test_keys_that_nobody_reads_are_kept_and_harmless(door: Door, key: str) -> None:
    document = line(transform(x=1), name=f"with {key}")
    document["graph_definition"].setdefault("metadata", {})[key] = {"x": [1]}

    answer = door.client.post("/workflows", json=document)

    assert answer.status_code == 201
    assert answer.json()["graph_definition"]["metadata"][key] == {"x": [1]}
