"""What the shapes of answers have in common."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Described in the OpenAPI document and built when that is asked for: answers are made without it."""

    model_config = ConfigDict(defer_build=True)
