"""What the workflow of the Procfile's test calls: found in the working directory, by `celery` as by `uvicorn`."""

from typing import Any


def greet(context: dict[str, Any]) -> dict[str, Any]:
    return {"greeting": "hello"}
