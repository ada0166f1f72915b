"""A run goes into one JSON document and is read-only in another Nova, where it verifies as it did at home."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from src.__main__ import cli
from src.core.errors import NotFound, NotReady
from src.runtime.archive import Archive
from src.runtime.workflows import Draft
from tests.runtime.building import change, graph, rows, run_to_end, running

DEFINITION = graph("start -> a, a -> end", a={"type": "transform", "set": {"copy": "{{ context.big }}"}})


def test_a_run_is_the_same_and_verifies_in_another_nova(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    with running(database_url) as nova:
        workflow_id = nova.workflows.keep(Draft("one", DEFINITION))
        home = run_to_end(nova, nova.executions.order(workflow_id, {"big": "x" * 300_000, "n": 1.5}))
        exported = CliRunner().invoke(
            cli, ["export", str(home.row.id), "--to", str(file)], env={"DATABASE_URL": database_url}
        )
    other = f"sqlite:///{tmp_path / 'other.db'}"

    taken = CliRunner().invoke(cli, ["import", str(file)], env={"DATABASE_URL": other})
    again = CliRunner().invoke(cli, ["import", str(file)], env={"DATABASE_URL": other})

    assert (exported.exit_code, taken.exit_code, again.exit_code) == (0, 0, 1), exported.output + taken.output
    with running(other) as nova:
        found = nova.executions.find(1)
        assert (found.row.task_id, found.result, found.row.status) == (home.row.task_id, home.result, home.row.status)
        assert nova.executions.verify(1) == []
        assert nova.workflows.page(limit=10, skip=0)[1] == 0, "nobody can run it here"
        with pytest.raises(NotFound):
            nova.reruns.rerun(1, "a")
        change(nova.database, "UPDATE chain_of_work SET logs = 'x' WHERE node_id = 'a'")
        assert nova.executions.verify(1) != []
        assert rows(nova.database, "SELECT kind FROM execution_events ORDER BY id DESC")[0].kind == "imported"
        assert rows(nova.database, "SELECT action FROM audit_events")[0].action == "execution.import"


def test_what_has_not_ended_or_is_not_there_is_not_exported(sqlite_url: str) -> None:
    with running(sqlite_url) as nova:
        workflow_id = nova.workflows.keep(Draft("one", DEFINITION))
        execution_id = nova.dispatcher.enqueue(nova.executions.order(workflow_id, {"big": ""}))
        archive = Archive(nova.database)

        with pytest.raises(NotReady, match="has not ended"):
            archive.export(execution_id)
        with pytest.raises(NotFound):
            archive.export(999)


@pytest.mark.parametrize("document", [{}, {"format": "nova-run/1"}, {"format": "nova-run/1", "execution": {}}])
def test_what_is_no_exported_run_is_refused_with_a_sentence(sqlite_url: str, document: object, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(document))

    answer = CliRunner().invoke(cli, ["import", str(file)], env={"DATABASE_URL": sqlite_url})

    assert answer.exit_code == 1
    assert "exported run" in answer.output


def test_a_run_that_has_not_ended_is_not_taken_in(sqlite_url: str) -> None:
    """Whatever the document says: this Nova would drive it."""
    with running(sqlite_url) as nova:
        workflow_id = nova.workflows.keep(Draft("one", DEFINITION))
        home = run_to_end(nova, nova.executions.order(workflow_id, {"big": ""}))
        archive = Archive(nova.database)
        document = archive.export(int(home.row.id))
        document["execution"] |= {"status": "queued", "task_id": "another"}

        with pytest.raises(NotReady, match="has not ended"):
            archive.take_in(document)


def test_a_run_that_cannot_be_written_there_is_refused_with_a_sentence(sqlite_url: str, tmp_path: Path) -> None:
    with running(sqlite_url) as nova:
        workflow_id = nova.workflows.keep(Draft("one", DEFINITION))
        execution_id = run_to_end(nova, nova.executions.order(workflow_id, {"big": 1})).row.id
    file = tmp_path / "no such folder" / "run.json"

    ended = CliRunner().invoke(cli, ["export", str(execution_id), "--to", str(file)], env={"DATABASE_URL": sqlite_url})

    assert ended.exit_code == 2
    assert "No such file or directory" in ended.output
