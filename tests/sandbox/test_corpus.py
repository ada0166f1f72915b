"""Hostile code is stopped, and harmless code works, wherever Nova may be deployed. The snippets are in `corpus.py`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.sandbox.inside.walls.landlock import abi
from src.sandbox.self_test import what_is_wrong
from src.sandbox.subprocess_executor import SubprocessExecutor
from tests.sandbox.corpus import CASES, NETWORKED

ROOT = Path(__file__).resolve().parents[2]
IS_ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Landlock and seccomp are Linux's own")
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can take on what other deployments are")


def others_can_reach(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in [path, *path.parents])


def a_python_for_others() -> str | None:
    """An interpreter that an ordinary user can start, too."""
    candidates = [Path(sys.executable).resolve(), Path(shutil.which("python3", path="/usr/bin:/usr/local/bin") or "/")]
    usable = [str(each) for each in candidates if each.is_file() and others_can_reach(each) and is_new_enough(each)]
    return usable[0] if usable and others_can_reach(ROOT) else None


def is_new_enough(python: Path) -> bool:
    return says_of_itself(python, "sys.version_info >= (3, 11)")


def is_like_this_one(python: str) -> bool:
    """It loads what was compiled for this one."""
    return says_of_itself(python, f"sys.version_info[:2] == {sys.version_info[:2]}")


def says_of_itself(python: Path | str, what: str) -> bool:
    told = subprocess.run([python, "-c", f"import sys; print({what})"], capture_output=True, check=False)
    return told.stdout.strip() == b"True"


def play(python: str, *arguments: str, packages: str = "", module: str = "tests.sandbox.play") -> dict[str, object]:
    ended = subprocess.run(
        [python, "-B", "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    report: dict[str, object] = json.loads(ended.stdout)
    return report


@pytest.mark.timeout(300)
@pytest.mark.parametrize("landlock", ["landlock", "none"])
def test_everything_that_is_hostile_is_stopped_on_this_machine(landlock: str) -> None:
    report = play(sys.executable, "as-it-is", landlock, "all")

    assert report["wrong"] == []
    assert report["level"] == ("full" if landlock == "landlock" and abi() else "seccomp")
    assert report["own_users"] is IS_ROOT


@needs_root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("landlock", ["landlock", "none"])
@pytest.mark.parametrize("setting", ["container", "container-without-capabilities"])
def test_in_a_container_as_root(setting: str, landlock: str) -> None:
    report = play(sys.executable, setting, landlock, "quick")

    assert report["wrong"] == []
    assert report["own_users"] is (setting == "container")


@needs_root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("landlock", ["landlock", "none"])
@pytest.mark.parametrize("setting", ["user", "user-in-container"])
def test_as_an_ordinary_user(setting: str, landlock: str) -> None:
    python = a_python_for_others()
    if python is None:
        pytest.skip("there is no Python, or no copy of Nova, that an ordinary user could read")

    report = play(python, setting, landlock, "all" if setting == "user" else "quick")

    assert report["wrong"] == []
    assert report["own_users"] is False


@needs_root
def test_where_no_more_processes_may_be_started_what_runs_goes_on() -> None:
    python = a_python_for_others()
    if python is None:
        pytest.skip("there is no Python, or no copy of Nova, that an ordinary user could read")

    told = play(python, module="tests.sandbox.crowded")

    assert told == {"ends": ["lost", "lost", "ok", "ok"], "is_the_same": True}


@pytest.mark.parametrize("landlock", ["landlock", "none"])
@pytest.mark.parametrize("setting", ["as-it-is", pytest.param("user", marks=needs_root)])
def test_numpy_works_behind_the_walls(setting: str, landlock: str) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed here: pip install -r requirements-dev.txt")
    folder = Path(numpy.__file__).parents[1]
    python = sys.executable if setting == "as-it-is" else a_python_for_others()
    if python is None or (python != sys.executable and not (others_can_reach(folder) and is_like_this_one(python))):
        pytest.skip("there is no Python that an ordinary user could start and that could load this numpy")

    report = play(python, setting, landlock, "controls", packages=str(folder))

    assert report["wrong"] == []
    assert "numpy" not in str(report["left_out_for_want_of"])


def test_the_self_test_notices_that_there_are_no_walls() -> None:
    wrong = what_is_wrong(SubprocessExecutor(), os.getpid())

    assert wrong, "it runs everything that is tried"


def test_the_corpus_is_not_trivially_small() -> None:
    assert len(CASES) - len(NETWORKED) > 200
    assert len({case.name for case in CASES}) == len(CASES)
