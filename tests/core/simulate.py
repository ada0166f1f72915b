"""Many owners on one store, one turn at a time, with crashes and lost leases: everything from one seed.

python -m tests.core.simulate --seeds 10000     run the seeds 0 to 9999; a run that breaks a promise prints its seed
python -m tests.core.simulate --seed 42         run one seed and show what happened
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

from src.core.engine import GraphEngine
from src.core.errors import LeaseLost
from src.core.node import Visit
from src.core.outcome import Attempt, Context, Json, Outcome
from src.core.plan import Verdict
from src.core.run import Run
from src.core.slice import HandOff, Reason
from src.core.status import Status
from src.core.store import Claim, Store
from src.core.verify import violations
from tests.builders import Case, random_case
from tests.fakes import Event, FakeKinds, MemoryStore

OWNERS = 3
TROUBLED_STEPS = 60
"""After these nothing goes wrong any more, and everything must come to its end ..."""
QUIET_STEPS = 2_000
"""... within these."""
WROTE = ("checkpoint", "settle")


class Crash(Exception):
    """The process is gone, in the middle of a turn."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A node with effects has run."""

    execution_id: int
    node_id: str
    token: int
    context: Context
    at: int
    """How many events the store had seen by then."""


class CrashingStore:
    """The store as one process sees it: told to, the process dies right before or right after a commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.crash_before = False
        self.crash_after = False

    def claim(self, execution_id: int) -> Claim | None:
        claim = self._store.claim(execution_id)
        return claim and replace(claim, interruptions=0)  # there is more trouble here than a node could cause

    def checkpoint(self, claim: Claim, attempts: Sequence[Attempt]) -> bool:
        self._crash(self.crash_before)
        is_asked = self._store.checkpoint(claim, attempts)
        self._crash(self.crash_after)
        return is_asked

    def settle(self, claim: Claim, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
        self._crash(self.crash_before)
        self._store.settle(claim, verdict, attempts)
        self._crash(self.crash_after)

    def answers(self, claim: Claim) -> dict[str, Json]:
        return self._store.answers(claim)

    def release(self, claim: Claim, hand_off: HandOff) -> None:
        self._store.release(claim, hand_off)

    def forget(self, claim: Claim) -> None:
        self._store.forget(claim)

    def _crash(self, now: bool) -> None:
        if now:
            raise Crash


@dataclass
class Owner:
    store: CrashingStore
    engine: GraphEngine
    run: Run | None = None


@dataclass
class Simulation:
    seed: int
    store: MemoryStore = field(default_factory=MemoryStore)
    effects: list[Effect] = field(default_factory=list)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.threads = ThreadPoolExecutor(1)  # never used: every node runs in the turn that starts it
        self.cases = {
            self.store.create(case.graph, case.initial_context): case
            for case in (random_case(self.random, most_nodes=8) for _ in range(self.random.randint(1, 3)))
        }
        self.owners = [self._new_owner() for _ in range(OWNERS)]

    def run(self) -> list[str]:
        """Play it to its end; answers the promises that were broken."""
        for _ in range(TROUBLED_STEPS):
            self.random.choice([self._turn, self._turn, self._turn, self._lose, self._trouble, self._recover])()
        for _ in range(QUIET_STEPS):
            if self._is_over():
                break
            self._lose_what_the_dead_hold()
            self._recover()
            self._turn()
        return list(self._complaints())

    # What may happen.

    def _turn(self) -> None:
        """Some owner takes its run one turn further, or looks for one."""
        owner = self.random.choice(self.owners)
        if owner.run is None:
            owner.run = owner.engine.begin(self.random.choice(list(self.cases)))
        else:
            self._advance(owner)

    def _advance(self, owner: Owner) -> None:
        assert owner.run is not None
        try:
            if owner.engine.advance(owner.run):
                return
        except LeaseLost:
            self.happened["refused"] += 1
        owner.store.forget(owner.run.claim)
        owner.run = None

    def _trouble(self) -> None:
        """A busy owner hands its run back, or dies: between two turns, or around a commit."""
        owner = self.random.choice(self.owners)
        if owner.run is None:
            return
        how = self.random.choice(["handed off", "died", "died before a commit", "died after a commit"])
        self.happened[how] += 1
        if how == "handed off":
            with suppress(LeaseLost):
                owner.store.release(owner.run.claim, HandOff(Reason.SLICE))
            owner.run = None
            return
        owner.store.crash_before = how == "died before a commit"
        owner.store.crash_after = how == "died after a commit"
        try:
            if how != "died":
                owner.engine.advance(owner.run)
        except (Crash, LeaseLost):
            pass
        self.owners[self.owners.index(owner)] = self._new_owner()

    def _lose(self) -> None:
        """A lease runs out, whether or not its owner is alive; one that is goes on and does not know."""
        running = [execution_id for execution_id in self.cases if self.store.status(execution_id) is Status.RUNNING]
        if running:
            self.happened["lost"] += 1
            self.store.expire_lease(self.random.choice(running))

    def _lose_what_the_dead_hold(self) -> None:
        alive = {(owner.run.claim.execution_id, owner.run.claim.token) for owner in self.owners if owner.run}
        for execution_id in self.cases:
            is_held = (execution_id, self.store.token(execution_id)) in alive
            if self.store.status(execution_id) is Status.RUNNING and not is_held:
                self.store.expire_lease(execution_id)

    def _recover(self) -> None:
        self.happened["recovered"] += len(self.store.recover())

    def _is_over(self) -> bool:
        """Nothing is left to run, and no owner still believes that there is."""
        is_idle = all(owner.run is None for owner in self.owners)
        return is_idle and all(self.store.status(execution_id).is_final for execution_id in self.cases)

    def _new_owner(self) -> Owner:
        store = CrashingStore(self.store.seen_by(f"owner {self.random.random()}"))
        owner = Owner(store, self._engine(store, FakeKinds()))
        owner.engine = self._engine(store, _Kinds(self, owner))
        return owner

    def _engine(self, store: Store, kinds: FakeKinds) -> GraphEngine:
        return GraphEngine(store, kinds, threads=self.threads, node_concurrency=1, max_output_bytes=1_000_000)

    # What was promised.

    def _complaints(self) -> Iterator[str]:
        for execution_id, case in self.cases.items():
            told = (self._of_the_end, self._of_effects, self._of_writers)
            for complaint in (each for law in told for each in law(execution_id, case)):
                yield f"execution {execution_id}: {complaint}"

    def _of_the_end(self, execution_id: int, case: Case) -> Iterator[str]:
        """It has ended, with a history that holds, as it would have without any trouble."""
        status = self.store.status(execution_id)
        if not status.is_final:
            yield f"is {status} for ever"
            return
        yield from violations(self.store.history(execution_id))
        calm = self._undisturbed(case)
        verdict, expected = self.store.verdict(execution_id), calm.verdict(1)
        if verdict.status is not expected.status:
            yield f"ended as {verdict.status}, and without trouble as {expected.status}"
        elif status is Status.COMPLETED and (verdict, _rows(self.store, execution_id)) != (expected, _rows(calm, 1)):
            yield "its rows are not those of a run without trouble"

    def _undisturbed(self, case: Case) -> MemoryStore:
        calm = MemoryStore()
        self._engine(calm, _kinds_of(case)).run(calm.create(case.graph, case.initial_context))
        return calm

    def _of_effects(self, execution_id: int, case: Case) -> Iterator[str]:
        """Once kept, a node never starts again; only who has lost its lease and not noticed yet may, once."""
        seen: dict[str, Context] = {}
        stale: Counter[int] = Counter()
        for effect in (effect for effect in self.effects if effect.execution_id == execution_id):
            if seen.setdefault(effect.node_id, effect.context) != effect.context:
                yield f"{effect.node_id!r} saw another context when it ran again"
            before = [event for event in self.store.events[: effect.at] if event.execution_id == execution_id]
            if not _holds(before, effect.token):
                stale[effect.token] += 1
            elif any(event.what in WROTE and effect.node_id in event.node_ids for event in before):
                yield f"{effect.node_id!r} ran again after it was kept"
        yield from (f"ran {count} nodes after token {token} was lost" for token, count in stale.items() if count > 1)

    def _of_writers(self, execution_id: int, case: Case) -> Iterator[str]:
        """Whoever has lost the lease writes nothing."""
        events = [event for event in self.store.events if event.execution_id == execution_id]
        for place, event in enumerate(events):
            if event.what in WROTE and not _holds(events[:place], event.token):
                yield f"a {event.what} of {', '.join(event.node_ids)} under token {event.token}, which was lost"


class _Kinds(FakeKinds):
    """Runs nodes for one owner, and notes those with effects."""

    def __init__(self, simulation: Simulation, owner: Owner) -> None:
        super().__init__()
        self._simulation = simulation
        self._owner = owner

    def run(self, node: object, visit: Visit) -> Outcome:
        case = self._simulation.cases[visit.execution_id]
        if not case.graph.nodes[visit.node_id].effect_free:
            assert self._owner.run is not None, "nodes with effects run in turns only"
            token, at = self._owner.run.claim.token, len(self._simulation.store.events)
            self._simulation.effects.append(Effect(visit.execution_id, visit.node_id, token, dict(visit.context), at))
        return case.outcomes[visit.node_id]


def _kinds_of(case: Case) -> FakeKinds:
    return FakeKinds({node_id: lambda visit: case.outcomes[visit.node_id] for node_id in case.graph.nodes})


def _holds(events: Sequence[Event], token: int) -> bool:
    """Whether the claim of `token` is the newest, and still holds after `events`."""
    last = [event for event in events if event.what in ("claim", "recover", "release", "settle")][-1:]
    return [(event.what, event.token) for event in last] == [("claim", token)]


def _rows(store: MemoryStore, execution_id: int) -> dict[str, Outcome]:
    return {attempt.node_id: attempt.outcome for attempt in store.attempts(execution_id)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1_000, help="how many, from 0")
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args(arguments)
    broken = 0
    happened: Counter[str] = Counter()
    for seed in range(options.seeds) if options.seed is None else [options.seed]:
        simulation = Simulation(seed)
        complaints = simulation.run()
        happened += simulation.happened
        for complaint in complaints:
            print(f"seed {seed}: {complaint}")
        broken += bool(complaints)
        if options.seed is not None:
            print(*simulation.store.events, sep="\n")
    print(", ".join(f"{count} {what}" for what, count in sorted(happened.items())))
    print(f"{broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
