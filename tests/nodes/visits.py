"""Runs one node as the engine would, on a context, without an engine, a store or a graph around it."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from src.core.credentials import Credentials
from src.core.errors import DefinitionError, NotFound
from src.core.node import Callee, Visit
from src.core.outcome import Failed, Outcome, Succeeded, Waiting
from src.nodes import InstalledKinds
from src.nodes.workshop import InstalledWorkshop
from src.outside.outside import Outside
from src.sandbox.executor import CodeExecutor
from src.sandbox.subprocess_executor import SubprocessExecutor

Json = dict[str, Any]
Functions = dict[str, Callable[..., Any]]


def kinds(functions: Functions | None = None) -> InstalledKinds:
    return InstalledKinds(functions or {})


def workshop(
    functions: Functions | None = None, sandbox: CodeExecutor | None = None, outside: Outside | None = None
) -> InstalledWorkshop:
    return InstalledWorkshop(sandbox or SubprocessExecutor(), functions or {}, outside or Outside(), no_workflow)


def no_workflow(which: int | str) -> Callee:
    raise NotFound("workflow", which)


def visit(
    context: Json | None = None,
    *,
    node_id: str = "node",
    attempt: int = 1,
    branches: Iterable[str] = (),
    has_default: bool = True,
    credentials: Json | None = None,
    waited: Waiting | None = None,
    answer: Any = None,
    progress: Callable[[float, str], None] = lambda *_: None,
) -> Visit:
    return Visit(
        execution_id=7,
        node_id=node_id,
        attempt=attempt,
        idempotency_key=f"task/{node_id}",
        context=context or {},
        branches=frozenset([*branches, None] if has_default else branches),
        cancelled=threading.Event(),
        credentials=Credentials(credentials or {}),
        waited=waited,
        answer=answer,
        progress=progress,
    )


def outcome_of(fields: Json, context: Json | None = None, **about: Any) -> Outcome:
    """What a node of `fields` ends as when it sees `context`."""
    functions, sandbox, outside = (about.pop(name, None) for name in ("functions", "sandbox", "outside"))
    node = kinds(functions).read({"id": "node", **fields})
    return workshop(functions, sandbox, outside).run(node, visit(context, **about))


def succeeded(fields: Json, context: Json | None = None, **about: Any) -> Succeeded:
    outcome = outcome_of(fields, context, **about)
    assert isinstance(outcome, Succeeded), outcome
    return outcome


def failed(fields: Json, context: Json | None = None, **about: Any) -> Failed:
    outcome = outcome_of(fields, context, **about)
    assert isinstance(outcome, Failed), outcome
    return outcome


def problems_of(fields: Json) -> dict[str, str]:
    """What is wrong with a node, by where."""
    with pytest.raises(DefinitionError) as caught:
        kinds({"known": print}).read(fields)
    return {found.pointer: found.detail for found in caught.value.problems}
