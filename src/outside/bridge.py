"""The calls that code in the sandbox asks the server for: its `http.request(...)`, through the same guard."""

import base64
import binascii
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from src.core.outcome import Context, Json
from src.outside.errors import OutsideError, Refused
from src.outside.messages import DEFAULT_SECONDS, Answer, Call

if TYPE_CHECKING:
    from src.outside.outside import Outside


class Bridge:
    def __init__(self, outside: "Outside") -> None:
        self._outside = outside

    def __call__(self, call: Context, seconds: float, cancelled: threading.Event) -> Context:
        """See the sandbox's `HttpBridge`: `call` comes from a stranger, and nothing is raised."""
        try:
            return _told(self._outside.http.send(_read(call, seconds), cancelled))
        except OutsideError as error:
            told = error.told
            wait = {} if told.retry_after_seconds is None else {"retry_after_seconds": told.retry_after_seconds}
            return {"error": {"message": told.message, "class": told.error_class, **wait}}


def _read(call: Mapping[str, Json], seconds: float) -> Call:
    """Raises Refused."""
    asked = call.get("timeout")
    if not isinstance(asked, int | float) or isinstance(asked, bool) or asked <= 0:
        asked = DEFAULT_SECONDS
    return Call(
        method=_text(call, "method"),
        url=_text(call, "url"),
        headers=_texts(call, "headers"),
        query=_query(call),
        body=_body(call),
        timeout_seconds=min(seconds, asked),
    )


def _text(call: Mapping[str, Json], name: str) -> str:
    value = call.get(name)
    if not isinstance(value, str):
        raise Refused(f"{name}: expected a text")
    return value


def _texts(call: Mapping[str, Json], name: str) -> dict[str, str]:
    value = call.get(name) or {}
    if not (isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)):
        raise Refused(f"{name}: expected names with texts")
    return value


def _query(call: Mapping[str, Json]) -> dict[str, Json]:
    value = call.get("query") or {}
    if not isinstance(value, dict) or any(isinstance(each, dict) for each in value.values()):
        raise Refused("query: expected names with texts, numbers, or lists of these")
    return value


def _body(call: Mapping[str, Json]) -> bytes | None:
    if call.get("text") is not None:
        return _text(call, "text").encode("utf-8", "replace")
    if call.get("base64") is None:
        return None
    try:
        return base64.b64decode(_text(call, "base64"), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("base64: expected base64") from None


def _told(answer: Answer) -> Context:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if answer.is_text:
        return {"status": answer.status, "headers": headers, "text": answer.text}
    return {"status": answer.status, "headers": headers, "base64": base64.b64encode(answer.body).decode()}
