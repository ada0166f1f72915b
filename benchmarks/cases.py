"""What is compared with what: groups of subjects that are measured in turn, in process and over HTTP."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from benchmarks import nova
from benchmarks.floor import Floor
from benchmarks.measure import CONTEXT, Round, Subject, repeated
from benchmarks.servers import ROOT, Databases, serving
from src.database import migrate

FLOOR = "by hand"
ALONE = "action-alone"
"""`action` with a process for every attempt: what sharing one within an execution is worth."""
WORKLOADS = (*nova.KINDS, "line", "fan-out", ALONE)
IN_PROCESS = ("in-process", "thousand")
HTTP = {"http-1": 1, "http-8": 8, "http-64": 64}
PLACES = (*IN_PROCESS, *HTTP)
NODES, MANY_NODES = 10, 1000


@dataclass(frozen=True)
class Group:
    """The floor, by its name, and what is held against it."""

    database: str
    place: str
    nodes: int
    subjects: dict[str, Subject]

    @property
    def is_long(self) -> bool:
        """One run is a round."""
        return self.nodes == MANY_NODES

    def only(self, workloads: set[str]) -> "Group":
        kept = {name: subject for name, subject in self.subjects.items() if name == FLOOR or name in workloads}
        return replace(self, subjects=kept)


def groups(databases: Databases, places: set[str]) -> Iterator[Group]:
    if not places.isdisjoint(IN_PROCESS):
        yield from _in_process(databases)
    if not places.isdisjoint(HTTP):
        yield from _over_http(databases)


def _in_process(databases: Databases) -> Iterator[Group]:
    with (
        _prepared(databases) as (floor_url, nova_url),
        closing(Floor(floor_url)) as floor,
        nova.built(nova_url) as built,
    ):
        floor.open()

        def by_hand(nodes: int) -> Subject:
            return repeated(lambda: bool(floor.run(CONTEXT, nodes=nodes)))

        def ours(document: dict[str, object]) -> Subject:
            workflow_id = nova.save(built, document)
            return repeated(lambda: nova.run(built, workflow_id, CONTEXT))

        lines = {kind: ours(nova.line(kind, NODES)) for kind in nova.KINDS}
        yield Group(databases.name, "in-process", NODES, {FLOOR: by_hand(NODES), **lines})
        many = {"line": nova.line("function", MANY_NODES), "fan-out": nova.fan_out("function", MANY_NODES)}
        shapes = {name: ours(document) for name, document in many.items()}
        yield Group(databases.name, "thousand", MANY_NODES, {FLOOR: by_hand(MANY_NODES), **shapes})


def _over_http(databases: Databases) -> Iterator[Group]:
    with _prepared(databases) as (floor_url, nova_url):
        with nova.built(nova_url) as built:
            ids = {kind: nova.save(built, nova.line(kind, NODES)) for kind in nova.KINDS}
        by_hand = serving(["--factory", "benchmarks.floor:create_app"], {"DATABASE_URL": floor_url})
        given = {"DATABASE_URL": nova_url, "NOVA_FUNCTIONS": nova.FUNCTIONS}
        ours = serving(["src.api.main:app"], given)
        alone = serving(["src.api.main:app"], {**given, "SANDBOX_KEPT": "0"})
        with by_hand as floor, ours as server, alone as unshared:
            urls = {FLOOR: f"{floor}/workflows/1/execute"}
            urls |= {kind: f"{server}/workflows/{workflow_id}/execute" for kind, workflow_id in ids.items()}
            urls[ALONE] = f"{unshared}/workflows/{ids['action']}/execute"
            for place, concurrency in HTTP.items():
                subjects = {name: requests(url, concurrency) for name, url in urls.items()}
                yield Group(databases.name, place, NODES, subjects)


@contextmanager
def _prepared(databases: Databases) -> Iterator[tuple[str, str]]:
    """A database for the floor and one for Nova, each with its tables."""
    with databases.fresh() as floor_url, databases.fresh() as nova_url:
        Floor(floor_url).create_tables()
        migrate(nova_url)
        yield floor_url, nova_url


def requests(url: str, concurrency: int) -> Subject:
    def measure(seconds: float) -> Round:
        command = [sys.executable, "-m", "benchmarks.load", url, str(concurrency), str(seconds)]
        printed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        return Round(**json.loads(printed))

    return measure
