"""`llm`: ask a language model, and put its answer into the context.

`{"type": "llm", "system": "You classify mails.", "prompt": "{{ context.mail }}", "json_schema": {"type": "object",
"properties": {"topic": {"type": "string"}}, "required": ["topic"]}}`. With `json_schema` the answer is JSON that fits;
one that does not is sent back with what is wrong, twice. Any endpoint that speaks OpenAI's chat completions will do:
`base_url` and `api_key` of the node, or the operator's. An answer that a content policy has stopped needs a person.
What the attempt took stands in `usage` of its row.
"""

import json
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from src.core.errors import Problem
from src.core.outcome import Context, Failed, Json, NodeError, Outcome, Succeeded
from src.json_schema import check_schema, problems_in
from src.nodes.chat import ModelError, ModelNode, Reply, Spent, chat
from src.nodes.config import NodeContext
from src.nodes.outward import FieldProblem, Template, Templates, filled
from src.outside.errors import OutsideError

REPAIRS = 2
"""How often an answer that does not fit is sent back. A model that does not mend it the second time rarely does."""
MAX_TOLD = 10
"""Problems that the model is told of at once."""
FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)


def _is_schema(schema: Context) -> Context:
    check_schema(schema)
    return schema


class Llm(ModelNode):
    type: Literal["llm"]
    prompt: Template | None = None
    messages: Templates = None
    system: Template | None = None
    json_schema: Annotated[dict[str, Json], AfterValidator(_is_schema)] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError('expected either "prompt" or "messages"')
        return self

    def call(self, context: NodeContext) -> Outcome:
        spent = Spent(self.named_model(context, context.outside.models.model, "LLM_MODEL"))
        try:
            return self._asked(context, spent)
        except ModelError as refused:
            return Failed(refused.error, usage=spent.usage)
        except OutsideError as error:
            return Failed(error.told, usage=spent.usage)

    def _asked(self, context: NodeContext, spent: Spent) -> Outcome:
        messages = opening(self.system, self.messages, self.prompt, context)
        for _ in range(1 + REPAIRS):
            reply = chat(self, context, self._body(messages, spent.model), spent)
            value, problems = self._fitting(reply)
            if not problems:
                return Succeeded({self.key: value}, usage=spent.usage)
            messages += [reply.message, {"role": "user", "content": _sent_back(problems)}]
        error = NodeError("BadAnswer", f"the answer does not fit json_schema: {_list(problems)}")
        return Failed(error, usage=spent.usage, output={self.key: reply.text})

    def _body(self, messages: list[Context], model: str) -> Context:
        body: Context = {"model": model, "messages": messages}
        if self.json_schema is not None:
            wanted = {"name": "answer", "schema": self.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        return body | tuning(self.temperature, self.max_tokens)

    def _fitting(self, reply: Reply) -> tuple[Json, list[Problem]]:
        """What the reply says, and what is wrong with that."""
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


def tuning(temperature: float | None, max_tokens: int | None) -> Context:
    given = {"temperature": temperature, "max_tokens": max_tokens}
    return {name: value for name, value in given.items() if value is not None}


def as_text(value: Json) -> str:
    """Models read JSON, too."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sent_back(problems: list[Problem]) -> str:
    return f"That does not fit: {_list(problems)}. Answer again, with the corrected JSON and nothing else."


def _list(problems: list[Problem]) -> str:
    return "; ".join(f"{problem.pointer or '/'}: {problem.detail}" for problem in problems[:MAX_TOLD])
