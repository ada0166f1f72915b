"""What `src/sandbox/executor.py` promises, kept by the executors that there are."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from src.sandbox.executor import CodeRequest, CodeResult, Level, Limits, RefusingExecutor
from src.sandbox.subprocess_executor import SubprocessExecutor

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's own")


def run(
    code: str,
    context: dict[str, Any] | None = None,
    *,
    kind: Literal["action", "decision"] = "action",
    cancelled: threading.Event | None = None,
    **limits: Any,
) -> CodeResult:
    request = CodeRequest(code, kind, context or {}, Limits(**{"wall_seconds": 30.0, **limits}))
    return SubprocessExecutor().run(request, cancelled or threading.Event())


# Every way in which code can end.


def test_code_that_ends_well_is_ok() -> None:
    result = run("print('hello')\ncontext['b'] = 2\ncontext['a'] = context['a']", {"a": 1})

    assert result.status == "ok"
    assert result.changes == {"b": 2}
    assert result.written == {"a", "b"}
    assert (result.has_value, result.value, result.error) == (False, None, None)
    assert result.logs == "hello\n"
    assert result.duration_seconds > 0


def test_an_exception_is_an_error_with_its_line() -> None:
    result = run("x = 1\nraise ValueError('no')")

    assert result.status == "error"
    assert result.error
    assert (result.error.type, result.error.message, result.error.line) == ("ValueError", "no", 2)
    assert result.changes == {}


def test_running_past_the_time_is_a_timeout() -> None:
    started = time.monotonic()

    result = run("while True: pass", wall_seconds=0.5)

    assert result.status == "timeout"
    assert 0.5 <= result.duration_seconds < 10
    assert time.monotonic() - started < 10


def test_a_process_that_has_stopped_itself_is_a_timeout() -> None:
    assert run("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", wall_seconds=0.5).status == "timeout"


def test_too_much_output_is_an_output_limit() -> None:
    result = run("while True: print('x' * 1000)", output_bytes=100_000, logs_bytes=1_000)

    assert result.status == "output_limit"
    assert result.logs.startswith("x" * 1_000)
    assert "[cut:" in result.logs
    assert len(result.logs) < 1_100


@pytest.mark.parametrize("code", ["context['a'] = 'x' * 100_000", "raise ValueError('x' * 100_000)"])
def test_too_large_a_result_is_a_result_limit(code: str) -> None:
    assert run(code, result_bytes=50_000).status == "result_limit"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import os; os._exit(0)", "0"),
        ("import os; os._exit(7)", "7"),
        ("import ctypes; ctypes.string_at(0)", "-11"),
        ("import os; os.kill(os.getpid(), 9)", "-9"),
        ("import os; os.killpg(0, 9)", "-9"),
    ],
)
def test_a_process_that_is_gone_without_an_answer_has_crashed(code: str, status: str) -> None:
    result = run(code)

    assert result.status == "crashed"
    assert result.error
    assert f"status {status} " in result.error.message


def test_a_run_that_is_cancelled_ends_soon() -> None:
    cancelled = threading.Event()
    results: list[CodeResult] = []
    runner = threading.Thread(
        target=lambda: results.append(run("import time\ntime.sleep(60)", cancelled=cancelled)), daemon=True
    )
    runner.start()
    started = time.monotonic()

    cancelled.set()
    runner.join(10)

    assert not runner.is_alive()
    assert time.monotonic() - started < 2
    assert results[0].status == "cancelled"


def test_a_run_that_was_cancelled_before_it_began_does_nothing(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()

    result = run(f"import time\ntime.sleep(5)\nopen({str(tmp_path / 'mark')!r}, 'w')", cancelled=cancelled)

    assert result.status == "cancelled"
    assert not (tmp_path / "mark").exists()


def test_a_refusing_executor_says_why() -> None:
    executor = RefusingExecutor("the server is open to others")

    result = executor.run(CodeRequest("context['a'] = 1", "action", {}), threading.Event())

    assert (result.status, result.changes) == ("refused", {})
    assert result.error
    assert (result.error.type, result.error.message) == ("CodeRefused", "the server is open to others")
    assert executor.level is Level.OFF


def test_a_plain_process_does_not_claim_to_have_walls() -> None:
    assert SubprocessExecutor().level is Level.WEAK


# Decisions.


@pytest.mark.parametrize(("code", "value"), [("1 + 1", 2), ("None", None), ("context", {"a": 1}), ("'ä'", "ä")])
def test_the_value_of_a_deciding_expression_is_told(code: str, value: Any) -> None:
    result = run(code, {"a": 1}, kind="decision")

    assert (result.has_value, result.value) == (True, value)


def test_deciding_statements_have_no_value() -> None:
    result = run("x = 1", kind="decision")

    assert (result.status, result.has_value) == ("ok", False)


def test_a_value_that_is_not_json_is_an_error() -> None:
    result = run("object()", kind="decision")

    assert result.error
    assert "the value of the expression is not JSON" in result.error.message


# What the code finds.


def test_the_code_finds_nothing_of_our_environment() -> None:
    os.environ["NOVA_TEST_SECRET"] = "hunter2"
    try:
        result = run("import os\ncontext['names'] = sorted(os.environ)")
    finally:
        del os.environ["NOVA_TEST_SECRET"]

    assert set(result.changes["names"]) <= {"LC_CTYPE"}, "only what Python itself sets"


def test_the_working_folder_is_empty_its_own_and_gone_afterwards() -> None:
    code = "import os\ncontext['files'] = os.listdir()\ncontext['folder'] = os.getcwd()\nopen('left', 'w').write('x')"

    first, second = run(code), run(code)

    folders = [result.changes["folder"] for result in (first, second)]
    assert [result.changes["files"] for result in (first, second)] == [[], []]
    assert folders[0] != folders[1]
    assert not any(Path(folder).exists() for folder in folders)


def test_the_working_folder_is_gone_after_a_timeout_too() -> None:
    result = run("import os\nprint(os.getcwd(), flush=True)\nos.mkdir('x')\nwhile True: pass", wall_seconds=1.0)

    assert result.status == "timeout"
    assert result.logs.startswith("/")
    assert not Path(result.logs.strip()).exists()


def test_the_code_cannot_import_nova() -> None:
    assert run("import src").status == "error"


def test_the_code_reads_nothing_from_standard_input() -> None:
    result = run("input()")

    assert result.error
    assert result.error.type == "EOFError"


# Data.


def test_a_context_of_a_megabyte_goes_in_and_out() -> None:
    text = "ä" * 500_000

    result = run("context['back'] = context['text'][::-1]", {"text": text})

    assert result.changes == {"back": text}


def test_data_of_any_script_goes_through_unchanged() -> None:
    context = {"größe": "日本語 😀 \u202e \u2028 \x01", "numbers": [10**300, 0.1, -0.0], "": {" ": None}}

    result = run("context['copy'] = dict(context)\nprint(context['größe'])", context)

    assert result.changes == {"copy": context}
    assert result.logs == f"{context['größe']}\n"


def test_output_that_is_no_text_is_kept_readable() -> None:
    assert run("import os\nos.write(1, b'\\xff\\xfe ok')").logs == "\ufffd\ufffd ok"


def test_code_that_is_ended_while_its_context_is_still_being_sent_leaves_nothing_open() -> None:
    before = descriptors()

    result = run("import os; os._exit(0)", {"text": "x" * 3_000_000})

    assert result.status == "crashed"
    assert descriptors() == before


def test_a_forged_answer_that_is_nested_without_end_is_a_crash_and_no_exception() -> None:
    code = "import os, sys\nos.write(int(sys.argv[-1]), b'[' * 60_000)\nos._exit(0)"

    assert run(code).status == "crashed"


def test_a_result_may_be_as_deep_as_python_can_say_it() -> None:
    """What the code can write, its reader must be able to read, however deep in the stack the reader is."""
    code = "x = []\nfor _ in range({depth}): x = [x]\ncontext['x'] = x"

    results = [from_deep_in_the_stack(300, partial(run, code.format(depth=depth))) for depth in (800, 950)]

    assert all(result.status in ("ok", "error", "crashed") for result in results)


def from_deep_in_the_stack(frames: int, call: Callable[[], CodeResult]) -> CodeResult:
    return call() if not frames else from_deep_in_the_stack(frames - 1, call)


@pytest.mark.parametrize(
    "child",
    [
        "if os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)",
        "import multiprocessing as m\nm.get_context('fork').Process(target=time.sleep, args=(60,)).start()",
        "import subprocess\nsubprocess.Popen(['sleep', '60'])",
        "import subprocess\nsubprocess.Popen(['sleep', '60'], close_fds=False)",
        "import threading\nthreading.Thread(target=time.sleep, args=(60,)).start()",
    ],
    ids=["fork", "multiprocessing", "subprocess", "subprocess with our descriptors", "thread"],
)
def test_what_the_code_leaves_running_does_not_hold_its_answer_back(child: str) -> None:
    result = run(f"import os, time\ncontext['a'] = 1\n{child}", wall_seconds=5.0)

    assert (result.status, result.changes) == ("ok", {"a": 1})


# Nothing is left over.


@LINUX
@pytest.mark.timeout(90)
def test_many_runs_leave_neither_descriptors_nor_processes() -> None:
    endings = ["context['a'] = 1", "raise ValueError", "import os; os._exit(1)", "print('x' * 3000)"]
    run(endings[0])
    before, children_before = descriptors(), children()

    threads = [threading.Thread(target=run_many, args=(endings, 15)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert descriptors() == before
    assert children() == children_before


def run_many(endings: list[str], count: int) -> None:
    for number in range(count):
        run(endings[number % len(endings)], output_bytes=2_000)


def descriptors() -> int:
    folder = "/proc/self/fd" if sys.platform.startswith("linux") else "/dev/fd"
    return len(os.listdir(folder))


def children() -> set[str]:
    """Of this process, zombies included."""
    found: set[str] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # it has ended by now
            found |= set((thread / "children").read_text().split())
    return found


def test_runs_side_by_side_do_not_get_in_each_others_way() -> None:
    results: dict[int, CodeResult] = {}

    def one(number: int) -> None:
        results[number] = run("context['twice'] = context['n'] * 2", {"n": number, "pad": "x" * 10_000})

    threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {number: result.changes for number, result in results.items()} == {n: {"twice": 2 * n} for n in range(16)}


def test_the_request_is_json_whatever_the_code_says() -> None:
    code = json.dumps({"code": "\u2028'\"\\\x01"})

    assert run(f"context['code'] = {code!r}").changes == {"code": code}
