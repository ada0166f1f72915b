"""Runs one request in the process it is started in: `python -I runner.py RESULT_FD`. Imports nothing of Nova.

The request comes as JSON on standard input; the answer goes to RESULT_FD, as eight bytes of length and JSON; what the
code prints goes where standard output and error go. The author's code is compiled as `<node>`.
"""

import ast
import contextlib
import json
import linecache
import os
import sys
import traceback

FILE = "<node>"
MISSING = object()


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


def main():
    request = json.load(sys.stdin)
    result = os.fdopen(int(sys.argv[1]), "wb")
    answer = answer_to(request["code"], request["kind"], request["context"])
    text = json.dumps(answer).encode()
    flush()
    with result:
        result.write(len(text).to_bytes(8, "big") + text)
    os._exit(0)  # neither exit hooks nor lingering threads of the code hold the answer back


def flush():
    with contextlib.suppress(AttributeError, OSError, ValueError):  # the code has closed its output, or replaced it
        sys.stdout.flush()


def answer_to(code, kind, values):
    before = {key: dump(value) for key, value in values.items()}
    context = Context(values)
    try:
        answer, after = run(code, kind, context)
        answer["changes"] = changes_of(after, before)
        written = context.written if after is context else context.written | (after.keys() - before.keys())
        answer["written"] = [key for key in written if isinstance(key, str)]
        return answer
    except BaseException as error:
        return {"error": told(error, code)}


def run(code, kind, context):
    namespace = {"context": context, "__name__": "__node__"}
    expression = compiled_expression(code) if kind == "decision" else None
    if expression is None:
        exec(compile(code, FILE, "exec"), namespace)
        bound = namespace.get("context")
        return {}, bound if isinstance(bound, dict) else context
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
    }


def own_frames(summary):
    """Keep the frames of the author's code, here and in the exceptions that led to this one."""
    while summary is not None:
        summary.stack = traceback.StackSummary.from_list([frame for frame in summary.stack if frame.filename == FILE])
        summary = summary.__cause__ or summary.__context__


if __name__ == "__main__":
    main()
