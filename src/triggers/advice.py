"""What follows from figures, in sentences. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
REASONS_FOR_A_WORKER = {"execution_time", "clients", "timeouts"}
FEW = 20
"""Runs below which a history says little."""
NEEDLESS_PERCENT = 1.0
PERCENT = 100.0


def of_execution_time(figures: Sequence[Figures], fires: bool) -> str:
    if not figures:
        return "No run has ended in the last 30 days."
    if not fires:
        return f"The longest run, of {_named(figures[0])}, took {figures[0]['max_seconds']:.1f} s: inline is enough."
    slow = [f"{_named(row)} ({row['runs_over']} of {row['runs']} runs)" for row in figures if row["runs_over"]]
    return (
        f"Call {', '.join(slow)} with async_mode=true, and switch a worker on, so that they neither hold a request "
        "nor share the web process."
    )


def of_clients(figures: Sequence[Figures], fires: bool) -> str:
    [row] = figures
    at_once = f"{row['clients_at_once']} clients and {row['runs_at_once']} runs at the same moment at most"
    if not fires:
        return f"{at_once.capitalize()}: one web process serves them."
    return f"{at_once.capitalize()}: switch a worker on, so that one client's runs do not slow down another's."


def of_timeouts(figures: Sequence[Figures], fires: bool) -> str:
    [row] = figures
    told = (
        f"Of {row['runs']} runs {row['timed_out']} ended in a time-out, {row['handed_off']} were handed off beyond "
        f"their budget, and of {row['hung_up']} the caller hung up."
    )
    if not fires:
        return f"{told} That is little: inline is enough."
    return f"{told} Call what takes long with async_mode=true, and switch a worker on to run it."


def of_schedules(figures: Sequence[Figures], fires: bool) -> str:
    if not fires:
        on_time = sum(row["runs"] for row in figures)
        return f"{on_time} scheduled runs, all but a few in their minute." if on_time else "No schedule is missing."
    needs = [f"{_named(row)}: {row['need']}" for row in figures if row["unmet"]]
    return (
        f"{'; '.join(needs)}. What a clock elsewhere starts can be a schedule here (POST /schedules), which needs no "
        "worker. Where schedules are late or missed, the web process sleeps or is busy: a worker sweeps too, and takes "
        "their runs."
    )


def of_failures(figures: Sequence[Figures], fires: bool) -> str:
    if not figures:
        return "No run has failed in the last 30 days."
    failed = sum(row["runs"] for row in figures)
    saved = sum(row["never_tried_again"] for row in figures)
    told = f"{failed} runs failed, most of them with {figures[0]['error_type']} ({figures[0]['error_class']})."
    retry = f" {saved} were transient and never tried again: give their nodes a retry policy." if saved else ""
    if not fires:
        return told + retry
    return f"{told}{retry} Mend what is permanent first: a worker runs it no better."


def verdict(firing: Sequence[str], *, workers_are_on: bool) -> dict[str, str]:
    """`recommendation` for programs, `verdict` for people."""
    reasons = [name for name in firing if name in REASONS_FOR_A_WORKER]
    if workers_are_on:
        if firing:
            return _verdict("keep_worker", f"Workers are on, and last month gave reasons: {', '.join(firing)}.")
        return _verdict("may_switch_off", "Workers are on, and nothing of last month needed one: USE_CELERY=false.")
    if reasons:
        return _verdict("switch_on", f"Switch a worker on: {', '.join(reasons)}.")
    if firing:
        told = f"No worker yet: what fires ({', '.join(firing)}) is mended without one, see its advice."
        return _verdict("mend_first", told)
    return _verdict("stay_inline", "No worker is needed: none of the five triggers fires.")


def _verdict(recommendation: str, sentence: str) -> dict[str, str]:
    return {"recommendation": recommendation, "verdict": sentence}


def would_have_changed(row: Figures, *, workers_are_on: bool) -> dict[str, Any]:
    """What a worker would have done for the runs of the last 30 days."""
    told = {name: row[name] for name in ("runs", "handed_off", "hung_up", "not_answered")}
    if workers_are_on:
        sentence = f"{row['handed_off']} of {row['runs']} runs were handed to a worker in the middle of their request."
    else:
        sentence = f"{row['not_answered']} of {row['runs']} runs would not have been handed off or left waiting."
    return told | {"sentence": sentence}


def of_workflow(row: Figures, budget_seconds: float) -> dict[str, Any]:
    """`inline` or `worker`, and every reason for it."""
    runs = row["runs"]
    if not runs:
        return {"run": "inline", "why": ["It has not run in the last 30 days: nothing speaks for a worker yet."]}
    against = list(_reasons(row, budget_seconds))
    why = against or [_fits(row, budget_seconds)]
    if runs < FEW:
        why.append(f"That is {runs} runs only: look again when there are {FEW}.")
    return {"run": "worker" if against else "inline", "why": why}


def _reasons(row: Figures, budget_seconds: float) -> list[str]:
    runs, found = row["runs"], []
    if (row["p95_seconds"] or 0) > budget_seconds:
        found.append(
            f"95 of 100 runs take up to {row['p95_seconds']:.1f} s, more than the {budget_seconds:g} s there are."
        )
    if PERCENT * row["handed_off"] > NEEDLESS_PERCENT * runs:
        found.append(f"{row['handed_off']} of {runs} runs were handed off beyond their budget.")
    if PERCENT * row["hung_up"] > NEEDLESS_PERCENT * runs:
        found.append(f"The callers of {row['hung_up']} of {runs} runs hung up before the answer.")
    if row["waited"] * 2 > runs:
        found.append(f"{row['waited']} of {runs} runs waited for a time, a person or another run: ask with async_mode.")
    return found


def _fits(row: Figures, budget_seconds: float) -> str:
    if row["p95_seconds"] is None:
        return "None of its runs held a request open."
    share = PERCENT * row["p95_seconds"] / budget_seconds
    return f"95 of 100 runs take up to {row['p95_seconds']:.3g} s: {share:.0f} % of the {budget_seconds:g} s there are."


def _named(row: Figures) -> str:
    return str(row["workflow"])
