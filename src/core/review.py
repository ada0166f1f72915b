"""What a person's answer makes of an attempt that needed one. Who asks, and where the answer is kept, is not here."""

from datetime import datetime

from src.core.node import Node, Visit
from src.core.outcome import Attempt, Failed, NodeError, Outcome, Succeeded, WaitFor

APPROVE, REJECT, RETRY = "approve", "reject", "retry"
"""The decisions on a node that would have failed otherwise."""


def reviewed(node: Node, visit: Visit, now: datetime) -> Attempt | None:
    """The attempt that the answer to a partial failure makes; None where the node is to run."""
    waited, answer = visit.waited, visit.answer
    if waited is None or waited.reason is not WaitFor.REVIEW or waited.error is None or answer is None:
        return None
    if answer["decision"] == RETRY:
        return None
    outcome: Outcome
    if answer["decision"] == APPROVE:
        corrected = answer.get("output")
        outcome = Succeeded(waited.output if corrected is None else corrected, waited.branch)
    else:
        told = answer.get("comment") or "it was rejected in review"
        outcome = Failed(NodeError("Rejected", f"{waited.error.type}: {told}"))
    return Attempt(node.id, node.type, visit.attempt, outcome, now, 0.0)
