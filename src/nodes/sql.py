"""`sql`: one statement on a client's own database, with bound parameters.

`{"type": "sql", "url": "postgresql://{{ credentials.db_host }}/shop", "username": "{{ credentials.db_user }}",
"password": "{{ credentials.db_password }}", "query": "SELECT name FROM customers WHERE id = :id",
"parameters": {"id": "{{ context.customer_id }}"}, "result_key": "customer"}`. The query itself holds no templates: what
comes from outside goes into parameters. It runs read-only unless `write` is true. A statement may run twice, when the
process dies between it and the checkpoint: `:idempotency_key` is there for a column with a unique index.
"""

import json
import re
from typing import Literal

from pydantic import Field, field_validator

from src.core.outcome import Json, Outcome, Succeeded
from src.nodes.config import NodeContext
from src.nodes.outward import OutwardNode, Template, Templates, filled, filled_text
from src.outside.deadline import Deadline
from src.outside.messages import DEFAULT_SECONDS
from src.outside.sql import Statement

KEY = "idempotency_key"
NAME = re.compile(r"(?<![:\w]):(\w+)")


class SqlQuery(OutwardNode):
    type: Literal["sql"]
    url: Template
    username: Template | None = None
    password: Template | None = None
    query: str = Field(min_length=1)
    parameters: dict[str, Templates] = Field({})
    write: bool = False
    max_rows: int = Field(1000, ge=1, le=10_000)

    @field_validator("query")
    @classmethod
    def _holds_no_template(cls, query: str) -> str:
        if "{{" in query or "{%" in query:
            raise ValueError("no templates here: write :name, and give the value in parameters")
        return query

    def call(self, context: NodeContext) -> Outcome:
        given = {
            name: _bindable(filled(value, context, f"parameters/{name}")) for name, value in self.parameters.items()
        }
        if KEY in NAME.findall(self.query):
            given.setdefault(KEY, context.visit.idempotency_key)
        username, password = (
            None if value is None else filled_text(value, context, field)
            for field, value in (("username", self.username), ("password", self.password))
        )
        statement = Statement(self.query, given, self.write, self.max_rows)
        deadline = Deadline(self.timeout or DEFAULT_SECONDS, context.visit.cancelled)
        url = filled_text(self.url, context, "url")
        return Succeeded({self.key: context.outside.sql.run(url, username, password, statement, deadline)})


def _bindable(value: Json) -> Json:
    """Objects as JSON text; PostgreSQL takes a list as an array."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
