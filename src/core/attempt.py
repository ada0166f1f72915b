"""One try at one node: whatever a kind answers or raises becomes an outcome that can be kept."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from threading import current_thread, main_thread
from traceback import StackSummary, TracebackException

from src.core.classify import NeedsReview, Transient, class_of_exception
from src.core.errors import ValueRefused
from src.core.node import Node, Visit, Workshop
from src.core.outcome import Attempt, Context, Failed, NodeError, Outcome, Succeeded, Waiting
from src.core.retry import LONGEST_SECONDS
from src.core.values import plain_object


class Attempting:
    def __init__(self, workshop: Workshop, *, max_output_bytes: int, now: Callable[[], datetime]) -> None:
        self._workshop = workshop
        self._max_output_bytes = max_output_bytes
        self._now = now

    def attempt(self, node: Node, visit: Visit) -> Attempt:
        started_at, start = self._now(), time.perf_counter()
        outcome = self._outcome(node, visit)
        seconds = time.perf_counter() - start - (outcome.usage.queued_seconds if outcome.usage else 0.0)
        return Attempt(node.id, node.type, visit.attempt, outcome, started_at, max(0.0, seconds))

    def _outcome(self, node: Node, visit: Visit) -> Outcome:
        try:
            outcome = self._workshop.run(node, visit)
            if isinstance(outcome, Waiting) and outcome.children:
                return self._with_children(outcome)
            return self._kept(outcome) if outcome.output else self._with_branch(outcome)
        except ValueRefused as refused:
            return Failed(NodeError("ValueRefused", f"the output cannot be kept: {refused}"))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and current_thread() is main_thread():
                raise
            return self._failed(error)

    def _kept(self, outcome: Outcome) -> Outcome:
        """With its output as it can be kept: JSON. Raises ValueRefused."""
        output = plain_object(outcome.output, max_bytes=self._max_output_bytes)
        return self._with_branch(replace(outcome, output=output))

    def _with_children(self, waiting: Waiting) -> Waiting:
        """With the contexts of its children as they can be kept, all of them within the bound. Raises ValueRefused."""
        contexts = {"children": [child.context for child in waiting.children]}
        kept = plain_object(contexts, max_bytes=self._max_output_bytes)["children"]
        pairs = zip(waiting.children, kept, strict=True)
        return replace(waiting, children=[replace(child, context=context) for child, context in pairs])

    def _with_branch(self, outcome: Outcome) -> Outcome:
        """Refuses a branch that cannot be kept as text. Raises ValueRefused."""
        if isinstance(outcome, Succeeded) and outcome.branch is not None:
            plain_object({"branch": outcome.branch}, max_bytes=self._max_output_bytes)
        return outcome

    def _failed(self, error: BaseException) -> Failed:
        told = replace(_told(error), error_class=class_of_exception(error))
        if isinstance(error, Transient):
            told = replace(told, retry_after_seconds=_seconds(getattr(error, "retry_after_seconds", None)))
        return Failed(told, output=self._shown(error))

    def _shown(self, error: BaseException) -> Context:
        """What the person sees who must look at it."""
        output = getattr(error, "output", None) if isinstance(error, NeedsReview) else None
        if not output:
            return {}
        try:
            return plain_object(output, max_bytes=self._max_output_bytes)
        except ValueRefused:  # then the input is all there is to see
            return {}


def _seconds(said: object) -> float | None:
    """What code says may be anything, and nothing where a class of its own leaves out what ours would have set."""
    return float(min(said, LONGEST_SECONDS)) if isinstance(said, int | float) and said >= 0 else None


def _told(error: BaseException) -> NodeError:
    """The error with the frames outside Nova: those of the code that a kind has called."""
    try:
        told = TracebackException.from_exception(error)  # survives an exception whose own str() raises
    except Exception as another:  # noqa: BLE001 -- one whose __cause__ raises is told by its name alone
        return NodeError(type(error).__name__, f"it cannot be shown: {type(another).__name__}")
    ours, walk = 0, error.__traceback__
    while walk is not None and walk.tb_frame.f_globals.get("__name__", "").startswith("src."):
        ours, walk = ours + 1, walk.tb_next
    if walk is not None:
        told.stack = StackSummary.from_list(told.stack[ours:])
    return NodeError(type(error).__name__, str(told), traceback="".join(told.format()))
