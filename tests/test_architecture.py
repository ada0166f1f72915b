"""The house rules that no reader should have to check: who imports whom, who reads the environment, who commits."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.core.status import CELERY_WORDS, MAY_BECOME, AttemptStatus, Status
from src.nodes import KINDS

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
FILES = sorted(SRC.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def nodes_of(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def docstrings_of(path: Path) -> set[int]:
    """The ids of every text that stands alone: docstrings, and those under a field."""
    return {id(node.value) for node in nodes_of(path) if isinstance(node, ast.Expr)}


def test_the_import_contracts_hold() -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Contracts: " in ended.stdout


def test_only_settings_reads_the_environment() -> None:
    readers = {
        relative(path)
        for path in FILES
        for node in nodes_of(path)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"))
        or (isinstance(node, ast.Name) and node.id in ("environ", "getenv"))
    }

    assert readers == set(), "pydantic-settings reads it, in settings.py alone"
    users = {relative(path) for path in FILES if "pydantic_settings" in path.read_text(encoding="utf-8")}
    assert users == {"settings.py"}


def test_settings_are_known_only_from_bootstrap_upwards() -> None:
    importers = {
        relative(path)
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.ImportFrom) and node.module == "src.settings"
    }

    below = {name for name in importers if name.split("/")[0] in ("core", "nodes", "sandbox", "runtime", "formats")}
    assert below == set()


def test_only_the_runtime_commits() -> None:
    """By a call of `commit`, the statement, or the transaction of `Database.write`, which `database.py` holds ready;
    migrations make their own.
    """
    committers = {
        relative(path)
        for path in FILES
        if "migrations" not in path.parts
        for node in nodes_of(path)
        if (isinstance(node, ast.Attribute) and ast.unparse(node).endswith(("database.write", ".commit")))
        or (isinstance(node, ast.Constant) and node.value == "COMMIT")
    }

    assert committers
    assert {name for name in committers if not name.startswith("runtime/")} == {"database.py"}


def test_no_status_is_written_as_a_text_but_in_its_own_file() -> None:
    words = {status.value for status in (*Status, *AttemptStatus)} | set(CELERY_WORDS.values())
    shown_in = {"terminal.py"}  # the colours of statuses
    mean_something_else = {
        "api/routes/health.py: 'running'",  # how many
        "core/outcome.py: 'retry'",  # what a node waits for
        "core/review.py: 'retry'",  # what a person decides
    }
    found = {
        f"{relative(path)}: {node.value!r}"
        for path in FILES
        if relative(path) not in {"core/status.py", *shown_in} and "migrations" not in path.parts
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and node.value in words and id(node) not in docstrings_of(path)
    }

    assert {
        text for text in found if not text.startswith("sandbox/") and not text.startswith("nodes/action.py")
    } == mean_something_else


def test_every_status_has_its_line_in_the_tables() -> None:
    assert MAY_BECOME.keys() == set(Status)
    assert CELERY_WORDS.keys() == set(Status)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_one_file_whose_docstring_is_its_manual(kind: str) -> None:
    module = ast.parse((SRC / "nodes" / f"{kind}.py").read_text(encoding="utf-8"))

    assert (ast.get_docstring(module) or "").startswith(f"`{kind}`: ")


@pytest.mark.parametrize("path", [path for path in FILES if "versions" not in path.parts], ids=relative)
def test_every_module_says_what_is_in_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_no_file_grows_past_four_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_a_broad_catch_stands_only_where_code_or_values_of_others_are_met() -> None:
    """And in the group commit, which raises it where it belongs. What a handler itself raises again is not caught."""
    found = {
        relative(path)
        for path in FILES
        for node in nodes_of(path)
        if isinstance(node, ast.ExceptHandler)
        and {"Exception", "BaseException"} & names_of(node.type)
        and ast.unparse(node.body[-1]) != "raise"
    }

    assert found <= {"core/attempt.py", "core/values.py", "runtime/group_commit.py", "sandbox/runner.py"}


def names_of(node: ast.expr | None) -> set[str]:
    if node is None:
        return {"BaseException"}
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def test_importing_nova_opens_and_starts_nothing() -> None:
    code = (
        "import threading, socket, sqlite3, os\n"
        "import src.api.main, src.bootstrap\n"
        "assert threading.active_count() == 1\n"
        "assert not os.path.exists(os.environ['MARK'])\n"
    )
    mark = ROOT / "never-made.db"

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"DATABASE_URL": f"sqlite:///{mark}", "MARK": str(mark), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr


def test_the_sandboxs_runner_imports_nothing_of_nova() -> None:
    imported = {
        name
        for node in nodes_of(SRC / "sandbox" / "runner.py")
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip

    assert all(name.partition(".")[0] in sys.stdlib_module_names for name in imported)
