"""What a schedule may be told to do when its runs get into each other's way, or when its time has passed unseen."""

from enum import StrEnum


class Overlap(StrEnum):
    """What happens at a fire time while an earlier run of the schedule has not ended."""

    SKIP = "skip"
    """The time passes without a run."""
    QUEUE = "queue"
    """The run waits until its turn has come."""
    ALLOW = "allow"
    """They run side by side."""


class CatchUp(StrEnum):
    """What happens when times have passed while nobody was there to see them."""

    SKIP = "skip"
    """They are over: the next one counts."""
    ONE = "one"
    """One run for all of them: the last."""


class Skipped(StrEnum):
    """Why a fire time went by without a run."""

    OVERLAP = "overlap"
    """An earlier run had not ended."""
    MISSED = "missed"
    """Nobody was there in time."""
    TOO_MANY = "too_many"
    """As many runs of the schedule as may wait were waiting already."""
    REFUSED = "refused"
    """The order could not be taken: its client is not active any more, or its context has grown too large."""
