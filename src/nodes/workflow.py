"""`workflow`: run another workflow as an execution of its own, and wait for its end without a thread.

`{"type": "workflow", "workflow": "send invoice", "context": {"invoice": "{{ context.invoice }}"}}`. `workflow` is a
name or an id; the version that is saved when the node runs is the one that runs. `context` is laid over that workflow's
own initial context: the child sees nothing else of this one. Its result stands in the context under `result_key` (the
node's id where it says nothing). A child that fails or is stopped fails the node.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from jinja2 import TemplateError
from pydantic import Field, PrivateAttr

from src.core.outcome import Child, Context, Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.nodes.calling import Templates, WorkflowReference, failure_of, find, has_completed
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import compile_value


class Workflow(NodeConfig):
    type: Literal["workflow"]
    workflow: WorkflowReference
    context: Templates = Field({})
    """Key of the child's context -> template, or any JSON value with templates in it."""
    result_key: str | None = None
    _reference: Callable[[Context], Json] = PrivateAttr()
    _given: Callable[[Context], Json] = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._reference, self._given = compile_value(self.workflow), compile_value(self.context)

    def run(self, context: NodeContext) -> Outcome:
        visit = context.visit
        if visit.answer is not None:
            return self._ended(visit.answer[0])
        if visit.waited is not None:
            return Failed(NodeError("Timeout", f"the child has not ended within {self.timeout:g} s"))
        try:
            return self._start(context)
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            return Failed(NodeError(type(error).__name__, str(error)))

    def _start(self, context: NodeContext) -> Outcome:
        callee = find(context, self._reference)
        if isinstance(callee, Failed):
            return callee
        given = {**callee.initial_context, **self._given(context.visit.context)}
        child = Child(given, callee.workflow_id, callee.version, callee.queue)
        until = datetime.now(UTC) + timedelta(seconds=self.timeout) if self.timeout else None
        return Waiting(WaitFor.CHILD, until, {"concurrency": 1, "on_error": "fail"}, children=[child])

    def _ended(self, end: Context) -> Outcome:
        if has_completed(end):
            return Succeeded({self.result_key or self.id: end["result"]})
        return Failed(failure_of(end, f"the child of {self.id!r}"))
