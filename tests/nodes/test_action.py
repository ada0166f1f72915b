"""`action`: the workflow author's Python, run in the sandbox, and what its changes, prints and errors become."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import DefinitionError
from src.core.outcome import ErrorClass
from src.sandbox.executor import RefusingExecutor
from tests.nodes.visits import Json, failed, kinds, succeeded


def action(code: str, **fields: Any) -> Json:
    return {"type": "action", "code": code, **fields}


def problems_of(code: str, **fields: Any) -> dict[str, str]:
    with pytest.raises(DefinitionError) as caught:
        kinds().read({"id": "node", **action(code, **fields)})
    return {found.pointer: found.detail for found in caught.value.problems}


# Changes.


def test_the_keys_that_have_another_value_are_the_output() -> None:
    code = "context['new'] = 1\ncontext['old'] = 2\ncontext['same'] = context['same']"

    assert succeeded(action(code), {"old": 1, "same": 3}).output == {"new": 1, "old": 2}


def test_a_change_deep_inside_a_value_is_a_change() -> None:
    code = "context['order']['lines'].append({'n': 2})"

    output = succeeded(action(code), {"order": {"lines": [{"n": 1}]}, "other": {}}).output

    assert output == {"order": {"lines": [{"n": 1}, {"n": 2}]}}


@pytest.mark.parametrize(
    "code",
    [
        "context.update(x=1)",
        "context |= {'x': 1}",
        "context.setdefault('x', 1)",
        "import copy\ncontext['x'] = copy.deepcopy(context)['one']",
        "def change(values):\n    values['x'] = 1\nchange(context)",
        "import threading\nthread = threading.Thread(target=context.__setitem__, args=('x', 1))\n"
        "thread.start()\nthread.join()",
    ],
)
def test_any_way_of_writing_to_the_context_counts(code: str) -> None:
    assert succeeded(action(code), {"one": 1}).output == {"x": 1}


def test_a_context_that_is_bound_anew_counts_too() -> None:
    assert succeeded(action("context = {**context, 'x': 1}"), {"one": 1}).output == {"x": 1}


def test_a_key_that_was_removed_stays_and_is_noted() -> None:
    outcome = succeeded(action("del context['secret']\ncontext['x'] = 1"), {"secret": 1})

    assert outcome.output == {"x": 1}
    assert "removing 'secret' has no effect" in outcome.logs


def test_a_context_can_be_pickled_and_copied() -> None:
    code = "import pickle\ncontext['x'] = pickle.loads(pickle.dumps(context))['one']"

    assert succeeded(action(code), {"one": 1}).output == {"x": 1}


def test_code_that_changes_nothing_has_no_output() -> None:
    assert succeeded(action("x = 1"), {"a": 1}).output == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("b'1'", "context['x'] is not JSON: Object of type bytes"),
        ("{1, 2}", "context['x'] is not JSON: Object of type set"),
        ("float('nan')", "context['x'] is not JSON"),
        ("{(1, 2): 3}", "context['x'] is not JSON: keys must be"),
        ("object()", "context['x'] is not JSON: Object of type object"),
        ("[[[print]]]", "context['x'] is not JSON"),
    ],
)
def test_a_result_that_is_not_json_names_its_key(value: str, said: str) -> None:
    failure = failed(action(f"context['fine'] = 1\ncontext['x'] = {value}"))

    assert said in failure.error.message
    assert failure.error.error_class is ErrorClass.PERMANENT


def test_a_key_that_is_no_text_is_named() -> None:
    assert "context[1]: keys are strings" in failed(action("context[1] = 2")).error.message


# Prints.


def test_what_is_printed_stands_in_the_logs() -> None:
    code = "import sys\nprint('größer', 1)\nprint('second', file=sys.stderr)\ncontext['x'] = 1"

    outcome = succeeded(action(code))

    assert sorted(outcome.logs.splitlines()) == ["größer 1", "second"]


def test_what_was_printed_before_an_error_is_kept() -> None:
    assert failed(action("print('here')\nraise ValueError('there')")).logs == "here\n"


def test_logs_are_kept_up_to_a_limit_and_say_what_was_cut() -> None:
    outcome = succeeded(action("print('x' * 100_000)\ncontext['x'] = 1"))

    assert outcome.output == {"x": 1}
    assert len(outcome.logs) < 70_000
    assert "34,465 more characters" in outcome.logs


def test_endless_output_ends_the_code() -> None:
    failure = failed(action("while True: print('x' * 100_000)"))

    assert failure.error.type == "OutputLimit"
    assert failure.error.error_class is ErrorClass.PERMANENT


# Errors.


def test_an_exception_is_a_permanent_failure_with_its_line() -> None:
    failure = failed(action("a = 1\n\nb = a / 0\n"))

    assert (failure.error.type, failure.error.message) == ("ZeroDivisionError", "division by zero")
    assert failure.error.error_class is ErrorClass.PERMANENT
    assert 'File "<node>", line 3' in failure.error.traceback
    assert "b = a / 0" in failure.error.traceback


def frames(traceback: str) -> list[str]:
    return [text.strip() for text in traceback.splitlines() if text.strip().startswith("File ")]


def test_the_traceback_of_nested_functions_has_the_lines_of_the_code_alone() -> None:
    code = "def outer():\n    inner()\n\ndef inner():\n    raise KeyError('total')\n\nouter()"

    assert frames(failed(action(code)).error.traceback) == [
        'File "<node>", line 7, in <module>',
        'File "<node>", line 2, in outer',
        'File "<node>", line 5, in inner',
    ]


def test_the_traceback_leaves_out_the_frames_of_libraries() -> None:
    traceback = failed(action("import json\n\njson.loads('{')")).error.traceback

    assert frames(traceback) == ['File "<node>", line 3, in <module>']
    assert "runner.py" not in traceback


def test_both_exceptions_of_a_raise_from_are_told() -> None:
    code = (
        "import json\ntry:\n    json.loads('{')\nexcept ValueError as error:\n"
        "    raise RuntimeError('the answer is broken') from error"
    )

    traceback = failed(action(code)).error.traceback

    assert frames(traceback) == ['File "<node>", line 3, in <module>', 'File "<node>", line 5, in <module>']
    assert "JSONDecodeError" in traceback
    assert "direct cause" in traceback


def test_an_exception_that_cannot_be_printed_is_told_all_the_same() -> None:
    code = "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd"

    assert failed(action(code)).error.type == "Odd"


@pytest.mark.parametrize(("code", "type_"), [("import sys\nsys.exit(1)", "SystemExit"), ("exit()", "SystemExit")])
def test_leaving_is_an_error(code: str, type_: str) -> None:
    assert failed(action(code)).error.type == type_


@pytest.mark.parametrize(
    "code", ["import os\nos._exit(0)", "import os\nos._exit(3)", "import os\nos.kill(os.getpid(), 9)"]
)
def test_code_that_ends_its_process_has_crashed(code: str) -> None:
    failure = failed(action(f"print('so far')\n{code}"))

    assert failure.error.type == "Crashed"
    assert failure.error.error_class is ErrorClass.PERMANENT


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.close(1)",
        "import os\nos.close(1)\nos.close(2)",
        "import sys\nsys.stdout.close()",
        "import sys\nsys.stdout = None",
        "import io, sys\nsys.stdout = io.StringIO()",
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()): print('caught')",
    ],
)
def test_code_that_closes_its_output_keeps_its_result(code: str) -> None:
    assert succeeded(action(f"print('before')\n{code}\ncontext['x'] = 1")).output == {"x": 1}


# Time.


def test_code_that_runs_too_long_is_ended_and_the_failure_may_pass() -> None:
    started = time.monotonic()

    failure = failed(action("print('waiting')\nimport time\ntime.sleep(60)", timeout=0.5))

    assert time.monotonic() - started < 10
    assert (failure.error.type, failure.error.error_class) == ("Timeout", ErrorClass.TRANSIENT)
    assert "0.5 s" in failure.error.message


def test_code_that_ignores_every_signal_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, signal, subprocess, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
forked = os.fork()
if forked:
    open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}} {{forked}}")
while True:
    time.sleep(1)
"""

    failure = failed(action(code, timeout=1.5))

    assert failure.error.type == "Timeout"
    started = pids.read_text().split()
    assert len(started) == 3
    assert wait_until(lambda: not any(lives(int(pid)) for pid in started)), "something lives on"


