"""`python -m src`: results on standard output, everything else on standard error, sentences instead of tracebacks."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from src.__main__ import cli

ROOT = Path(__file__).resolve().parent.parent
GRAPH: dict[str, Any] = {
    "name": "double",
    "initial_context": {"n": 1},
    "nodes": [
        {"id": "start", "type": "start"},
        {"id": "double", "type": "transform", "set": {"twice": "{{ context.n * 2 }}"}},
        {"id": "end", "type": "end"},
    ],
    "edges": [{"from": "start", "to": "double"}, {"from": "double", "to": "end"}],
}


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


class Shell:
    """A folder of one's own, and a database for it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.database_url = database_url

    def __call__(self, *arguments: str) -> Ended:
        """The command in this process: a real one costs a second."""
        ended = CliRunner().invoke(cli, arguments, env={"DATABASE_URL": self.database_url})
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    def process(self, *arguments: str, **environment: str) -> Ended:
        ended = subprocess.run(
            [sys.executable, "-m", "src", *arguments],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": self.database_url} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in ended.stderr, ended.stderr
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def file(self, content: object, name: str = "graph.json") -> str:
        path = self.folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)


@pytest.fixture
def nova(tmp_path: Path, sqlite_url: str) -> Shell:
    return Shell(tmp_path, sqlite_url)


def failing(code: str) -> dict[str, Any]:
    nodes = [GRAPH["nodes"][0], {"id": "work", "type": "action", "code": code}, GRAPH["nodes"][2]]
    return {"nodes": nodes, "edges": [{"from": "start", "to": "work"}, {"from": "work", "to": "end"}]}


# run


def test_run_prints_the_result_as_json_and_nothing_else(tmp_path: Path, database_url: str) -> None:
    nova = Shell(tmp_path, database_url)

    ended = nova.process("run", nova.file(GRAPH))

    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"n": 1, "twice": 2}


def test_run_tells_each_node_on_standard_error_in_plain_lines(nova: Shell) -> None:
    ended = nova.process("run", nova.file(GRAPH))

    lines = [text for text in ended.stderr.splitlines() if "success" in text]
    assert [text.split()[:2] for text in lines] == [["start", "success"], ["double", "success"], ["end", "success"]]
    assert "\x1b" not in ended.stderr + ended.stdout
    assert "Execution 1 completed: python -m src show 1" in ended.stderr


@pytest.mark.parametrize(
    ("given", "value"),
    [("n=21", 42), ("n=1.5", 3.0), ('n="ab"', "abab"), ("n=ab", "abab"), ("n=[1]", [1, 1]), ("n=a=b", "a=ba=b")],
)
def test_run_sets_values_that_are_json_or_else_text(nova: Shell, given: str, value: object) -> None:
    assert json.loads(nova("run", nova.file(GRAPH), "--set", given).stdout)["twice"] == value


def test_run_takes_values_from_files_as_text_or_base64(nova: Shell) -> None:
    text, binary = nova.file("größer\n", "text.txt"), nova.file(b"\xff\x00", "binary.bin")

    ended = nova("run", nova.file(GRAPH), "--file", f"text={text}", "--file", f"binary={binary}")

    result = json.loads(ended.stdout)
    assert (result["text"], result["binary"]) == ("größer\n", "/wA=")


def test_run_exits_with_1_when_the_run_failed_and_still_prints_its_result(nova: Shell) -> None:
    ended = nova("run", nova.file(failing("context['so'] = 'far'\nraise ValueError('no total')")))

    assert ended.returncode == 1
    assert json.loads(ended.stdout) == {}
    assert "no total" in ended.stderr
    assert "Execution 1 failed" in ended.stderr


def test_run_keeps_a_file_as_a_workflow_and_makes_a_version_only_of_a_change(nova: Shell) -> None:
    for definition in (GRAPH, GRAPH, {**GRAPH, "initial_context": {"n": 5}}):
        assert nova("run", nova.file(definition)).returncode == 0

    listed = nova("workflows").stdout.splitlines()

    assert len(listed) == 2
    assert listed[1].split()[:3] == ["1", "double", "2"]


