"""What the operator allows code to do: looked at when a workflow is saved, so that a workflow that saved can run."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from src.core.errors import Problem
from src.core.outcome import Json

NETWORK_MODULES = frozenset(
    """
    aiohttp asyncpg boto3 botocore ftplib http.client httpx imaplib mysql nntplib paramiko poplib psycopg psycopg2
    pymongo pymysql redis requests smtplib socket ssl telnetlib urllib.request urllib3 websockets xmlrpc.client
    """.split()
)
"""Modules that are of little use to code that cannot connect to anything."""
CODE_KINDS = ("action", "decision")


@dataclass(frozen=True, slots=True)
class CodePolicy:
    network: bool = True
    max_memory_mb: int = 65_536
    max_timeout_seconds: float = 86_400.0

    def problems(self, graph: Mapping[str, Json]) -> Iterator[Problem]:
        """What nodes ask for and may not have, with pointers into the graph."""
        for pointer, node in _code_nodes(graph):
            if node.get("network") is True and not self.network:
                detail = "the network is granted to no node of this installation: SANDBOX_NETWORK_PORTS is empty"
                yield Problem(f"{pointer}/network", detail)
            yield from self._over(pointer, node, "memory_mb", self.max_memory_mb, "SANDBOX_MAX_MEMORY_MB")
            yield from self._over(pointer, node, "timeout", self.max_timeout_seconds, "SANDBOX_MAX_TIMEOUT_SECONDS")

    def warnings(self, graph: Mapping[str, Json]) -> Iterator[Problem]:
        """Code that imports what it can do nothing with."""
        for pointer, node in _code_nodes(graph):
            imported = sorted(_imports(node.get("code")) & NETWORK_MODULES) if not node.get("network") else []
            if imported:
                detail = f'imports {", ".join(imported)}, but without "network": true it cannot connect to anything'
                yield Problem(f"{pointer}/code", detail)

    def _over(self, pointer: str, node: Mapping[str, Json], name: str, most: float, setting: str) -> Iterator[Problem]:
        asked = node.get(name)
        if isinstance(asked, int | float) and asked > most:
            yield Problem(f"{pointer}/{name}", f"{asked:g}: this installation allows at most {most:g} ({setting})")


def _code_nodes(graph: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    nodes = graph.get("nodes")
    for place, node in enumerate(nodes if isinstance(nodes, list) else ()):
        if isinstance(node, dict) and node.get("type") in CODE_KINDS:
            yield f"/nodes/{place}", node
        elif isinstance(node, dict) and isinstance(node.get("graph"), dict):  # of a `map`
            yield from ((f"/nodes/{place}/graph{pointer}", inner) for pointer, inner in _code_nodes(node["graph"]))


def _imports(code: Json) -> set[str]:
    """The modules that the code names in its imports, and the packages that they are in."""
    try:
        tree = ast.parse(code) if isinstance(code, str) else ast.Module([], [])
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # found when it is compiled
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found | {name.partition(".")[0] for name in found}
