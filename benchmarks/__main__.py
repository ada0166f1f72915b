"""How fast Nova is, as a ratio to the same writes by hand, on PostgreSQL and SQLite, in one run.

python -m benchmarks                              everything, about seven minutes
python -m benchmarks --quick                      one short round of each: does it run?
python -m benchmarks --only postgresql http-8     these alone
python -m benchmarks --queue                      through the queue to a worker, beside a bare Celery task
"""

import argparse
import json
import sys
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import queue, report, servers
from benchmarks.cases import FLOOR, PLACES, WORKLOADS, Group, groups
from benchmarks.measure import Figures, alternate, figures

DATABASES = {"postgresql": servers.postgresql, "sqlite": servers.sqlite}


@dataclass(frozen=True)
class Effort:
    """How long is measured. A thousand nodes are one run a round."""

    rounds: int
    seconds: float
    warm_up: bool


FULL, QUICK = Effort(rounds=5, seconds=2.0, warm_up=True), Effort(rounds=1, seconds=0.2, warm_up=False)


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    if options.queue:
        return queue.main()
    only, effort = set(options.only), QUICK if options.quick else FULL
    places, workloads = _chosen(only, PLACES), _chosen(only, WORKLOADS)
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    with ExitStack() as stack:
        kinds = [stack.enter_context(DATABASES[name]()) for name in sorted(_chosen(only, DATABASES))]
        machine = report.machine(databases.version for databases in kinds)
        report.say_machine(machine)
        for group in (group.only(workloads) for databases in kinds for group in groups(databases, places)):
            if group.place not in places or set(group.subjects) == {FLOOR}:
                continue
            lines, failed = _measured(group, effort)
            failures += failed
            report.say_group(group.database, group.place, lines)
            rows += report.as_rows(group.database, group.place, lines)
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "figures": rows}, indent=2) + "\n")
    report.say_failures(failures)
    return 1 if failures else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    names = [*DATABASES, *PLACES, *WORKLOADS]
    told = f"of each sort that is named, these alone: {', '.join(names)}"
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="NAME", help=told)
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--queue", action="store_true", help="the way through the queue instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(arguments)


def _chosen(only: set[str], names: Collection[str]) -> set[str]:
    return only.intersection(names) or set(names)


def _measured(group: Group, effort: Effort) -> tuple[dict[str, Figures], list[str]]:
    seconds = 0.0 if group.is_long else effort.seconds
    rounds = alternate(group.subjects, rounds=effort.rounds, seconds=seconds, warm_up=effort.warm_up)
    floor = rounds[FLOOR]
    lines = {
        name: figures(found, None if name == FLOOR else floor, nodes=group.nodes) for name, found in rounds.items()
    }
    where = f"{group.database} {group.place}"
    failures = [f"{where} {name}: {told}" for name, found in rounds.items() for each in found for told in each.failures]
    return lines, failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
