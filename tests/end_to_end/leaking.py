"""Functions that handle secrets as carelessly as they can."""

import base64
import json
import logging
import urllib.parse
from typing import Any

Context = dict[str, Any]
logger = logging.getLogger(__name__)


def log_and_answer(context: Context) -> Context:
    secret = context["token"]
    logger.warning("calling with %s and %s", secret, base64.b64encode(secret.encode()).decode())
    logger.warning("calling", extra={"headers": {"authorization": f"Bearer {secret}"}})
    return {**context, "url": f"https://example.com/?t={urllib.parse.quote(secret)}", "seen": {secret: [secret]}}


def log_and_raise(context: Context) -> None:
    try:
        json.loads(context["password"])
    except ValueError:
        logger.exception("not JSON: %s", context["password"])
        raise RuntimeError(f"{context['password']!r} is no JSON") from None
