"""Two executions side by side: read here, compared in `core/compare.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.core.compare import Definitions, Difference, Pair, Ran, aligned, differences, different_keys
from src.core.outcome import Json
from src.runtime.executions import Entry, Executions, Found


@dataclass(frozen=True, slots=True)
class Diff:
    one: Found
    other: Found
    initial_keys: Sequence[str]
    """Keys of the initial contexts that differ."""
    pairs: Sequence[Pair]
    differences: Sequence[Difference]
    """The first is where the two part."""


@dataclass(frozen=True, slots=True)
class Diffs:
    executions: Executions

    def of(self, one_id: int, other_id: int) -> Diff:
        """Raises NotFound."""
        one, other = self.executions.find(one_id), self.executions.find(other_id)
        graphs = [self._nodes(found) for found in (one, other)]
        ran = [self._ran(found, nodes) for found, nodes in zip((one, other), graphs, strict=True)]
        pairs = aligned(*ran)
        initial_keys = different_keys(one.initial_context, other.initial_context)
        return Diff(one, other, initial_keys, pairs, list(differences(pairs, graphs)))

    def _nodes(self, found: Found) -> Definitions:
        row = found.row
        definition = self.executions.workflows.definition(row.workflow_id, row.workflow_version, row.subgraph)
        return {node["id"]: node for node in definition["nodes"]}

    def _ran(self, found: Found, nodes: Definitions) -> list[Ran]:
        last = {entry.row.node_id: entry for entry in self.executions.chain(found.row.id)}
        return [_ran(entry, nodes[node_id]) for node_id, entry in last.items()]


def _ran(entry: Entry, definition: Mapping[str, Json]) -> Ran:
    row = entry.row
    error = None if row.error_type is None else f"{row.error_type}: {row.error_message}"
    return Ran(row.node_id, definition, entry.input_context, entry.output or {}, row.status, row.decision_result, error)
