"""The log: one form for all who speak, the ids of what is in hand, and no value of a context."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from starlette.testclient import TestClient

from src.core.about import about, ids
from src.database import Database
from src.logs import Format, write_logs
from tests import servers
from tests.api.door import execute, line, save, serving, transform
from tests.runtime.building import eventually

ROOT = Path(__file__).resolve().parent.parent
SECRET = "hunter2-of-acme"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of this test's own, told apart from the root."""
    logger = logging.getLogger("tests.of.logs")
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def written(logger: logging.Logger, form: Format = "json") -> None:
    write_logs(form, service="web", of=logger.name)


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_line_is_an_object_with_the_fields_that_are_promised(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    written(logger)

    with about(request_id="r-1", execution_id=7, task_id="t-1", node_id="fetch"):
        logger.info("run ended", extra={"status": "completed", "seconds": 0.5})

    told = last(capsys)
    assert told | {"timestamp": "", "worker": ""} == {
        "timestamp": "", "level": "info", "service": "web", "event": "run ended", "logger": logger.name, "worker": "",
        "request_id": "r-1", "execution_id": 7, "task_id": "t-1", "node_id": "fetch",
        "status": "completed", "seconds": 0.5,
    }  # fmt: skip
    assert told["timestamp"].endswith("Z")
    assert told["worker"].endswith(f":{os.getpid()}")


def test_celerys_own_lines_name_their_task_and_not_its_arguments(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    written(logger)
    data = {"id": "t-1", "name": "execute_workflow_task", "args": SECRET, "kwargs": {}}

    logger.info("Task %(name)s[%(id)s] received", data, extra={"data": data})

    told = last(capsys)
    assert (told["task_id"], told["task_name"]) == ("t-1", "execute_workflow_task")
    assert SECRET not in json.dumps(told)


def test_for_eyes_a_line_begins_with_the_time_and_what_happened(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    written(logger, "console")

    logger.warning("run ended", extra={"status": "failed"})

    shown = capsys.readouterr().out
    assert shown[12:].startswith(" WARNING run ended  status=failed")


def test_what_a_line_quotes_gives_no_orders_to_a_terminal(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    written(logger, "console")

    logger.warning("run\x1b[2J ended", extra={"node_id": "\x9b31m"})

    told = capsys.readouterr().out
    assert told[12:].startswith(r" WARNING run\x1b[2J ended  node_id=\x9b31m")


def test_of_a_traceback_in_words_the_line_of_its_exception_is_told(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    written(logger)
    cause = 'Traceback (most recent call last):\n  File "a.py", line 1, in a\nKeyError: 1\n\nDuring handling of it:\n\n'

    logger.error(f'{cause}Traceback (most recent call last):\n  File "b.py", line 2, in b\nNotReady: why\n{SECRET}\n')

    told = capsys.readouterr().out
    assert json.loads(told)["event"] == "NotReady: why"
    assert SECRET not in told


def test_what_is_in_hand_is_forgotten_at_its_end() -> None:
    with about(request_id="r-1"):
        with about(node_id="a"):
            assert ids() == {"request_id": "r-1", "node_id": "a"}
        assert ids() == {"request_id": "r-1"}

    assert ids() == {}


def test_a_databases_complaint_is_logged_without_the_values_it_quotes(
    database_url: str, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    written(logger)
    database = Database(database_url)
    row = text("INSERT INTO clients (id, slug, name, is_active, created_at) VALUES (1, :slug, :slug, true, NULL)")

    try:
        with database.write() as connection:
            connection.execute(row, {"slug": SECRET})
    except (IntegrityError, SQLAlchemyError) as error:
        logger.exception("it went wrong: %r", error)  # noqa: TRY401 -- as Celery does it
    database.close()

    shown = capsys.readouterr().out
    assert "IntegrityError" in shown or "NotNullViolation" in shown
    assert SECRET not in shown


@pytest.fixture
def client(database_url: str) -> Iterator[TestClient]:
    with serving(database_url) as client:
        yield client


def told_by(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("src.")]


def test_a_request_and_the_end_of_its_run_are_a_line_each_whatever_the_nodes(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    workflow_id = save(client, line(*(transform(f"n{place}", x=SECRET) for place in range(20))))
    with caplog.at_level(logging.INFO):
        caplog.clear()
        execute(client, workflow_id, {"password": SECRET})

    assert told_by(caplog) == ["run ended", "request"]
    assert SECRET not in " ".join(str(record.__dict__) for record in caplog.records)


def test_health_checks_are_not_worth_a_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        caplog.clear()
        client.get("/health")

    assert "request" not in told_by(caplog)


def test_under_uvicorn_every_line_is_json_from_the_first_to_the_last(tmp_path: Path) -> None:
    port = servers.free_port()
    command = [sys.executable, "-m", "uvicorn", "src.api.main:app", "--port", str(port)]
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path / 'nova.db'}", "LOG_FORMAT": "json"}
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: "Uvicorn running" in log.read_text(), seconds=60, what="the server")
    finally:
        process.terminate()
        process.wait(30)

    lines = [json.loads(each) for each in log.read_text().splitlines()]
    assert {each["service"] for each in lines} == {"web"}
    assert {"uvicorn.error", "alembic.runtime.migration"} <= {each["logger"] for each in lines}
