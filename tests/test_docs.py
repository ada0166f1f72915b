"""What the documents say is there is there, and the other way round."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from src.__main__ import cli
from src.formats import read_definition
from src.nodes import KINDS
from src.nodes.jinja import FILTERS, METHODS
from src.settings import Settings
from tests.nodes.visits import kinds

ROOT = Path(__file__).resolve().parent.parent
README, SETTINGS, WORKFLOWS = ROOT / "README.md", ROOT / "docs" / "settings.md", ROOT / "docs" / "workflows.md"
PAGES = sorted([README, *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name.upper()}`" in text_of(SETTINGS)


def test_every_documented_setting_is_one() -> None:
    rows = [row for row in text_of(SETTINGS).splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row.split("|")[1])}

    assert named == {name.upper() for name in Settings.model_fields}


def test_every_documented_default_is_the_default() -> None:
    documented = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| `?([^|`]*?)`? \|", text_of(SETTINGS), re.MULTILINE))
    units = {"1 MiB": 1024**2, "4 MiB": 4 * 1024**2}

    for name, field in Settings.model_fields.items():
        shown: Any = documented.get(name.upper())
        if shown:
            default = field.default
            told = ",".join(map(str, default)) if isinstance(default, list) else str(default).removesuffix(".0")
            assert str(units.get(shown, shown)) == told, name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_documented_with_its_fields(kind: str) -> None:
    page = text_of(WORKFLOWS)
    heading = re.search(rf"^### .*`{kind}`.*$", page, re.MULTILINE)
    assert heading, f"{kind} has no heading"
    section = page[heading.end() :].partition("\n### ")[0]
    common = set(KINDS["start"].model_fields)

    own = {field.alias or name for name, field in KINDS[kind].model_fields.items() if name not in common}
    assert all(f"`{name}`" in section for name in own)


def test_every_common_field_is_documented() -> None:
    assert all(f"| `{name}` |" in text_of(WORKFLOWS) for name in KINDS["start"].model_fields)


def test_every_filter_and_method_of_templates_is_documented() -> None:
    page = text_of(WORKFLOWS)

    assert re.search(rf"Filters: {' '.join(sorted(FILTERS))}\b", page)
    assert re.search(rf"Methods: {' '.join(sorted(METHODS))}\b", page)


def test_every_definition_in_the_documents_can_be_saved() -> None:
    found = 0
    for path in PAGES:
        for block in re.findall(r"```json\n(.*?)```", text_of(path), re.DOTALL):
            document = json.loads(block)
            if isinstance(document, dict) and "nodes" in document:
                found += 1
                for node in read_definition(document).graph["nodes"]:
                    kinds({node.get("function", ""): print}).read(node)

    assert found


def commands_in(path: Path) -> set[str]:
    """`python -m src NAME` as it stands in code."""
    return set(re.findall(r"python3? -m src ([a-z-]+)", text_of(path)))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_in_a_document_exists(path: Path) -> None:
    assert isinstance(cli, click.Group)
    assert commands_in(path) <= cli.commands.keys()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_verb_of_dev_in_a_document_exists(path: Path) -> None:
    verbs = set(re.findall(r"python3 dev\.py ([a-z]+)", text_of(path)))

    assert verbs <= set(re.findall(r"^python3 dev\.py ([a-z]+)", text_of(ROOT / "dev.py"), re.MULTILINE))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    named = set(re.findall(r"`((?:src|docs|examples|tests|benchmarks)/[\w./-]+)`", text_of(path)))
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text_of(path)))

    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert {target for target in linked if not (path.parent / target).exists()} == set()
