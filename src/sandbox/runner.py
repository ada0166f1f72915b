"""Runs an author's code, and is what that code can say to the server. Imports nothing of Nova.

`python -I runner.py REQUEST_FD ANSWER_FD` runs one request in a process of its own. Messages are eight bytes of length
and JSON: in comes `{"run": ...}`, out goes `{"result": ...}`, after any number of `{"progress": ...}` and of
`{"http": ...}`, each answered by another. What the code prints goes where standard output and error go. The author's
code is compiled as `<node>`.
"""

import ast
import base64
import contextlib
import importlib
import json
import linecache
import os
import sys
import threading
import traceback
import types

FILE = "<node>"
MISSING = object()
HEAD = 8
MAX_PIECE = 1024 * 1024
CLIENT_ERROR, SERVER_ERROR = 400, 500
PASSING_STATUSES = (408, 425, 429)
ENCODE, READ, WRITE = json.JSONEncoder(allow_nan=False).encode, os.read, os.write
"""Taken before the code can put others in their place."""


class Transient(Exception):
    """The code says: it may pass, try again, after `retry_after_seconds` at the earliest."""

    def __init__(self, *args, retry_after_seconds=None):
        super().__init__(*args)
        self.retry_after_seconds = retry_after_seconds


class Permanent(Exception):
    """The code says: it will fail again."""


class NeedsReview(Exception):
    """The code says: a person must look at it, with `output` in hand: what the node would have changed."""

    def __init__(self, *args, output=None):
        super().__init__(*args)
        self.output = output


class Line:
    """The two pipes to the server. One question at a time."""

    def __init__(self, request, answer):
        self._request = request
        self._answer = answer
        self._lock = threading.Lock()

    def read(self):
        return json.loads(self._read(int.from_bytes(self._read(HEAD), "big")))

    def write(self, message):
        content = ENCODE(message).encode()
        left = memoryview(len(content).to_bytes(HEAD, "big") + content)
        while left:
            left = left[WRITE(self._answer, left) :]

    def tell(self, message):
        with self._lock:
            self.write(message)

    def ask(self, message):
        with self._lock:
            self.write(message)
            try:
                return self.read()
            except EOFError:
                raise Permanent("where this code runs, nobody answers what it asks") from None

    def _read(self, length):
        content = bytearray()
        while len(content) < length:
            piece = READ(self._request, min(length - len(content), MAX_PIECE))
            if not piece:
                raise EOFError("the server is gone")
            content += piece
        return bytes(content)


class Http:
    """`http` in the code: calls that the server makes for it, as far as it may."""

    def __init__(self, line):
        self._line = line

    def request(self, method, url, *, headers=None, query=None, json=None, body=None, timeout=None):
        """What the other side answers, whatever its status. Raises Transient or Permanent where nothing came."""
        call = {"method": method, "url": url, "headers": dict(headers or {}), "query": dict(query or {})}
        if json is not None:
            call["text"] = dump(json)
            call["headers"].setdefault("Content-Type", "application/json")
        elif isinstance(body, bytes | bytearray):
            call["base64"] = base64.b64encode(body).decode()
        elif body is not None:
            call["text"] = body
        if timeout is not None:
            call["timeout"] = timeout
        answer = self._line.ask({"http": call})["http"]
        if "error" in answer:
            raise failure_of(answer["error"])
        return Response(answer)


class Response:
    """What `http.request` answers."""

    def __init__(self, answer):
        self.status = answer["status"]
        self.headers = {name.lower(): value for name, value in answer["headers"].items()}
        self.content = base64.b64decode(answer["base64"]) if "base64" in answer else answer["text"].encode()

    @property
    def text(self):
        return self.content.decode(errors="replace")

    @property
    def ok(self):
        return self.status < CLIENT_ERROR

    def json(self):
        return json.loads(self.content)

    def raise_for_status(self):
        if self.ok:
            return self
        passes = self.status >= SERVER_ERROR or self.status in PASSING_STATUSES
        raise (Transient if passes else Permanent)(f"the answer has status {self.status}: {self.text[:200]}")


def failure_of(error):
    if error.get("class") == "transient":
        return Transient(error.get("message"), retry_after_seconds=error.get("retry_after_seconds"))
    return Permanent(error.get("message"))


def names_for(line):
    """What the code finds beside its context."""

    def progress(fraction, text=""):
        line.tell({"progress": {"fraction": min(1.0, max(0.0, float(fraction))), "text": str(text)}})

    return {
        "http": Http(line),
        "progress": progress,
        "Transient": Transient,
        "Permanent": Permanent,
        "NeedsReview": NeedsReview,
    }


DATABASE = {"host": "host", "port": "port", "dbname": "name", "user": "user", "password": "password"}
"""Arguments of psycopg2 -> credentials, without their `db_`."""


