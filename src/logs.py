"""The log: lines to stdout, one formatter for Nova's, uvicorn's, Celery's and Alembic's. What is told is theirs to say.

No line holds a value of a context. A database may quote one in its complaints, so of an exception the first line is
told, and where it happened. Nor does any hold a secret that this process has met, whoever writes it and through what.
"""

import logging
import re
import socket
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from traceback import TracebackException, format_exception
from typing import IO, Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from src.core.about import ids
from src.core.in_use import IN_USE
from src.core.masking import Mask
from src.core.values import visible

Format = Literal["auto", "json", "console"]
HOST = socket.gethostname()
MAX_REASON = 500
"""Characters of an exception's message."""
JSON = (str, dict, list, int, float)
END_OF_LINE = re.compile(r"\n|\\n")
"""In a message, and in the `repr` of one."""
TRACEBACK = "Traceback (most recent call last):\n"
HIDDEN = frozenset({*RESERVED_ATTRS, "data", "color_message", "message", "asctime"})
"""What other libraries hang on their records: Celery the arguments of tasks, uvicorn the colours of a terminal."""

ABOUT_THEMSELVES = ("sqlalchemy", "asyncio", "httpx2", "amqp", "kombu", "alembic.runtime.plugins")
"""Libraries whose INFO is for who works on them."""


class _Lines:
    """What a line says, whatever it looks like."""

    service: str

    def told(self, record: logging.LogRecord) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
            "level": record.levelname.lower(),
            "service": self.service,
            "event": _event(record.getMessage()),
            "logger": record.name,
            "worker": f"{HOST}:{record.process}",
        }
        fields |= ids()
        task = record.__dict__.get("data")
        if isinstance(task, dict) and "id" in task:  # Celery's own lines about a task
            fields |= {"task_id": task["id"], "task_name": task.get("name")}
        fields |= {name: value for name, value in record.__dict__.items() if name not in HIDDEN}
        if record.exc_info and record.exc_info[1]:
            fields["exception"] = _exception(record.exc_info[1])
        texts = {name: value for name, value in fields.items() if isinstance(value, JSON)}
        if IN_USE.masked(texts) is texts:  # one look at the whole line: hardly any holds a secret
            return fields
        return {name: IN_USE.masked(value) for name, value in fields.items()}


class _Json(JsonFormatter, _Lines):
    def __init__(self, service: str) -> None:
        super().__init__(json_ensure_ascii=False, json_default=str)
        self.service = service

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, _: dict[str, Any]) -> None:
        log_data |= self.told(record)

    def formatException(self, _: Any) -> str:  # noqa: N802 -- the library's name; `told` has it already
        return ""


class _Console(logging.Formatter, _Lines):
    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        told = self.told(record)
        exception = told.pop("exception", "")
        for name in ("service", "logger", "worker"):
            del told[name]
        at, level, event = (told.pop(name) for name in ("timestamp", "level", "event"))
        more = " ".join(f"{name}={value}" for name, value in told.items() if value is not None)
        line = f"{at[11:23]} {level.upper():<7} {event}  {more}".rstrip() + (f"\n{exception}" if exception else "")
        return visible(line)


class _Stream(logging.StreamHandler[IO[str]]):
    """Writes to what `sys.stdout` (or `sys.stderr`) is when the line comes."""

    def __init__(self, name: str) -> None:
        logging.Handler.__init__(self)
        self._of = name

    @property
    def stream(self) -> Any:
        return getattr(sys, self._of)

    @stream.setter
    def stream(self, _: Any) -> None:
        """It follows `sys`."""


def write_logs(
    form: Format, *, service: str, level: int = logging.INFO, of: str = "", to: Literal["stdout", "stderr"] = "stdout"
) -> None:
    """From now on the lines of the logger `of` (the root: of everybody) are written by our formatter."""
    handler = _Stream(to)
    is_console = form == "console" or (form == "auto" and getattr(sys, to).isatty())
    handler.setFormatter(_Console(service) if is_console else _Json(service))
    logger = logging.getLogger(of)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = not of
    for each in ABOUT_THEMSELVES:
        logging.getLogger(each).setLevel(max(level, logging.WARNING))


def keep_out_of_logs(secrets: Mapping[str, str]) -> None:
    """From now on no record holds one of these, or of those that are in use later, whichever handler writes it."""
    IN_USE.hold("settings", Mask(secrets))
    logging.setLogRecordFactory(_masked_record)


def _masked_record(*arguments: Any, **more: Any) -> logging.LogRecord:
    record = logging.LogRecord(*arguments, **more)
    if not IN_USE:
        return record
    said = record.getMessage()
    masked = IN_USE.masked(said)
    if masked is not said:
        record.msg, record.args = masked, ()
    if record.exc_info and record.exc_info[1]:
        told = "".join(format_exception(record.exc_info[1]))
        masked = IN_USE.masked(told)
        if masked is not told:
            record.exc_info, record.exc_text = None, masked
    return record


def take_over_uvicorn(form: Format) -> None:
    """Where uvicorn runs this process it has set up logs of its own: they become lines like all others. Its access log
    ends: there is a line of ours for each request, with its id.
    """
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    write_logs(form, service="web")


def runs_under_uvicorn() -> bool:
    return bool(logging.getLogger("uvicorn").handlers)


def _exception(error: BaseException) -> str:
    """Where it happened, and the first line of what it says, for its causes and for it."""
    parts: list[str] = []
    each: TracebackException | None = TracebackException.from_exception(error)
    while each is not None:
        parts.insert(0, "".join(each.stack.format()) + _first_line("".join(each.format_exception_only())))
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\n".join(parts)


def _event(said: str) -> str:
    """Its first line; of a traceback in words, as uvicorn tells why it cannot start, that of the exception."""
    if not said.startswith(TRACEBACK):
        return _first_line(said)
    lines = said.rpartition(TRACEBACK)[2].splitlines()
    return next((_first_line(each) for each in lines if each and not each[0].isspace()), TRACEBACK.strip())


def _first_line(text: str) -> str:
    return END_OF_LINE.split(text, maxsplit=1)[0][:MAX_REASON]
