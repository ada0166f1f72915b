"""What `action` and `decision` share: an author's Python in the sandbox, and what its results mean."""

import json
from typing import Literal, Protocol

from src.core.classify import class_of
from src.core.outcome import Context, ErrorClass, Failed, Json, NodeError
from src.nodes.config import NodeContext
from src.sandbox.executor import CodeRequest, CodeResult, ErrorInfo, Limits

DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_MEMORY_MB = 256
LONGEST_PRINTED = Limits().result_bytes
"""Characters of an answer that is printed: taken apart, it takes twenty times as much memory."""
TRANSIENT = frozenset({"timeout", "cancelled", "lost"})


def check_python(code: str) -> str:
    """`code`, if it compiles.

    Raises:
        ValueError: with the line and what is wrong there.
    """
    try:
        compile(code, "<node>", "exec")
    except SyntaxError as error:
        raise ValueError(f"Python does not compile: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"Python does not compile: {error or type(error).__name__}") from None
    return code


class CodeNode(Protocol):
    """What a node with code has, whatever its kind."""

    @property
    def timeout(self) -> float | None: ...
    @property
    def network(self) -> bool:
        """The code may connect to the TCP ports that the operator allows (SANDBOX_NETWORK_PORTS)."""

    @property
    def memory_mb(self) -> int | None:
        """Up to the operator's SANDBOX_MAX_MEMORY_MB."""


def run_code(
    node: CodeNode, context: NodeContext, code: str, kind: Literal["action", "decision"], values: Context
) -> CodeResult:
    limits = Limits(wall_seconds=node.timeout or DEFAULT_TIMEOUT_SECONDS, memory_mb=node.memory_mb or DEFAULT_MEMORY_MB)
    visit = context.visit
    request = CodeRequest(
        code,
        kind,
        values,
        limits,
        network=node.network,
        execution_id=visit.execution_id,
        client_id=visit.client_id,
        http=context.outside.bridge,
        on_progress=visit.progress,
        credentials=context.credentials,
    )
    return context.sandbox.run(request, visit.cancelled)


def failure(result: CodeResult) -> Failed:
    """What it means for the node that its code did not end well."""
    error = result.error or ErrorInfo(result.status, "the code did not end well")
    error_class = ErrorClass.TRANSIENT if result.status in TRANSIENT else class_of(error.type)
    told = NodeError(error.type, error.message, error_class, error.traceback, error.retry_after_seconds)
    return Failed(told, result.logs, result.usage, error.output)


def printed_updates(last: str) -> Json:
    """The answer of older code that prints it: `{"status", "context_updates", "message"}` as the last line."""
    if len(last) > LONGEST_PRINTED or not (last.startswith("{") and "context_updates" in last):
        return None
    try:
        answer = json.loads(last)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("context_updates"), dict) else None
