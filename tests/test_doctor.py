"""`python -m src doctor`: one line for each thing that is looked at, and what to do where it is wrong."""

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from src.__main__ import cli
from src.bootstrap import build
from src.doctor import Finding, examine
from src.settings import Settings


def findings(tmp_path: Path, **settings: Any) -> dict[str, Finding]:
    nova = build(Settings(**{"database_url": f"sqlite:///{tmp_path / 'nova.db'}", **settings}))
    try:
        return {found.about: found for found in examine(nova)}
    finally:
        nova.close()


def test_a_sound_installation_has_nothing_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path)

    assert {each.about: each.detail for each in found.values() if each.state == "wrong"} == {}
    assert {"python", "database", "sandbox", "packages", "network", "memory", "door"} <= found.keys()


def test_a_package_that_is_not_installed_is_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path, sandbox_packages="pypdf, no_such_package")

    assert found["packages"].state == "wrong"
    assert "no_such_package" in found["packages"].detail
    assert found["packages"].mend


def test_slots_that_fill_the_memory_are_noted(tmp_path: Path) -> None:
    assert findings(tmp_path, sandbox_slots=64, sandbox_max_memory_mb=65_536)["memory"].state == "note"


def test_a_database_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    found = findings(tmp_path, database_url="postgresql://nobody@127.0.0.1:1/nothing")

    assert found["database"].state == "wrong"


def test_an_open_server_without_walls_is_wrong(tmp_path: Path) -> None:
    assert findings(tmp_path, host="0.0.0.0", sandbox_min_level="weak")["door"].state == "wrong"


@pytest.mark.parametrize(("packages", "status"), [("pypdf", 0), ("no_such_package", 1)])
def test_the_command_ends_with_1_where_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: str, status: int
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'nova.db'}")
    monkeypatch.setenv("SANDBOX_PACKAGES", packages)

    ended = CliRunner().invoke(cli, ["doctor"])

    assert ended.exit_code == status, ended.output
    if sys.platform == "linux":
        assert any(line.startswith("ok    sandbox ") for line in ended.output.splitlines())
