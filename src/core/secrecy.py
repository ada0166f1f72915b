"""What a node has ended as, without the credentials of its run: before anybody is told, or anything is kept."""

from dataclasses import replace

from src.core.masking import Mask
from src.core.node import Visit
from src.core.outcome import Attempt, Failed, NodeError, Outcome, Succeeded, Waiting


def without_secrets(attempt: Attempt, visit: Visit) -> Attempt:
    credentials = visit.credentials
    if not credentials.values:
        return attempt
    output = credentials.not_inherited(attempt.outcome.output, visit.context)
    outcome = replace(attempt.outcome, output=output)
    return attempt._replace(outcome=_masked(outcome, credentials.mask, visit.branches) if credentials.mask else outcome)


def _masked(outcome: Outcome, mask: Mask, branches: frozenset[str | None]) -> Outcome:
    """A branch that an edge names was written by the author of the graph, and stays."""
    branch = outcome.branch if outcome.branch is None or outcome.branch in branches else mask.text(outcome.branch)
    masked = replace(outcome, output=mask.value(outcome.output), logs=mask.text(outcome.logs), branch=branch)
    if outcome.usage and outcome.usage.spent:
        masked = replace(masked, usage=replace(outcome.usage, spent=mask.value(outcome.usage.spent)))
    match masked:
        case Succeeded():
            return masked
        case Failed(error=error):
            return replace(masked, error=_masked_error(error, mask), details=mask.value(masked.details))
        case Waiting(error=why, details=details):
            children = [replace(child, context=mask.value(child.context)) for child in masked.children]
            return replace(
                masked, details=mask.value(details), error=why and _masked_error(why, mask), children=children
            )


def _masked_error(error: NodeError, mask: Mask) -> NodeError:
    return replace(
        error,
        type=mask.text(error.type),
        message=mask.excerpt(error.message),
        traceback=mask.excerpt(error.traceback),
    )
