"""What a retry takes over stays in the database, however much it is."""

import tracemalloc
import uuid

from src.runtime.inheritance import Legacy, take_over_children
from src.runtime.workflows import Draft
from tests.runtime.building import PLAIN, add_failed_map, parts

COUNT, BYTES = 50, 100_000


def test_children_are_taken_over_whole_and_without_being_read(database_url: str) -> None:
    context = {"big": "x" * BYTES}
    with parts(database_url) as made:
        origin_id, retry_id = ids = add_failed_map(
            made.database, made.workflows.keep(Draft("plain", PLAIN)), COUNT, context
        )

        with made.database.write() as connection:
            tracemalloc.start()
            take_over_children(connection, Legacy(origin_id, ()), retry_id)
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
