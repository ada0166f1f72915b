"""`wait`: let time pass. The run sleeps as a row, not as a thread; a restart in between changes nothing.

`{"type": "wait", "seconds": 3600}`, or `"until": "2026-12-01T08:00:00+01:00"`, which may be a template:
`"until": "{{ context.due }}"`. A moment without a zone is UTC; one that has passed is no wait.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self

from jinja2 import TemplateError
from pydantic import Field, PrivateAttr, model_validator

from src.core.outcome import Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.nodes.config import NodeConfig, NodeContext
from src.nodes.template import Computed, compile_value

LONGEST_SECONDS = 366 * 86_400.0


class Wait(NodeConfig):
    type: Literal["wait"]
    seconds: Annotated[float | None, Field(gt=0, le=LONGEST_SECONDS)] = None
    until: str | None = None
    _moment: Computed = PrivateAttr()

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.seconds is None) == (self.until is None):
            raise ValueError('expected either "seconds" or "until"')
        if self.until is not None:
            self._moment = compile_value(self.until)
        return self

    def run(self, context: NodeContext) -> Outcome:
        if context.visit.waited is not None:
            return Succeeded()
        now = datetime.now(UTC)
        if self.seconds is not None:
            return Waiting(WaitFor.TIME, now + timedelta(seconds=self.seconds))
        try:
            until = _read(self._moment(context.visit.context, context.credentials))
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            return Failed(NodeError(type(error).__name__, f"until: {error}"))
        return Waiting(WaitFor.TIME, until) if until > now else Succeeded()


def _read(value: Json) -> datetime:
    """In UTC, as rows keep it. Raises TypeError, ValueError, OverflowError for what is no moment."""
    if not isinstance(value, str):
        raise TypeError(f"expected a moment such as 2026-12-01T08:00:00Z, got {value!r}")
    moment = datetime.fromisoformat(value.strip())
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
