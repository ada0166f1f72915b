"""`review`: let a person decide. The run waits as a row until somebody answers, or until `due_in` has passed.

`{"type": "review", "title": "Publish {{ context.headline }}?", "due_in": 86400, "on_timeout": "reject"}`. The decision
names the branch: `approve` and `reject`, or whatever the conditions of the edges out of the node are. The answer stands
in the context under `result_key` (the node's id where it says nothing): `{"decision", "comment", "actor", "output"}`,
`output` being what was filled into `form`, a JSON Schema.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from jinja2 import TemplateError
from pydantic import Field, PrivateAttr, field_validator

from src.core.outcome import Context, Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.core.review import APPROVE, REJECT
from src.json_schema import check_schema
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import Computed, compile_template

LONGEST_SECONDS = 366 * 86_400.0


class Review(NodeConfig):
    type: Literal["review"]
    title: str = "Please decide"
    form: dict[str, Json] | None = None
    """JSON Schema of what the reviewer fills in."""
    assignees: list[str] = Field([], max_length=100)
    """Who may decide, for those who look; everybody where nobody is named."""
    due_in: Annotated[float | None, Field(gt=0, le=LONGEST_SECONDS)] = None
    """Seconds."""
    on_timeout: str = REJECT
    result_key: str | None = None
    _title: Computed = PrivateAttr()

    @property
    def chooses(self) -> bool:
        return True

    @field_validator("form")
    @classmethod
    def _is_schema(cls, form: dict[str, Json] | None) -> dict[str, Json] | None:
        if form is not None:
            check_schema(form)
        return form

    def model_post_init(self, _: object) -> None:
        self._title = compile_template(self.title)

    def run(self, context: NodeContext) -> Outcome:
        visit = context.visit
        if visit.answer is not None:
            return self._decided(context, dict(visit.answer))
        if visit.waited is not None:
            return self._decided(context, {"decision": self.on_timeout, "timed_out": True})
        try:
            title = str(self._title(visit.context, context.credentials))
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            return Failed(NodeError(type(error).__name__, f"title: {error}"))
        decisions = sorted(branch for branch in visit.branches if branch) or [APPROVE, REJECT]
        details = {"title": title, "form": self.form, "assignees": self.assignees, "decisions": decisions}
        due_at = datetime.now(UTC) + timedelta(seconds=self.due_in) if self.due_in else None
        return Waiting(WaitFor.REVIEW, due_at, details)

    def _decided(self, context: NodeContext, answer: Context) -> Outcome:
        decision, branches = answer["decision"], context.visit.branches
        if decision not in branches and None not in branches:
            ways = ", ".join(sorted(repr(each) for each in branches))
            return Failed(NodeError("NoSuchBranch", f"it was decided {decision!r}, but the edges are for {ways}"))
        return Succeeded({self.result_key or self.id: answer}, decision)
