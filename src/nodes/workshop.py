"""Where nodes run: what this installation lends to them stands ready here."""

from collections.abc import Callable, Mapping

from src.core.node import Callee, Node, Visit
from src.core.outcome import Outcome
from src.nodes.config import NodeConfig, NodeContext, Registered
from src.outside.outside import Outside
from src.sandbox.executor import CodeExecutor


class InstalledWorkshop:
    def __init__(
        self,
        sandbox: CodeExecutor,
        functions: Mapping[str, Registered],
        outside: Outside,
        find_workflow: Callable[[int | str], Callee],
    ) -> None:
        self._sandbox = sandbox
        self._functions = functions
        self._outside = outside
        self._find_workflow = find_workflow

    def run(self, node: Node, visit: Visit) -> Outcome:
        assert isinstance(node, NodeConfig)
        lent = NodeContext(visit, self._sandbox, self._functions, self._outside, self._find_workflow)
        return node.looked_at(node.run(lent), visit)

    def forget(self, execution_id: int) -> None:
        self._sandbox.forget(execution_id)