def test_a_child_that_was_left_behind_does_not_hold_up_the_result(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"""
import os, time
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
open({str(pid)!r}, "w").write(str(child))
context["x"] = 1
"""

    assert succeeded(action(code, timeout=5)).output == {"x": 1}
    assert wait_until(lambda: not lives(int(pid.read_text())))


def lives(pid: int) -> bool:
    """A zombie that nobody has collected yet does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(holds: Any, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


# The answer of older code, printed as its last line.


def printed(**answer: Any) -> str:
    return f"import json\nprint('first')\nprint(json.dumps({answer!r}))"


def test_updates_that_older_code_prints_are_its_output() -> None:
    code = printed(status="success", context_updates={"total": 5}, message="done")

    assert succeeded(action(f"context['x'] = 1\n{code}")).output == {"x": 1, "total": 5}


def test_an_error_that_older_code_prints_fails_its_node() -> None:
    failure = failed(action(printed(status="error", context_updates={}, message="no PDF")))

    assert failure.error.message == "no PDF"


@pytest.mark.parametrize(
    "line", ["{'context_updates': 1}", "{'updates': {}}", "{'context_updates': [1]}", "['context_updates']"]
)
def test_what_only_looks_like_such_an_answer_is_just_printed(line: str) -> None:
    assert succeeded(action(f"import json\nprint(json.dumps({line}))")).output == {}


def test_updates_that_are_larger_than_the_logs_are_not_lost() -> None:
    outcome = succeeded(action(printed(status="success", context_updates={"text": "x" * 100_000}, message="")))

    assert outcome.output == {"text": "x" * 100_000}


# The pipe that the result goes through is open to the code: whatever comes out of it is taken apart with care.

FORGED = {
    "a list": b"[]",
    "nothing": b"",
    "no JSON": b"{changes}",
    "no text": b"\xff\xfe\x00",
    "two answers": b"{}{}",
    "an endless list": b"[" * 60_000,
    "a deep list": b'{"changes": {"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}}",
    "an integer of 10,000 digits": b'{"changes": {"a": ' + b"9" * 10_000 + b"}}",
}


@pytest.mark.parametrize("answer", FORGED.values(), ids=FORGED.keys())
def test_a_forged_answer_that_cannot_be_read_is_a_crash(answer: bytes) -> None:
    assert failed(forging(answer)).error.type == "Crashed"


@pytest.mark.parametrize(
    "answer",
    [
        {"changes": [1, 2], "written": {"a": 1}},
        {"changes": None, "written": [1, None, [], {}]},
        {"changes": "text", "value": {}, "surprise": 1},
    ],
)
def test_a_forged_answer_of_wrong_types_has_no_output(answer: Json) -> None:
    assert succeeded(forging(json.dumps({"result": answer}).encode())).output == {}


@pytest.mark.parametrize("error", [{}, {"type": 1, "message": None, "line": "x", "traceback": []}, {"type": [[]]}])
def test_a_forged_error_is_an_error(error: Json) -> None:
    failure = failed(forging(json.dumps({"result": {"error": error}}).encode()))

    assert isinstance(failure.error.type, str)
    assert isinstance(failure.error.message, str)


def forging(answer: bytes) -> Json:
    framed = len(answer).to_bytes(8, "big") + answer
    return action(f"import os, sys\nos.write(int(sys.argv[-1]), {framed!r})\nos._exit(0)")


# Saving.


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = (", 1),
        ("a = 1\nb = 2\nc = = 3", 3),
        ("if True:\npass", 2),
        ("return 1", 1),
        ("a = 1\nawait b", 2),
        ("print 'x'", 1),
    ],
)
def test_code_that_does_not_compile_is_found_at_save_with_its_line(code: str, line: int) -> None:
    found = problems_of(code)

    assert found.keys() == {"/code"}
    assert f"line {line}:" in found["/code"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"memory_mb": 31}, "/memory_mb"),
        ({"memory_mb": "much"}, "/memory_mb"),
        ({"timeout": 0}, "/timeout"),
        ({"timeout": -1}, "/timeout"),
        ({"timeout": 86_401}, "/timeout"),
        ({"network": "perhaps"}, "/network"),
        ({"cod": "pass"}, "/cod"),
        ({"retry": {"max_attempts": 0}}, "/retry/max_attempts"),
        ({"retry": {"jitter": "some"}}, "/retry/jitter"),
        ({"retry": {"often": 1}}, "/retry/often"),
        ({"label": 1}, "/label"),
        ({"queue": []}, "/queue"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: Json, pointer: str) -> None:
    assert problems_of("pass", **fields).keys() == {pointer}


def test_an_unknown_field_is_refused_with_those_that_there_are() -> None:
    assert "code, network, memory_mb" in problems_of("pass", colour="red")["/colour"]


def test_code_is_needed() -> None:
    with pytest.raises(DefinitionError) as caught:
        kinds().read({"id": "node", "type": "action"})

    assert [(found.pointer, found.detail) for found in caught.value.problems] == [("/code", "this field is needed")]


def test_where_code_is_refused_the_node_fails_and_says_why() -> None:
    failure = failed(action("context['x'] = 1"), sandbox=RefusingExecutor("the server is open to others"))

    assert failure.error.message == "the server is open to others"
    assert failure.error.error_class is ErrorClass.PERMANENT
