"""The tools of a model: workflows, described as functions, and what comes of calling them."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from src.core.outcome import Child, Context, Failed, Json
from src.json_schema import check_schema, problems_in
from src.nodes.calling import WorkflowReference, find, has_completed
from src.nodes.config import NodeContext

MAX_RESULT = 20_000
"""Characters of a tool's result that the model is shown: more would cost more than it helps."""
UNFIT = re.compile(r"[^a-zA-Z0-9_-]+")


def _is_schema(schema: Context) -> Context:
    check_schema(schema)
    return schema


class Tool(BaseModel):
    """`{"workflow", "name"?, "description"?, "parameters"?}`, or the name of a workflow alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: WorkflowReference
    name: str | None = Field(None, pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    """What the model calls it; by the workflow's where it says nothing."""
    description: str | None = None
    parameters: Annotated[dict[str, Json], AfterValidator(_is_schema)] = Field({"type": "object"})

    @property
    def called(self) -> str:
        return (
            self.name
            or UNFIT.sub("_", f"workflow_{self.workflow}" if isinstance(self.workflow, int) else self.workflow)[:64]
        )

    @property
    def function(self) -> Context:
        told = self.description or f"Runs the workflow {self.workflow}."
        return {
            "type": "function",
            "function": {"name": self.called, "description": told, "parameters": self.parameters},
        }


def _tool(value: Any) -> Any:
    return value if isinstance(value, dict | Tool) else {"workflow": value}


def _differ(tools: list[Tool]) -> list[Tool]:
    names = [tool.called for tool in tools]
    if len(set(names)) < len(names):
        raise ValueError("two tools have the same name: give them a `name` each")
    return tools


Tools = Annotated[list[Annotated[Tool, BeforeValidator(_tool)]], Field(max_length=64), AfterValidator(_differ)]


def read_call(call: Mapping[str, Json], tools: list[Tool], context: NodeContext) -> Child | str:
    """The execution that a call of the model asks for; or what is wrong with it, for the model to read."""
    asked = call.get("function")
    function: Mapping[str, Json] = asked if isinstance(asked, dict) else {}
    tool = next((each for each in tools if each.called == function.get("name")), None)
    if tool is None:
        return f"there is no tool {function.get('name')!r}; there are: {', '.join(each.called for each in tools)}"
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (TypeError, ValueError, RecursionError) as error:
        return f"the arguments are no JSON: {error}"
    if not isinstance(arguments, dict):
        return "the arguments must be an object"
    problems = problems_in(arguments, tool.parameters)
    if problems:
        return "; ".join(f"{each.pointer or '/'}: {each.detail}" for each in problems)
    callee = find(context, lambda *_: tool.workflow)
    if isinstance(callee, Failed):
        return callee.error.message
    return Child({**callee.initial_context, **arguments}, callee.workflow_id, callee.version, callee.queue)


def told_of(end: Mapping[str, Json]) -> str:
    """How a child has ended, for the model to read."""
    if has_completed(end):
        text = json.dumps(end["result"], ensure_ascii=False)
    else:
        error = end["error"] or {}
        text = f"error: {error.get('type') or end['status']}: {error.get('message') or ''}"
    return text if len(text) <= MAX_RESULT else f"{text[:MAX_RESULT]} [cut: {len(text) - MAX_RESULT:,} more characters]"
