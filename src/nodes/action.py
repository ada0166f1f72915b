"""`action`: run the workflow author's Python in the sandbox.

`{"type": "action", "code": "context['total'] = sum(context['items'])", "timeout": 10}`. `context` is a dict; the keys
that have another value afterwards are the output. What is printed stands in the attempt's logs. An exception is a
permanent failure, with the traceback of this code alone; running past `timeout` (60 s where it says nothing) ends it.
"""

from typing import Literal

from pydantic import Field, field_validator

from src.core.outcome import Failed, NodeError, Outcome, Succeeded
from src.nodes.code import check_python, failure, printed_updates, run_code
from src.nodes.config import NodeConfig, NodeContext


class Action(NodeConfig):
    type: Literal["action"]
    code: str
    network: bool = False
    memory_mb: int | None = Field(None, ge=32, le=65_536)

    _compiles = field_validator("code")(check_python)

    def run(self, context: NodeContext) -> Outcome:
        result = run_code(self, context, self.code, "action", context.context)
        if result.status != "ok":
            return failure(result)
        printed = printed_updates(result.last_line)
        if printed is None:
            return Succeeded(result.changes, logs=result.logs, usage=result.usage)
        if str(printed.get("status", "")).lower() in ("error", "failed"):
            return Failed(NodeError("ReportedError", str(printed.get("message", ""))), result.logs, result.usage)
        return Succeeded({**result.changes, **printed["context_updates"]}, logs=result.logs, usage=result.usage)
