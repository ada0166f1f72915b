"""`llm`: ask a language model, and put its answer into the context.

`{"type": "llm", "system": "You classify mails.", "prompt": "{{ context.mail }}", "json_schema": {"type": "object",
"properties": {"topic": {"type": "string"}}, "required": ["topic"]}}`. With `json_schema` the answer is JSON that fits;
one that does not is sent back with what is wrong, twice. Any endpoint that speaks OpenAI's chat completions will do:
`base_url` and `api_key` of the node, or the operator's. An answer that a content policy has stopped needs a person.
What the attempt took stands in `usage` of its row. With `tools` it may call workflows first: see `agent`.
"""

from typing import Literal

from src.nodes.conversation import Conversation


class Llm(Conversation):
    type: Literal["llm"]
