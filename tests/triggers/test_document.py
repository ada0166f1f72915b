"""CELERY_TRIGGERS.md: its queries are the ones that Nova runs, and every one runs as it stands on both databases."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from src.api.main import app
from src.runtime.trigger_checks import recent_checks
from src.triggers.checks import five
from src.triggers.platform import LIMITS_SECONDS
from tests.test_docs import commands_in
from tests.triggers.history import BUG, HANDED_OFF, history_in

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "CELERY_TRIGGERS.md"
PAGE = DOCUMENT.read_text(encoding="utf-8")
QUERIES = [block.strip() for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)]
CLASSIC = QUERIES[:3]


def test_the_queries_of_the_document_are_those_of_the_code() -> None:
    ours = [query for trigger in five("heroku") for query in (trigger.query, trigger.runs_query)]

    assert QUERIES[3:] == [f"{query.strip()};" for query in ours]


def test_the_classic_queries_stand_there_to_the_letter() -> None:
    assert CLASSIC[0] == "SELECT MAX(execution_time) FROM chain_of_work WHERE node_type = 'action';"
    assert CLASSIC[1] == "SELECT COUNT(*) FROM clients WHERE is_active = true;"


@pytest.mark.parametrize("query", QUERIES, ids=[str(place) for place in range(len(QUERIES))])
def test_every_query_of_the_document_runs_as_it_stands(database_url: str, query: str) -> None:
    with history_in(database_url) as history:
        history.client("acme")
        history.run(events=(HANDED_OFF,))

        with history.database.read() as connection:
            connection.execute(text(query)).all()


def test_the_classic_queries_answer_the_classic_questions(database_url: str) -> None:
    with history_in(database_url) as history:
        for slug in "abcd":
            history.client(slug, is_active=slug != "d")
        history.runs(3)
        history.run(error=BUG)

        with history.database.read() as connection:
            longest, active, rate = (connection.execute(text(query)).scalar_one() for query in CLASSIC)

    assert (longest, active, float(rate)) == (None, 3, 25.0)


@pytest.mark.parametrize("trigger", five("heroku"), ids=lambda trigger: trigger.name)
def test_every_trigger_has_its_section_with_what_belongs_there(trigger: object) -> None:
    name = getattr(trigger, "name", "")
    section = re.search(rf"^## \d\. `{name}`: .*?(?=^## )", PAGE, re.DOTALL | re.MULTILINE)

    assert section, f"{name} has no section"
    assert all(each in section[0] for each in ("Why: ", "How to read it: ", "What to do: "))
    assert f"| `{name}` |" in PAGE


def test_every_platform_stands_there_with_its_limit() -> None:
    for name, seconds in LIMITS_SECONDS.items():
        assert re.search(rf"{name}.*?{seconds:g} s", PAGE, re.IGNORECASE), name


def test_every_command_and_address_of_the_document_is_one() -> None:
    from src.__main__ import cli

    assert commands_in(DOCUMENT) <= cli.commands.keys()
    paths = {re.sub(r"\{.*?\}", "", path) for path in app.openapi()["paths"]}
    named = set(re.findall(r"`(?:GET|POST) (/[\w/]+)`", PAGE))
    assert named <= paths


def test_every_link_of_the_document_leads_somewhere() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    files = re.findall(r"`(deploy/[\w.]+)`", PAGE)

    assert linked
    assert all((ROOT / each).exists() for each in [*linked, *files])


def test_beat_asks_for_the_check_once_a_week_and_its_task_keeps_what_was_found(sqlite_url: str) -> None:
    code = (
        "from src.workers.celery_app import celery_app\n"
        "from src.workers.tasks import trigger_check_task\n"
        "entry = celery_app.conf.beat_schedule['triggers']\n"
        "assert entry['task'] == trigger_check_task.name, entry\n"
        "assert (entry['schedule'].day_of_week, entry['schedule'].hour) == ({1}, {6}), entry\n"
        "trigger_check_task()\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": sqlite_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    with history_in(sqlite_url) as history:
        [(_, results)] = recent_checks(history.database)
    assert len(results["triggers"]) == 5
