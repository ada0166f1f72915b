"""What a retry takes over stays in the database, however much it is."""

import tracemalloc
import uuid

from sqlalchemy import event

from src.runtime.inheritance import take_over, take_over_completed
from src.runtime.workflows import Draft
from tests.runtime.building import PLAIN, add_failed_map, change, parts

COUNT, BYTES = 50, 100_000


def test_children_are_taken_over_whole_and_without_being_read(database_url: str) -> None:
    context = {"big": "x" * BYTES}
    with parts(database_url) as made:
        ids = add_failed_map(made.database, made.workflows.keep(Draft("plain", PLAIN)), COUNT, context)

        with made.database.write() as connection:
            tracemalloc.start()
            take_over_completed(connection, ids[1])
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()

        before, after = (
            made.rows("SELECT * FROM executions WHERE parent_id = :id ORDER BY id", id=each) for each in ids
        )
    assert peak_bytes < COUNT * BYTES / 2
    assert [row.parent_item for row in after] == list(range(COUNT))
    assert [(row.origin_id, row.initial_context) for row in after] == [(row.id, row.initial_context) for row in before]
    task_ids = [uuid.UUID(row.task_id) for row in after]
    assert [str(each) for each in task_ids] == [row.task_id for row in after]
    assert {(each.version, each.variant) for each in task_ids} == {(4, uuid.RFC_4122)}
    assert len(set(task_ids)) == COUNT


def test_children_go_on_with_what_they_had_done_in_a_few_statements(database_url: str) -> None:
    with parts(database_url) as made:
        origin_id, retry_id = add_failed_map(made.database, made.workflows.keep(Draft("plain", PLAIN)), COUNT, {})
        change(made.database, "UPDATE executions SET status = 'failed' WHERE parent_id = :id", id=origin_id)
        row = (
            "INSERT INTO chain_of_work (execution_id, node_id, node_type, attempt, status, lease_token, output_result, "
            "execution_time, started_at, timestamp) SELECT id, 'first', 'function', 1, 'success', 1, '{}', 1, "
            "created_at, created_at FROM executions WHERE parent_id = :id"
        )
        change(made.database, row, id=origin_id)
        kept = made.rows("SELECT id, execution_id FROM chain_of_work WHERE node_id = 'first'")
        told: list[str] = []

        with made.database.write() as connection:
            event.listen(connection, "before_cursor_execute", lambda *given: told.append(given[2]))
            take_over(connection, [{origin_id: []}, {each.execution_id: [each.id] for each in kept}], retry_id)

        after = made.rows("SELECT * FROM executions WHERE parent_id = :id ORDER BY parent_item", id=retry_id)
        ids = made.rows("SELECT execution_id, origin_attempt_id FROM chain_of_work WHERE origin_attempt_id IS NOT NULL")
    assert len(told) < 5
    assert [(row.parent_item, row.status, row.waiting_for) for row in after] == [
        (item, "waiting", "turn") for item in range(COUNT)
    ]
    origins = {row.id: row.origin_id for row in after}
    assert {origins[each.execution_id]: each.origin_attempt_id for each in ids} == {
        each.execution_id: each.id for each in kept
    }
