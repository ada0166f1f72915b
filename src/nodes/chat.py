"""What `llm` and `agent` share: chat completions as OpenAI's API speaks them, and as most others do.

One call is one POST. What it cost is counted whatever came of it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from src.core.classify import class_of_status
from src.core.outcome import Context, ErrorClass, Json, NodeError, Usage
from src.core.values import plain_text
from src.nodes.config import NodeContext
from src.nodes.outward import FieldProblem, OutwardNode, Template, filled_text
from src.outside.deadline import Deadline
from src.outside.messages import Answer, Call

DEFAULT_SECONDS = 120.0
"""Models think."""
MAX_EXCERPT = 500
MOST = 1e12
"""Tokens, or dollars, of one call: whoever tells of more tells nonsense."""
MAX_NAME = 200
AGAINST_POLICY = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
"""Codes of errors that say that a person must look."""
USED_UP = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes that come with 429 and do not pass."""


class ModelError(Exception):
    """The model's side has answered, and not with what was asked for."""

    def __init__(self, error: NodeError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True)
class Spent:
    """What the calls of one attempt have taken."""

    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    def add(self, usage: Json, cost: float | None) -> None:
        self.calls += 1
        told = usage if isinstance(usage, dict) else {}
        self.input_tokens += _count(told.get("prompt_tokens", told.get("input_tokens")))
        self.output_tokens += _count(told.get("completion_tokens", told.get("output_tokens")))
        if cost is not None:
            self.cost_usd = round((self.cost_usd or 0.0) + cost, 9)

    @property
    def usage(self) -> Usage:
        return Usage(spent={name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Reply:
    message: Context
    """As the model's side has written it: what goes back to it in the next call."""
    finish_reason: str
    text: str
    tool_calls: Sequence[Mapping[str, Json]] = field(default=())


class ModelNode(OutwardNode):
    """A node that asks a model: the operator's (LLM_BASE_URL), or one that it names itself."""

    base_url: Template | None = None
    api_key: Template | None = None
    model: Template | None = None

    def named_model(self, context: NodeContext, default: str, setting: str) -> str:
        model = default if self.model is None else filled_text(self.model, context, "model")
        if not model:
            raise FieldProblem("model", f"name one here, or set {setting}")
        return plain_text(model, max_length=MAX_NAME)

    def deadline(self, context: NodeContext) -> Deadline:
        """One for an attempt, however often it asks."""
        return Deadline(self.timeout or DEFAULT_SECONDS, context.visit.cancelled)

    def post(self, context: NodeContext, path: str, body: Context, deadline: Deadline) -> Json:
        """The JSON that the model's side answers. The operator's key goes to the operator's URL alone.

        Raises:
            OutsideError, FieldProblem, ModelError
        """
        models, outside = context.outside.models, context.outside
        own = self.base_url is not None
        base_url = filled_text(self.base_url, context, "base_url") if own else models.base_url
        if not base_url:
            raise FieldProblem("base_url", "name one here, or set LLM_BASE_URL")
        key = "" if own else models.api_key
        if self.api_key is not None:
            key = filled_text(self.api_key, context, "api_key")
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        seconds = deadline.left_seconds
        call = Call("POST", f"{base_url.rstrip('/')}{path}", headers, body=content, timeout_seconds=seconds)
        answer = (outside.http if own else outside.models_http).send(call, context.visit.cancelled)
        return _read(answer, key)


def chat(node: ModelNode, context: NodeContext, body: Context, spent: Spent, deadline: Deadline) -> Reply:
    """One turn of a conversation; counts what it took.

    Raises:
        OutsideError, FieldProblem
        ModelError: with `content_policy` where a person must look at it.
    """
    answer = node.post(context, "/chat/completions", body, deadline)
    _count_in(spent, answer, context)
    try:
        choice = answer["choices"][0]
        message: Context = dict(choice["message"])
        calls = [dict(call) for call in message.get("tool_calls") or ()]
        reply = Reply(message, str(choice.get("finish_reason") or ""), _text(message.get("content")), calls)
    except (LookupError, TypeError, ValueError) as error:
        told = f"the answer is no chat completion: {type(error).__name__}: {error}"
        raise ModelError(NodeError("BadAnswer", told)) from None
    if message.get("refusal") or reply.finish_reason in AGAINST_POLICY:
        raise ModelError(against_policy(str(message.get("refusal") or reply.text)))
    return reply


def against_policy(said: str) -> NodeError:
    return NodeError("ContentPolicy", said[:MAX_EXCERPT] or "the model gave no answer", ErrorClass.PARTIAL)


def _count_in(spent: Spent, answer: Json, context: NodeContext) -> None:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    told = usage if isinstance(usage, dict) else {}
    cost = _amount(told.get("cost"))  # some routers tell it themselves
    if cost is None:
        tokens = [_count(told.get(name)) for name in ("prompt_tokens", "completion_tokens")]
        cost = context.outside.models.cost_usd(spent.model, *tokens)
    spent.add(usage, cost)


def _read(answer: Answer, key: str) -> Json:
    if answer.status == HTTPStatus.OK:
        try:
            return answer.json()
        except ValueError:
            raise ModelError(NodeError("BadAnswer", f"{answer.place} answered no JSON", ErrorClass.TRANSIENT)) from None
    code, message = _told(answer)
    message = message.replace(key, "[key]") if key else message  # some repeat the key that they refuse
    if code in AGAINST_POLICY:
        raise ModelError(against_policy(message))
    error_class = ErrorClass.PERMANENT if code in USED_UP else class_of_status(answer.status)
    text = f"{answer.place} answered {answer.status}: {message[:MAX_EXCERPT]}"
    raise ModelError(NodeError("HttpStatus", text, error_class, retry_after_seconds=answer.retry_after_seconds))


def _told(answer: Answer) -> tuple[str, str]:
    """The code and the message of an error: `{"error": {"code", "type", "message"}}`, or whatever stands there."""
    try:
        error: Any = answer.json()["error"]
        return str(error.get("code") or error.get("type") or ""), str(error["message"])
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", answer.text


def _text(content: Json) -> str:
    """Some answer in parts."""
    if not isinstance(content, list):
        return str(content or "")
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _count(value: Json) -> int:
    return int(_amount(value) or 0)


def _amount(value: Json) -> float | None:
    """A number that a row can keep, and that can be summed up."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= MOST else None
