"""What a new execution takes over from an earlier one: the nodes that need not run again. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from src.core.errors import Problem, RerunRefused
from src.core.graph import ERROR, Graph
from src.core.outcome import Failed, Outcome, Succeeded
from src.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Ended:
    """A node of the earlier execution, and what it ended as."""

    node_id: str
    node_type: str
    outcome: Outcome


def taken_over(graph: Graph, ended: Sequence[Ended], from_node: str | None) -> list[str]:
    """The nodes whose results stand, in the order in which they came: all but `from_node`, what comes after it, and
    what has failed the run.

    Args:
        graph: of the new execution; it may have changed since.
        ended: in the order in which they ended.

    Raises:
        RerunRefused: with everything that does not fit the graph.
    """
    if from_node is not None and from_node not in graph.nodes:
        raise RerunRefused([Problem("/from_node", f"there is no node {from_node!r}")])
    again = _from(graph, from_node)
    standing = [each for each in ended if each.node_id not in again and not _has_failed_the_run(graph, each)]
    plan = Plan(graph)
    problems = [Problem("/version", problem) for each in standing for problem in _misfits(plan, each)]
    if not problems and from_node is not None and all(node.id != from_node for node in plan.ready()):
        detail = f"the run did not come to {from_node!r}: what is before it has no result, or took another branch"
        problems = [Problem("/from_node", detail)]
    if problems:
        raise RerunRefused(problems)
    return [each.node_id for each in standing]


def _from(graph: Graph, node_id: str | None) -> set[str]:
    again: set[str] = set()
    to_see = [] if node_id is None else [node_id]
    while to_see:
        each = to_see.pop()
        if each not in again:
            again.add(each)
            to_see += [edge.target for edge in graph.outgoing[each]]
    return again


def _has_failed_the_run(graph: Graph, each: Ended) -> bool:
    return isinstance(each.outcome, Failed) and ERROR not in graph.branches.get(each.node_id, frozenset())


def _misfits(plan: Plan, each: Ended) -> Iterator[str]:
    """Why a result cannot stand in this graph; nothing where it does, and the plan has gone on by it."""
    node = plan.graph.nodes.get(each.node_id)
    if node is None:
        yield f"{each.node_id!r} has run and is not in this version"
    elif node.type != each.node_type:
        yield f"{each.node_id!r} has run as {each.node_type}, and is of kind {node.type} in this version"
    elif isinstance(each.outcome, Succeeded) and _has_no_way(plan.graph, each.node_id, each.outcome.branch):
        yield f"{each.node_id!r} chose {each.outcome.branch!r}, for which this version has no edge"
    else:
        try:
            plan.record(each.node_id, each.outcome)
        except ValueError:
            yield f"{each.node_id!r} has run, and in this version comes after what has no result, or on another branch"


def _has_no_way(graph: Graph, node_id: str, branch: str | None) -> bool:
    ways = graph.branches[node_id]
    return branch is not None and bool(ways) and branch not in ways and None not in ways
