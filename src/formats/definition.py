"""What reading a document ends in: the native graph, what stood around it, and the way back into the document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from src.core.errors import Problem, escape_pointer
from src.formats.draft import Draft
from src.formats.envelope import OF_THE_GRAPH, Envelope
from src.formats.native import place_of_list


@dataclass(frozen=True)
class Origins:
    """Where the parts of a native graph were written; what is not listed stands where it would in a native graph."""

    at: Mapping[str, str] = field(default_factory=dict)
    """Native pointer -> the place it was read from."""
    inside: Mapping[str, str] = field(default_factory=dict)
    """Native pointer -> the place its members were read from, where that is another one."""

    def of(self, native: str) -> str:
        rest = ""
        while native and native not in self.at:
            native, _, token = native.rpartition("/")
            rest = f"/{token}{rest}"
            if native in self.inside:
                return self.inside[native] + rest
        return self.at.get(native, "") + rest


@dataclass(frozen=True)
class Definition:
    graph: dict[str, Any]
    """Native: `{"nodes": [...], "edges": [...], "queue"?, ..., "metadata"?}`. Shares its values with what was read."""
    name: str | None = None
    description: str | None = None
    initial_context: dict[str, Any] | None = None
    warnings: tuple[Problem, ...] = ()
    """What was read in another sense than it was written, or not carried over."""
    origins: Origins = field(default_factory=Origins, repr=False, compare=False)

    def pointer(self, native: str) -> str:
        """Where in the document that was read stands what `native` points to in the graph."""
        return self.origins.of(native)


def define(
    envelope: Envelope,
    nodes: Sequence[Draft],
    edges: Sequence[Draft],
    warnings: Iterable[Problem],
    inner: Mapping[int, Definition],
) -> Definition:
    """`inner`: the graphs inside nodes, by the place of the node."""
    graph: dict[str, Any] = {"nodes": [node.fields for node in nodes], "edges": [edge.fields for edge in edges]}
    graph |= {name: envelope.graph.content[name] for name in OF_THE_GRAPH if name in envelope.graph.content}
    if envelope.metadata.fields:
        graph["metadata"] = envelope.metadata.fields
    return Definition(
        graph, **envelope.about, warnings=tuple(warnings), origins=_origins(envelope, nodes, edges, inner)
    )


def _origins(
    envelope: Envelope, nodes: Sequence[Draft], edges: Sequence[Draft], inner: Mapping[int, Definition]
) -> Origins:
    drafts = {"/metadata": envelope.metadata}
    drafts |= {f"/nodes/{place}": node for place, node in enumerate(nodes)}
    drafts |= {f"/edges/{place}": edge for place, edge in enumerate(edges)}
    at = {"": envelope.graph.at} | {f"/{name}": place_of_list(envelope.graph, name) for name in ("nodes", "edges")}
    for pointer, draft in drafts.items():
        at[pointer] = draft.at
        at |= {f"{pointer}/{escape_pointer(name)}": origin for name, origin in draft.origins.items()}
    inside = {pointer: draft.inside for pointer, draft in drafts.items() if draft.inside != draft.at}
    for place, definition in inner.items():
        native, origin = f"/nodes/{place}/graph", nodes[place].where("graph")
        at |= {f"{native}{pointer}": f"{origin}{found}" for pointer, found in definition.origins.at.items()}
        inside |= {f"{native}{pointer}": f"{origin}{found}" for pointer, found in definition.origins.inside.items()}
    return Origins(at, inside)
