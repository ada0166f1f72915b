"""Runs taken in hand from the command line."""

import json
from pathlib import Path

import pytest

from tests.test_main import GRAPH, Shell, failing


@pytest.fixture
def shell(tmp_path: Path, sqlite_url: str) -> Shell:
    return Shell(tmp_path, sqlite_url)


def test_a_run_starts_others_and_waits_for_them(shell: Shell) -> None:
    shell("run", shell.file(GRAPH))
    calls = {
        "name": "calls",
        "nodes": [
            {"id": "start", "type": "start"},
            {"id": "each", "type": "map", "items": "[1, 2, 3]", "workflow": "double"},
            {"id": "end", "type": "end"},
        ],
        "edges": [{"from": "start", "to": "each"}, {"from": "each", "to": "end"}],
    }

    ended = shell("run", shell.file(calls))

    assert ended.returncode == 0, ended.stderr
    assert [child["twice"] for child in json.loads(ended.stdout)["each"]] == [2, 2, 2]
    assert shell("verify", "--all").stdout == "5 checked, 0 with something wrong\n"


def test_what_has_failed_is_run_again(shell: Shell) -> None:
    shell("run", shell.file(failing("raise ValueError('\x1b[2J')")))

    ended = shell("retry", "1")

    assert ended.returncode == 1
    assert "Execution 2 failed" in ended.stderr
    assert "\x1b" not in ended.stderr, "code would write over the terminal of whoever runs it"
    assert r"\x1b[2J" in ended.stderr
    assert shell("verify", "--all").stdout == "2 checked, 0 with something wrong\n"


def test_a_run_is_run_again_from_a_node_with_other_values(shell: Shell) -> None:
    shell("run", shell.file(GRAPH))

    ended = shell("rerun", "1", "--from", "double", "--latest", "--set", "n=21")

    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"n": 21, "twice": 42})


def test_a_waiting_run_is_held_let_go_on_and_ended(shell: Shell) -> None:
    wait = {"id": "double", "type": "wait", "seconds": 3600}
    nodes = [GRAPH["nodes"][0], wait, GRAPH["nodes"][2]]
    shell("run", shell.file({**GRAPH, "nodes": nodes}))

    assert "Execution 1 paused" in shell("pause", "1").stderr
    assert "Execution 1 waiting" in shell("resume", "1").stdout
    assert "Execution 1 stopped" in shell("stop", "1").stderr

    refused = shell("stop", "1")
    assert (refused.returncode, "it cannot stop" in refused.stderr) == (1, True)
