"""Rounds of runs, and the figures that come of them. No I/O but the runs themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter

CONTEXT = {"customer": "acme", "invoice_number": "2024-0117", "amount": 118.5, "currency": "EUR", "items": [1, 2, 3]}
"""What every run starts with."""


@dataclass(frozen=True)
class Round:
    """Runs that were measured together."""

    seconds: float
    """From the first start to the last end."""
    latencies: list[float]
    failures: list[str]

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


Subject = Callable[[float], Round]
"""Runs for about so many seconds, and at least once."""


@dataclass(frozen=True)
class Figures:
    """What a line of the table says."""

    per_second: float
    """Executions; the median of the rounds, and the slowest and the fastest of them."""
    slowest: float
    fastest: float
    p50_ms: float
    p99_ms: float
    runs: int
    ratio: float | None = None
    """To the floor: the median of the ratios of rounds that stood side by side."""
    over_ms: float | None = None
    """What a node costs beyond the floor, at the median."""


def repeated(run: Callable[[], bool]) -> Subject:
    """One run after the other in this thread; `run` answers whether it was completed."""

    def measure(seconds: float) -> Round:
        latencies: list[float] = []
        failures: list[str] = []
        start = now = perf_counter()
        while not latencies or now < start + seconds:
            if not run():
                failures.append("an execution was not completed")
            latencies.append(perf_counter() - now)
            now = perf_counter()
        return Round(now - start, latencies, failures)

    return measure


def alternate(subjects: Mapping[str, Subject], *, rounds: int, seconds: float, warm_up: bool) -> dict[str, list[Round]]:
    """Measure them in turn, so that what else the machine does hits all of them."""
    for subject in subjects.values() if warm_up else ():
        subject(seconds / 4)
    measured: dict[str, list[Round]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            measured[name].append(subject(seconds))
    return measured


def figures(rounds: list[Round], floor: list[Round] | None, *, nodes: int) -> Figures:
    rates = [a_round.per_second for a_round in rounds]
    p50, p99 = _percentiles(rounds)
    found = Figures(median(rates), min(rates), max(rates), p50, p99, sum(len(each.latencies) for each in rounds))
    if floor is None:
        return found
    ratio = median(ours.per_second / theirs.per_second for ours, theirs in zip(rounds, floor, strict=True))
    over = (p50 - _percentiles(floor)[0]) / nodes
    return Figures(**vars(found) | {"ratio": ratio, "over_ms": over})


def _percentiles(rounds: list[Round]) -> tuple[float, float]:
    """The 50th and the 99th of all latencies, in milliseconds."""
    latencies = [latency * 1000 for a_round in rounds for latency in a_round.latencies]
    if len(latencies) == 1:
        return latencies[0], latencies[0]
    cuts = quantiles(latencies, n=100, method="inclusive")
    return cuts[49], cuts[98]