def test_run_tells_what_was_read_in_another_sense(nova: Shell) -> None:
    definition = failing("context['x'] = 1")
    definition["nodes"][1]["prompt"] = "Find x"

    ended = nova("run", nova.file(definition))

    assert ended.returncode == 0
    assert "warning: /nodes/1/prompt: not carried over" in ended.stderr


def test_run_lists_every_problem_with_its_place(nova: Shell) -> None:
    definition = {
        "nodes": [
            {"id": "start", "type": "start", "colour": "red"},
            {"id": "work", "type": "action", "code": "x = ("},
            {"id": "far", "type": "dream"},
        ],
        "edges": [{"from": "start", "to": "nowhere"}],
    }

    ended = nova("run", nova.file(definition))

    assert ended.returncode == 1
    assert ended.stdout == ""
    places = re.findall(r"^  (\S+): ", ended.stderr, re.MULTILINE)
    assert set(places) >= {"/nodes/0/colour", "/nodes/1/code", "/nodes/2/type", "/edges/0/to"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[]", "expected an object"),
        ("[" * 100_000, "is not JSON"),
        ('{"nodes": NaN}', ""),
        (r'{"\ud800": 1}', "surrogate"),
        ({"name": "x"}, "nodes"),
    ],
    ids=["open", "binary", "list", "nested", "NaN", "surrogate", "no graph"],
)
def test_run_refuses_what_is_no_definition_with_a_sentence(nova: Shell, content: object, said: str) -> None:
    ended = nova("run", nova.file(content))

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "Error: " in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "n"],
        ["--set", "=1"],
        ["--set", "n=NaN"],
        ["--set", "n=" + "[" * 50_000],
        ["--file", "text=/nothing/here"],
        ["--file", "text=."],
        ["--surprise"],
    ],
    ids=lambda value: str(value)[:20],
)
def test_run_refuses_values_that_cannot_be(nova: Shell, arguments: list[str]) -> None:
    ended = nova("run", nova.file(GRAPH), *arguments)

    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    assert "Error: " in ended.stderr


def test_run_refuses_a_file_that_is_not_there(nova: Shell) -> None:
    assert nova("run", str(nova.folder / "missing.json")).returncode == 2


# show, executions, workflows, resume, verify


def test_show_has_a_line_for_each_attempt_and_the_error_of_a_failed_run(nova: Shell) -> None:
    nova("run", nova.file(failing("print('x')\nraise ValueError('no total')")))

    shown = nova("show", "1")

    assert shown.returncode == 0
    assert shown.stdout.startswith("Execution 1: failed, inline, ")
    assert re.search(r"^start +start +1 +success", shown.stdout, re.MULTILINE)
    assert re.search(r"^work +action +1 +failed ", shown.stdout, re.MULTILINE)
    assert "ValueError: no total" in shown.stdout
    assert 'File "<node>", line 2' in shown.stdout


def test_executions_are_listed_newest_first_and_filtered(nova: Shell) -> None:
    nova("run", nova.file(GRAPH))
    nova("run", nova.file(failing("1 / 0"), "broken.json"))

    def ids(*arguments: str) -> list[str]:
        return [text.split()[0] for text in nova("executions", *arguments).stdout.splitlines()[1:]]

    assert ids() == ["2", "1"]
    assert ids("--status", "failed") == ["2"]
    assert ids("--workflow", "1") == ["1"]
    assert ids("--limit", "1") == ["2"]


def test_resume_says_when_there_is_nothing_to_do(nova: Shell) -> None:
    ended = nova("resume")

    assert ended.returncode == 0
    assert ended.stdout.startswith("Nothing to resume")


