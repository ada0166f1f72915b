"""`agent`: a language model that may call workflows as its tools, step by step, before it answers.

`{"type": "agent", "system": "You check mails.", "prompt": "{{ context.mail }}", "tools": ["check link", {"workflow":
"look up number", "description": "Who owns a phone number?", "parameters": {"type": "object", "properties": {"number":
{"type": "string"}}, "required": ["number"]}}], "max_steps": 5}`. Each call is a child execution; those of one step run
side by side, and their results, or errors, go back to the model. After `max_steps` it must answer. All of it is rows:
an attempt for each step, with what was said in `details` and what it took in `usage`, and an execution for each call.
"""

from typing import Literal

from pydantic import Field

from src.nodes.conversation import Conversation
from src.nodes.tools import Tools


class Agent(Conversation):
    type: Literal["agent"]
    tools: Tools = Field(min_length=1)
