"""The state machine of `rules.py` on a store in memory: one execution, and very many examples."""

from hypothesis import settings

from src.core.graph import Graph
from src.core.outcome import Context, Outcome
from src.core.status import Status
from src.core.verify import violations
from tests.core.drawn import Drawn
from tests.core.rules import Mortal, Runs
from tests.fakes import MemoryStore


class Memory:
    """One execution, in memory. It has no children, and whoever is answered or has waited is woken by the sweep."""

    with_children = False
    may_pause = (Status.RUNNING,)
    may_answer = (Status.WAITING,)

    def __init__(self) -> None:
        self._memory = MemoryStore()
        self.store = Mortal(self._memory)

    def create(self, drawn: Drawn) -> int:
        self._case = drawn.case
        self._id = self._memory.create(drawn.case.graph, drawn.case.initial_context)
        return self._id

    def statuses(self, head: int) -> dict[int, Status]:
        return {head: self._memory.status(head)}

    def outcomes(self, execution_id: int) -> list[tuple[str, Outcome]]:
        return [(each.node_id, each.outcome) for each in self._memory.attempts(execution_id)]

    def described(self, execution_id: int) -> tuple[Graph, Context, Context | None]:
        return self._case.graph, self._case.initial_context, self._memory.verdict(execution_id).result

    def children(self, execution_id: int, node_id: str) -> list[int]:
        raise NotImplementedError

    def complaints(self, execution_id: int) -> list[str]:
        return violations(self._memory.history(execution_id))

    def retry(self, execution_id: int) -> int | None:
        return None

    def pause(self, execution_id: int) -> None:
        self._memory.ask_to_pause(execution_id)

    def resume(self, execution_id: int) -> None:
        self._memory.resume(execution_id)

    def stop(self, execution_id: int) -> None:
        self._memory.stop(execution_id)

    def answer(self, execution_id: int, node_id: str, decision: str, output: Context | None) -> None:
        self._memory.answer(execution_id, node_id, {"decision": decision, "output": output})

    def let_time_pass(self) -> None:
        pass

    def lose(self, execution_id: int) -> None:
        self._memory.expire_lease(execution_id)

    def sweep(self) -> None:
        self._memory.recover()
        if self._memory.status(self._id) is Status.WAITING:
            self._memory.wake(self._id)

    def told(self, head: int) -> str:
        return "\n".join(map(str, self._memory.attempts(head)))


class InMemory(Runs):
    def __init__(self) -> None:
        super().__init__(Memory())


InMemory.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestInMemory = InMemory.TestCase