def test_resume_of_a_run_that_has_ended_is_refused(nova: Shell) -> None:
    nova("run", nova.file(GRAPH))

    ended = nova("resume", "1")

    assert ended.returncode == 1
    assert "Execution 1 is completed" in ended.stderr


def test_a_run_that_was_killed_is_resumed_and_its_history_is_right(nova: Shell) -> None:
    killed = nova.process("run", nova.file(failing("context['x'] = 1")), FAILPOINT="settle.before_commit:1")

    resumed = nova("resume")

    assert killed.returncode == 137
    assert "Execution 1 completed" in resumed.stdout
    assert nova("verify", "1").stdout == "1 checked, 0 with something wrong\n"


def test_verify_checks_all_and_exits_with_0_when_all_is_well(nova: Shell) -> None:
    nova("run", nova.file(GRAPH))
    nova("run", nova.file(failing("1 / 0"), "broken.json"))

    ended = nova("verify", "--all")

    assert (ended.returncode, ended.stdout) == (0, "2 checked, 0 with something wrong\n")


def test_verify_wants_to_know_what_to_check(nova: Shell) -> None:
    assert [nova("verify").returncode, nova("verify", "1", "--all").returncode] == [2, 2]


@pytest.mark.parametrize("command", ["show", "verify", "resume"])
@pytest.mark.parametrize("which", ["4711", "0", "99999999999999999999"])
def test_an_execution_that_is_not_there_is_said_to_be_missing(nova: Shell, command: str, which: str) -> None:
    ended = nova(command, which)

    assert ended.returncode in (1, 2)
    assert ended.stdout == ""
    assert "Error: " in ended.stderr


@pytest.mark.parametrize("arguments", [["--limit", "-1"], ["--limit", "0"], ["--workflow", "99999999999999999999"]])
def test_a_list_that_cannot_be_is_no_crash(tmp_path: Path, postgres_url: str, arguments: list[str]) -> None:
    ended = Shell(tmp_path, postgres_url)("executions", *arguments)

    assert ended.returncode in (0, 1, 2)


# What is wrong around it.


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DATABASE_URL": "mysql://host/name"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:hunter2@host:port/z"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/z"}, "The database does not answer"),
        ({"DATABASE_URL": "sqlite:////proc/nothing/nova.db"}, "/proc/nothing"),
        ({"NOVA_FUNCTIONS": "no.such.module"}, "no.such.module"),
    ],
)
def test_wrong_settings_end_with_a_sentence(nova: Shell, environment: dict[str, str], said: str) -> None:
    ended = nova.process("workflows", **environment)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert said in ended.stderr
    assert "hunter2" not in ended.stderr


def test_every_wrong_setting_is_named_at_once(nova: Shell) -> None:
    ended = nova.process("workflows", PORT="x", INLINE_THREADS="0", MAX_BODY_BYTES="1")

    assert all(name in ended.stderr for name in ("PORT", "INLINE_THREADS", "MAX_BODY_BYTES"))


def test_a_file_that_is_no_database_is_said_to_be_none(nova: Shell) -> None:
    path = nova.file("This is a text, and long enough to be read as a page. " * 20, "text.db")

    ended = Shell(nova.folder, f"sqlite:///{path}")("workflows")

    assert ended.returncode == 1
    assert "not a database" in ended.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "99999"])
def test_serve_refuses_a_port_that_does_not_exist(port: str) -> None:
    ended = CliRunner().invoke(cli, ["serve", "--port", port])

    assert ended.exit_code == 2
    assert "65535" in ended.output


def test_migrating_twice_is_harmless(tmp_path: Path) -> None:
    nova = Shell(tmp_path, f"sqlite:///{tmp_path / 'new' / 'nova.db'}")

    assert [nova("migrate").returncode, nova("migrate").returncode] == [0, 0]
    assert nova("workflows").returncode == 0


def test_help_names_every_command(nova: Shell) -> None:
    shown = nova("--help").stdout

    assert all(name in shown for name in ("run", "serve", "show", "executions", "workflows", "resume", "verify"))
