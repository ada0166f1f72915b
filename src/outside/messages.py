"""What is asked of the other side, and what it has answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from src.core.outcome import Json

SCHEMES = {"http": 80, "https": 443}
DEFAULT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 86_400.0
"""Of what a host may ask for: a year would be a run that never ends."""


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = DEFAULT_SECONDS
    """For all of it: looking up, connecting, redirects, the last byte."""
    follows: bool = True
    """Redirects."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Looked up in any case of letters."""
    body: bytes
    charset: str = "utf-8"
    place: str = ""
    """Host and port of whoever has answered."""

    @property
    def text(self) -> str:
        try:
            return self.body.decode(self.charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    @property
    def is_text(self) -> bool:
        """It can be read without loss."""
        try:
            return "\x00" not in self.body.decode(self.charset)
        except (LookupError, UnicodeDecodeError):
            return False

    @property
    def is_json(self) -> bool:
        """It has a body that says so of itself: an answer to HEAD has none, nor has 204."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return bool(self.body) and (kind == "application/json" or kind.endswith("+json"))

    def json(self) -> Json:
        """Raises ValueError for what is not JSON."""
        try:
            return json.loads(self.body)
        except (UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from None

    @property
    def retry_after_seconds(self) -> float | None:
        """RFC 9110, 10.2.3: a number of seconds, or a moment."""
        asked = self.headers.get("retry-after", "").strip()
        if asked.isdecimal():
            return min(float(asked), LONGEST_WAIT_SECONDS)
        try:
            moment = parsedate_to_datetime(asked)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), LONGEST_WAIT_SECONDS)
