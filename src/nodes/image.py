"""`image`: let a model draw, and put the picture into the context.

`{"type": "image", "prompt": "A lighthouse, {{ context.style }}", "size": "1024x1024"}`. Any endpoint that speaks
OpenAI's `/images/generations` will do. The answer stands under `result_key` as `{"images": [...], "model"}`, each image
with `base64` or `url`. A prompt that a content policy refuses needs a person.
"""

from typing import Literal

from pydantic import Field

from src.core.outcome import Context, Failed, Json, NodeError, Outcome, Succeeded
from src.nodes.chat import ModelError, ModelNode, Spent
from src.nodes.config import NodeContext
from src.nodes.conversation import as_text
from src.nodes.outward import Template, filled
from src.outside.errors import OutsideError


class Image(ModelNode):
    type: Literal["image"]
    prompt: Template
    size: str | None = Field(None, pattern=r"^(auto|[0-9]{2,5}x[0-9]{2,5})$")
    count: int = Field(1, ge=1, le=10)

    def call(self, context: NodeContext) -> Outcome:
        spent = Spent(self.named_model(context, context.outside.models.image_model, "LLM_IMAGE_MODEL"))
        body = {"model": spent.model, "prompt": as_text(filled(self.prompt, context, "prompt")), "n": self.count}
        try:
            size = {"size": self.size} if self.size else {}
            answer = self.post(context, "/images/generations", body | size, self.deadline(context))
            spent.add(answer.get("usage"), None)
            images = [_image(each) for each in answer["data"]]
        except ModelError as refused:
            return Failed(refused.error)
        except OutsideError as error:
            return Failed(error.told)
        except (LookupError, TypeError, AttributeError):
            return Failed(NodeError("BadAnswer", "the answer has no images"), usage=spent.usage)
        return Succeeded({self.key: {"images": images, "model": spent.model}}, usage=spent.usage)


def _image(told: Json) -> Context:
    """Raises LookupError, TypeError for what is no image."""
    image = {"base64": told["b64_json"]} if told.get("b64_json") else {"url": told["url"]}
    return image | ({"revised_prompt": told["revised_prompt"]} if told.get("revised_prompt") else {})
