"""The figures, for people and for programs."""

import os
import platform
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.measure import Figures

COLUMNS = (
    f"{'':<34}{'runs/s':>9}{'slowest - fastest round':>26}{'p50 ms':>10}{'p99 ms':>10}{'x floor':>9}{'ms/node':>9}"
)
EXPLAINED = """\
x floor: executions per second, as the median ratio to the same rows written by hand in the round beside it.
ms/node: what a node costs beyond the floor, at the median latency. In process the floor does not read its rows back.
"""


def machine(databases: Iterable[str]) -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {_cpu_model()}, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "databases": ", ".join(databases),
        "fsync": f"{_fsync_ms():.2f} ms",
        "load": f"{os.getloadavg()[0]:.1f} in the minute before; over 0.5, others are at work on this machine",
    }


def say_machine(told: dict[str, str]) -> None:
    for name, value in told.items():
        _say(f"{name:<10} {value}")
    _say(f"\n{EXPLAINED}\n{COLUMNS}")


def say_group(database: str, place: str, lines: dict[str, Figures]) -> None:
    for name, found in lines.items():
        spread = f"{_number(found.slowest)} - {_number(found.fastest)}"
        ratio = "" if found.ratio is None else f"{found.ratio:.2f}"
        over = "" if found.over_ms is None else f"{found.over_ms:.2f}"
        times = f"{found.p50_ms:>10.2f}{found.p99_ms:>10.2f}"
        _say(f"{f'{database} {place} {name}':<34}{_number(found.per_second):>9}{spread:>26}{times}{ratio:>9}{over:>9}")


def as_rows(database: str, place: str, lines: dict[str, Figures]) -> list[dict[str, Any]]:
    return [{"database": database, "place": place, "name": name, **asdict(found)} for name, found in lines.items()]


def say_failures(failures: list[str]) -> None:
    if failures:
        _say(f"\n{len(failures)} executions FAILED. The first: {failures[0]}")


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _cpu_model() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _fsync_ms() -> float:
    """What one commit must wait for at least, where the databases lie: the median of fifty."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(50):
            file.write(bytes(8192))
            file.flush()
            start = perf_counter()
            os.fsync(file.fileno())
            times.append((perf_counter() - start) * 1000)
    return median(times)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