class Context(dict):
    """The context as the author's code sees it: a dict that remembers which keys were assigned."""

    def __init__(self, values):
        super().__init__(values)
        self.written = set()

    def __setitem__(self, key, value):
        self.written.add(key)
        super().__setitem__(key, value)

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others, **values):
        for key, value in dict(*others, **values).items():
            self[key] = value

    def __ior__(self, other):
        self.update(other)
        return self

    def __reduce__(self):
        return dict, (dict(self),)


class Credentials(dict):
    """What older code gets from `src.models.credentials`: `found.email_user` and `found["email_user"]`."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no credential {name!r}; there are: {', '.join(sorted(self))}") from None


def serve_older_code(values):
    """Make `from src.models.credentials import ...` work, with the credentials of this run."""
    found = Credentials(values)

    def get_email_credentials(client_slug=None):
        if client_slug not in (None, found.get("client_slug")):
            raise LookupError(f"this run has no credentials of {client_slug!r}")
        return found

    def get_database_connection(client_slug=None):
        own = get_email_credentials(client_slug)
        psycopg2 = importlib.import_module("psycopg2")  # where the operator has named it in SANDBOX_PACKAGES
        return psycopg2.connect(**{name: getattr(own, f"db_{key}") for name, key in DATABASE.items()})

    for name in ("src", "src.models", "src.models.credentials"):
        module = sys.modules[name] = types.ModuleType(name)
        module.__path__ = []
    module.get_email_credentials, module.get_database_connection = get_email_credentials, get_database_connection


def main():
    line = Line(int(sys.argv[1]), int(sys.argv[2]))
    answer = answer_to(line.read()["run"], names_for(line))
    flush()
    line.tell({"result": answer})
    os._exit(0)  # neither exit hooks nor lingering threads of the code hold the answer back


def flush():
    with contextlib.suppress(AttributeError, OSError, ValueError):  # the code has closed its output, or replaced it
        sys.stdout.flush()


def answer_to(request, names, look=lambda _: None):
    """`names` are there for the code to use; `look` is shown its code object before that runs."""
    code, values = request["code"], request["context"]
    if request.get("credentials"):
        serve_older_code(request["credentials"])
    before = {key: dump(value) for key, value in values.items()}
    context = Context(values)
    try:
        answer, after = run(code, request["kind"], {**names, "context": context, "__name__": "__node__"}, look)
        answer["changes"] = changes_of(after, before)
        written = context.written if after is context else context.written | (after.keys() - before.keys())
        answer["written"] = [key for key in written if isinstance(key, str)]
        return answer
    except BaseException as error:
        return {"error": told(error, code)}


def run(code, kind, namespace, look):
    context = namespace["context"]
    expression = compiled_expression(code) if kind == "decision" else None
    if expression is None:
        compiled = compile(code, FILE, "exec")
        look(compiled)
        exec(compiled, namespace)
        bound = namespace.get("context")
        return {}, bound if isinstance(bound, dict) else context
    look(expression)
    value = eval(expression, namespace)
    return {"value": json.loads(dump_named("the value of the expression", value))}, context


def compiled_expression(code):
    try:
        return compile(ast.parse(code.strip(), FILE, "eval"), FILE, "eval")
    except SyntaxError:
        return None


def changes_of(context, before):
    changes = {}
    for key, value in dict(context).items():
        if not isinstance(key, str):
            raise TypeError(f"context[{key!r}]: keys are strings, this one is {type(key).__name__}")
        text = dump_named(f"context[{key!r}]", value)
        if text != before.get(key, MISSING):
            changes[key] = json.loads(text)
    removed = [key for key in before if key not in context]
    if removed:
        print(f"[removing {', '.join(map(repr, removed))} has no effect: a key can be set to None, not taken away]")
    return changes


def dump(value):
    return json.dumps(value, allow_nan=False)


def dump_named(name, value):
    try:
        return dump(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{name} is not JSON: {error}") from None


def told(error, code):
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    summary = traceback.TracebackException.from_exception(error)
    own_frames(summary)
    lines = [frame.lineno for frame in summary.stack]
    return {
        "type": type(error).__name__,
        "message": str(summary),
        "line": lines[-1] if lines else getattr(error, "lineno", None),
        "traceback": "".join(summary.format()) if lines else "",
        **said(error),
    }


def said(error):
    """What a Transient or a NeedsReview says beside its message, where that is JSON."""
    names = [name for name in ("retry_after_seconds", "output") if isinstance(error, Transient | NeedsReview)]
    with contextlib.suppress(TypeError, ValueError, RecursionError):
        return json.loads(dump({name: getattr(error, name) for name in names if hasattr(error, name)}))
    return {}


def own_frames(summary):
    """Keep the frames of the author's code, here and in the exceptions that led to this one."""
    while summary is not None:
        summary.stack = traceback.StackSummary.from_list([frame for frame in summary.stack if frame.filename == FILE])
        summary = summary.__cause__ or summary.__context__


if __name__ == "__main__":
    main()
