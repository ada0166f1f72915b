"""What `llm` and `agent` are: a conversation with a model, which may call workflows before it answers.

Every call of a workflow is a child execution. While children run the node waits as a row, with what was said so far in
`details`; so each step of the conversation is an attempt, with its own row, and a crash repeats at most the last one.
"""

import json
import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from src.core.errors import Problem
from src.core.outcome import Child, Context, Failed, Json, NodeError, Outcome, Succeeded, WaitFor, Waiting
from src.core.values import plain_object
from src.json_schema import check_schema, problems_in
from src.nodes.chat import ModelError, ModelNode, Reply, Spent, chat
from src.nodes.config import NodeContext
from src.nodes.outward import FieldProblem, Template, Templates, filled
from src.nodes.tools import Tools, read_call, told_of
from src.outside.errors import OutsideError

REPAIRS = 2
"""How often an answer that does not fit is sent back. A model that does not mend it the second time rarely does."""
MAX_TOLD = 10
"""Problems that the model is told of at once."""
MAX_SAID_BYTES = 2 * 1024 * 1024
"""Of a conversation, in a row."""
CONCURRENCY = 8
FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


def _is_schema(schema: Context) -> Context:
    check_schema(schema)
    return schema


class Said:
    """What was said so far, and what is under way. Goes through a row, as plain JSON, from one attempt to the next."""

    def __init__(self, kept: Context) -> None:
        self.messages: list[Context] = list(kept["messages"])
        self.steps: int = kept.get("steps", 0)
        """Times that the model has called tools."""
        self.started: int = kept.get("started", 0)
        """Children so far."""
        self.open: list[Json] = list(kept.get("open", ()))
        """The calls that wait for a child, in the order of the children."""

    @property
    def kept(self) -> Context:
        kept = {"messages": self.messages, "steps": self.steps, "started": self.started, "open": self.open}
        return plain_object({"conversation": kept}, max_bytes=MAX_SAID_BYTES)

    def hear(self, ends: list[Context]) -> None:
        """The children have ended."""
        for call_id, end in zip(self.open, ends[len(ends) - len(self.open) :], strict=True):
            self.answer(call_id, told_of(end))
        self.open = []

    def answer(self, call_id: Json, text: str) -> None:
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})

    def correct(self, reply: Reply, problems: list[Problem]) -> None:
        told = "; ".join(f"{each.pointer or '/'}: {each.detail}" for each in problems[:MAX_TOLD])
        sent_back = f"That does not fit: {told}. Answer again, with the corrected JSON and nothing else."
        self.messages += [reply.message, {"role": "user", "content": sent_back}]


class Conversation(ModelNode):
    prompt: Template | None = None
    messages: Templates = None
    system: Template | None = None
    json_schema: Annotated[dict[str, Json], AfterValidator(_is_schema)] | None = None
    tools: Tools = Field([])
    max_steps: int = Field(10, ge=1, le=100)
    """Times that the model may call tools; then it must answer."""
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError('expected either "prompt" or "messages"')
        return self

    def call(self, context: NodeContext) -> Outcome:
        spent = Spent(self.named_model(context, context.outside.models.model, "LLM_MODEL"))
        said = self._so_far(context)
        try:
            return self._go_on(context, said, spent)
        except ModelError as refused:
            return Failed(refused.error, usage=spent.usage, details=said.kept)
        except OutsideError as error:
            return Failed(error.told, usage=spent.usage, details=said.kept)

    def _so_far(self, context: NodeContext) -> Said:
        visit = context.visit
        kept = visit.waited.details.get("conversation") if visit.waited is not None else None
        if kept is None:
            return Said({"messages": opening(self.system, self.messages, self.prompt, context)})
        said = Said(kept)
        if visit.waited is not None and visit.waited.reason is WaitFor.CHILD:
            said.hear(visit.answer or [])
        return said

    def _go_on(self, context: NodeContext, said: Said, spent: Spent) -> Outcome:
        """Until the model has answered, or children are to run."""
        repairs, deadline = REPAIRS, self.deadline(context)
        while True:
            reply = chat(self, context, self._body(said, spent.model), spent, deadline)
            if reply.tool_calls and self._may_call(said):
                children = self._called(reply, said, context)
                if children:
                    return self._waiting(children, said, spent)
                continue
            value, problems = self._fitting(reply)
            if not problems:
                return Succeeded({self.key: value}, usage=spent.usage)
            if not repairs:
                break
            repairs -= 1
            said.correct(reply, problems)
        told = "; ".join(f"{each.pointer or '/'}: {each.detail}" for each in problems[:MAX_TOLD])
        error = NodeError("BadAnswer", f"the answer does not fit json_schema: {told}")
        return Failed(error, usage=spent.usage, output={self.key: reply.text})

    def _may_call(self, said: Said) -> bool:
        return bool(self.tools) and said.steps < self.max_steps

    def _called(self, reply: Reply, said: Said, context: NodeContext) -> list[Child]:
        """The executions that the model asks for. Calls that make no sense are answered at once."""
        said.steps += 1
        said.messages.append(reply.message)
        children = []
        for call in reply.tool_calls:
            asked = read_call(call, self.tools, context)
            if isinstance(asked, str):
                said.answer(call.get("id"), f"error: {asked}")
            else:
                said.open.append(call.get("id"))
                children.append(asked)
        return children

    def _waiting(self, children: list[Child], said: Said, spent: Spent) -> Waiting:
        first = said.started
        said.started += len(children)
        details = {"concurrency": CONCURRENCY, "on_error": "collect", "first_item": first, **said.kept}
        return Waiting(WaitFor.CHILD, None, details, usage=spent.usage, children=children)

    def _body(self, said: Said, model: str) -> Context:
        body: Context = {"model": model, "messages": said.messages}
        if self.json_schema is not None:
            wanted = {"name": "answer", "schema": self.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if self.tools:
            body["tools"] = [tool.function for tool in self.tools]
            if not self._may_call(said):
                body["tool_choice"] = "none"
        tuning: dict[str, Any] = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return body | {name: value for name, value in tuning.items() if value is not None}

    def _fitting(self, reply: Reply) -> tuple[Json, list[Problem]]:
        """What the reply says, and what is wrong with that."""
        if reply.tool_calls:
            return None, [Problem("", "no tool can be called any more: answer with what is known")]
        if self.json_schema is None:
            return reply.text, []
        fenced = FENCE.fullmatch(reply.text)
        try:
            value = json.loads(fenced[1] if fenced else reply.text)
        except (ValueError, RecursionError) as error:
            cut = " (it was cut off at max_tokens)" if reply.finish_reason == "length" else ""
            return None, [Problem("", f"expected JSON and nothing else: {error}{cut}")]
        return value, problems_in(value, self.json_schema)


def opening(system: str | None, messages: Json, prompt: str | None, context: NodeContext) -> list[Context]:
    """What the conversation begins with. Raises FieldProblem."""
    said: list[Context] = []
    if system is not None:
        said.append({"role": "system", "content": as_text(filled(system, context, "system"))})
    if prompt is not None:
        return [*said, {"role": "user", "content": as_text(filled(prompt, context, "prompt"))}]
    given = filled(messages, context, "messages")
    if not (isinstance(given, list) and given and all(isinstance(each, dict) and "role" in each for each in given)):
        raise FieldProblem("messages", 'expected a list of {"role", "content"}')
    return said + given


def as_text(value: Json) -> str:
    """Models read JSON, too."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
