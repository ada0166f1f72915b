"""Workflows are saved only when they can run, and a version that was saved never changes."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import SQLAlchemyError

from src.core.errors import DefinitionError, DuplicateName, NotFound, VersionMismatch
from src.runtime.workflows import Draft, Workflows
from tests.runtime.building import PLAIN, Parts, graph, parts

SHORT = graph("start -> a, a -> end")
LONG = graph("start -> a, a -> b, b -> end")
BROKEN = graph("start -> a, a -> b, b -> a")


@pytest.fixture
def made(database_url: str) -> Iterator[Parts]:
    with parts(database_url) as made:
        yield made


@pytest.fixture
def workflows(made: Parts) -> Workflows:
    return made.workflows


def test_a_workflow_comes_back_as_it_was_saved(workflows: Workflows) -> None:
    draft = Draft("invoice", PLAIN, "Pays.", {"z": 1, "a": [1.0, None]})

    row = workflows.find(workflows.create(draft))

    assert (row.name, row.description, row.version, row.archived_at) == ("invoice", "Pays.", 1, None)
    assert json.dumps(row.graph_definition) == json.dumps(PLAIN)
    assert json.dumps(row.initial_context) == json.dumps(draft.initial_context)


def test_another_save_is_another_version_and_the_first_stays(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))

    version = workflows.save(workflow_id, Draft("one", LONG), expected_version=1)

    assert version == 2
    assert workflows.find(workflow_id).version == 2
    assert [(row.version, row.graph_definition) for row in workflows.versions(workflow_id)] == [(2, LONG), (1, SHORT)]


def test_a_graph_is_that_of_its_version_whatever_was_saved_later(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))
    workflows.save(workflow_id, Draft("one", LONG), expected_version=1)

    nodes = [list(workflows.graph(workflow_id, version).nodes) for version in (1, 2)]

    assert nodes == [["start", "a", "end"], ["start", "a", "b", "end"]]


def test_versions_have_a_fingerprint_that_does_not_depend_on_the_order_of_keys(workflows: Workflows) -> None:
    turned = {"edges": SHORT["edges"], "nodes": [dict(reversed(node.items())) for node in SHORT["nodes"]]}
    ids = [workflows.create(Draft(f"number {n}", draft)) for n, draft in enumerate((SHORT, turned, LONG))]

    fingerprints = [workflows.versions(workflow_id)[0].sha256 for workflow_id in ids]

    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_saving_what_stands_there_already_changes_nothing(workflows: Workflows) -> None:
    draft = Draft("one", SHORT, "Does it.", {"n": 1})
    workflow_id = workflows.create(draft)
    before = workflows.find(workflow_id)

    assert workflows.save(workflow_id, draft, expected_version=1) == 1

    assert workflows.find(workflow_id) == before
    assert len(workflows.versions(workflow_id)) == 1


@pytest.mark.parametrize("other", [True, 1.0, "1", None], ids=repr)
def test_a_value_of_another_type_is_a_change(workflows: Workflows, other: object) -> None:
    workflow_id = workflows.create(Draft("one", SHORT, initial_context={"n": 1}))

    version = workflows.save(workflow_id, Draft("one", SHORT, initial_context={"n": other}), expected_version=1)

    assert version == 2
    assert json.dumps(workflows.find(workflow_id).initial_context) == json.dumps({"n": other})


def test_who_saves_over_a_change_of_somebody_elses_is_told_and_saves_nothing(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))
    workflows.save(workflow_id, Draft("one", LONG), expected_version=1)

    with pytest.raises(VersionMismatch, match="version 2"):
        workflows.save(workflow_id, Draft("mine", SHORT), expected_version=1)

    row = workflows.find(workflow_id)
    assert (row.name, row.version, row.graph_definition) == ("one", 2, LONG)


def test_of_many_who_save_over_the_same_version_one_does(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))
    start = threading.Barrier(8)

    def save(_: int) -> int | None:
        start.wait()
        try:
            return workflows.save(workflow_id, Draft("one", LONG), expected_version=1)
        except VersionMismatch:
            return None

    with ThreadPoolExecutor(8) as threads:
        saved = list(threads.map(save, range(8)))

    assert [version for version in saved if version] == [2]
    assert len(workflows.versions(workflow_id)) == 2


def test_of_many_who_save_over_whatever_is_there_all_do(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))
    start = threading.Barrier(8)

    def save(n: int) -> int:
        start.wait()
        return workflows.save(workflow_id, Draft("one", LONG, f"By {n}."), expected_version=None)

    with ThreadPoolExecutor(8) as threads:
        saved = sorted(threads.map(save, range(8)))

    assert saved == list(range(2, 10))


def test_what_cannot_run_is_not_saved(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))

    with pytest.raises(DefinitionError):
        workflows.create(Draft("broken", BROKEN))
    with pytest.raises(DefinitionError):
        workflows.save(workflow_id, Draft("one", BROKEN), expected_version=1)

    assert workflows.page(limit=10, skip=0)[1] == 1
    assert workflows.find(workflow_id).version == 1


def test_problems_are_where_they_stand_in_the_users_own_document(workflows: Workflows) -> None:
    draft = Draft("broken", graph("start -> a"), pointer=lambda native: f"/graph_definition{native}")

    with pytest.raises(DefinitionError) as caught:
        workflows.check(draft)

    assert [problem.pointer for problem in caught.value.problems] == ["/graph_definition/nodes"]


def test_a_name_is_taken_once(workflows: Workflows) -> None:
    workflows.create(Draft("one", SHORT))
    other = workflows.create(Draft("other", SHORT))

    with pytest.raises(DuplicateName, match="'one'"):
        workflows.create(Draft("one", LONG))
    with pytest.raises(DuplicateName):
        workflows.save(other, Draft("one", LONG), expected_version=1)

    assert workflows.find(other).name == "other"
    assert [row.version for row in workflows.versions(other)] == [1]


def test_of_many_who_take_a_name_one_does(workflows: Workflows) -> None:
    start = threading.Barrier(8)

    def create(_: int) -> int | None:
        start.wait()
        try:
            return workflows.create(Draft("one", SHORT))
        except DuplicateName:
            return None

    with ThreadPoolExecutor(8) as threads:
        created = [each for each in threads.map(create, range(8)) if each]

    assert created == [workflows.find_by_name("one").id]


def test_a_client_that_does_not_exist_is_not_called_a_duplicate_name(workflows: Workflows) -> None:
    with pytest.raises((NotFound, SQLAlchemyError)):
        workflows.create(Draft("one", SHORT, client_id=4711))

    assert workflows.page(limit=10, skip=0) == ([], 0)


def test_what_is_archived_is_out_of_use_and_its_name_is_free(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))

    workflows.archive(workflow_id, expected_version=1)

    for look in (workflows.find, workflows.pinned, workflows.versions):
        with pytest.raises(NotFound):
            look(workflow_id)
    with pytest.raises(NotFound):
        workflows.find_by_name("one")
    with pytest.raises(NotFound):
        workflows.save(workflow_id, Draft("one", LONG), expected_version=None)
    with pytest.raises(NotFound):
        workflows.archive(workflow_id, expected_version=None)
    assert workflows.create(Draft("one", SHORT)) != workflow_id


def test_the_graph_of_an_archived_workflow_stays_for_its_executions(made: Parts) -> None:
    workflow_id = made.workflows.create(Draft("one", SHORT))

    made.workflows.archive(workflow_id, expected_version=1)

    assert list(Workflows(made.database, made.kinds).graph(workflow_id, 1).nodes) == ["start", "a", "end"]


def test_who_archives_what_has_changed_is_told(workflows: Workflows) -> None:
    workflow_id = workflows.create(Draft("one", SHORT))
    workflows.save(workflow_id, Draft("one", LONG), expected_version=1)

    with pytest.raises(VersionMismatch):
        workflows.archive(workflow_id, expected_version=1)

    assert workflows.find(workflow_id).version == 2


def test_keeping_creates_then_changes_then_leaves_alone(workflows: Workflows) -> None:
    first = workflows.keep(Draft("one", SHORT))
    again = workflows.keep(Draft("one", SHORT))
    versions = [workflows.find(first).version]
    for draft in (Draft("one", LONG), Draft("one", LONG), Draft("one", LONG, initial_context={"n": 1})):
        assert workflows.keep(draft) == first
        versions.append(workflows.find(first).version)

    assert again == first
    assert versions == [1, 2, 2, 3]


def test_of_many_who_keep_the_same_draft_all_have_the_same_workflow(workflows: Workflows) -> None:
    start = threading.Barrier(8)

    def keep(_: int) -> int:
        start.wait()
        return workflows.keep(Draft("one", SHORT))

    with ThreadPoolExecutor(8) as threads:
        kept = list(threads.map(keep, range(8)))

    assert set(kept) == {workflows.find_by_name("one").id}
    assert workflows.page(limit=10, skip=0)[1] == 1


def test_what_cannot_run_is_not_kept_even_if_it_was_saved_once(made: Parts) -> None:
    made.workflows.keep(Draft("one", SHORT))
    missing = graph("start -> a, a -> end", a={"type": "function", "function": "gone"})

    with pytest.raises(DefinitionError, match="gone"):
        made.workflows.keep(Draft("one", missing))


def test_a_page_has_the_newest_first_and_says_how_many_there_are(workflows: Workflows) -> None:
    ids = [workflows.create(Draft(f"number {n}", SHORT)) for n in range(5)]
    workflows.archive(ids[1], expected_version=None)

    rows, total = workflows.page(limit=2, skip=1)

    assert [row.id for row in rows] == [ids[3], ids[2]]
    assert total == 4


def test_what_does_not_exist_is_not_found(workflows: Workflows) -> None:
    for ask in (
        lambda: workflows.find(1),
        lambda: workflows.pinned(1),
        lambda: workflows.find_by_name("one"),
        lambda: workflows.versions(1),
        lambda: workflows.graph(1, 1),
        lambda: workflows.save(1, Draft("one", SHORT), expected_version=None),
        lambda: workflows.archive(1, expected_version=None),
    ):
        with pytest.raises(NotFound):
            ask()
