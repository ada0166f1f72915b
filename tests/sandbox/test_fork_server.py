"""The fork server: what it keeps from one attempt to the next (nothing), and what happens when something dies."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from src.sandbox.executor import CodeExecutor, CodeRequest, CodeResult, Level, Limits, RefusingExecutor
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.sandbox import Sandbox
from src.sandbox.server_process import Installation

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is a fork server on Linux alone")
ROOT = Path(__file__).resolve().parents[2]
PORTS = [443]


@pytest.fixture(scope="module")
def executor() -> Iterator[ForkServerExecutor]:
    executor = ForkServerExecutor(Installation({}, PORTS), slots=4)
    yield executor
    executor.close()


@pytest.fixture
def own_executor() -> Iterator[ForkServerExecutor]:
    """One that may be killed."""
    executor = ForkServerExecutor(Installation({}, PORTS), slots=2)
    yield executor
    executor.close()


def run(
    executor: ForkServerExecutor,
    code: str,
    context: dict[str, Any] | None = None,
    *,
    kind: Literal["action", "decision"] = "action",
    cancelled: threading.Event | None = None,
    **limits: Any,
) -> CodeResult:
    request = CodeRequest(code, kind, context or {}, Limits(**{"wall_seconds": 30.0, **limits}))
    return executor.run(request, cancelled or threading.Event())


# The contract, as every executor keeps it.


def test_code_that_ends_well_is_ok(executor: ForkServerExecutor) -> None:
    result = run(executor, "print('hello')\ncontext['b'] = 2\ncontext['a'] = context['a']", {"a": 1})

    assert (result.status, result.changes, result.logs) == ("ok", {"b": 2}, "hello\n")
    assert result.written == {"a", "b"}


def test_what_an_attempt_took_is_told(executor: ForkServerExecutor) -> None:
    usage = run(executor, "x = bytearray(50_000_000)\nsum(range(10**6))").usage

    assert usage
    assert usage.level == executor.level
    assert usage.cpu_seconds > 0.001
    assert usage.max_rss_kb > 50_000


def test_the_value_of_a_deciding_expression_is_told(executor: ForkServerExecutor) -> None:
    result = run(executor, "context['a'] > 1", {"a": 2}, kind="decision")

    assert (result.has_value, result.value) == (True, True)


def test_an_exception_shows_the_lines_of_the_code_alone(executor: ForkServerExecutor) -> None:
    error = run(executor, "import json\njson.loads('{')").error

    assert error
    assert (error.type, error.line) == ("JSONDecodeError", 2)
    assert [line for line in error.traceback.splitlines() if "File" in line] == ['  File "<node>", line 2, in <module>']


def test_what_was_printed_before_a_time_out_is_kept(executor: ForkServerExecutor) -> None:
    result = run(executor, "print('begun')\nwhile True: pass", wall_seconds=0.5)

    assert (result.status, result.logs) == ("timeout", "begun\n")


def test_the_last_line_is_whole_where_the_logs_are_cut(executor: ForkServerExecutor) -> None:
    result = run(executor, "print('x' * 100_000)\nprint('y' * 100_000)\nprint()")

    assert result.last_line == "y" * 100_000
    assert "[cut: 134,467 more" in result.logs


def test_a_run_that_is_cancelled_ends_soon(executor: ForkServerExecutor) -> None:
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    started = time.monotonic()

    result = run(executor, "import time\ntime.sleep(60)", cancelled=cancelled)

    assert result.status == "cancelled"
    assert time.monotonic() - started < 5


def test_a_wait_for_a_place_is_told_apart_and_can_be_cancelled() -> None:
    executor = ForkServerExecutor(Installation({}, PORTS), slots=1)
    try:
        run(executor, "pass")
        threads = [threading.Thread(target=run, args=(executor, "import time\ntime.sleep(1)"))]
        threads[0].start()
        time.sleep(0.3)
        cancelled = threading.Event()
        cancelled.set()

        assert run(executor, "pass", cancelled=cancelled).status == "cancelled"
        waited = run(executor, "pass")

        assert waited.usage
        assert waited.usage.queued_seconds > 0.2
        assert waited.duration_seconds < waited.usage.queued_seconds + 0.5
        threads[0].join()
    finally:
        executor.close()


def test_code_goes_on_when_every_process_of_the_container_is_told_to_end(own_executor: ForkServerExecutor) -> None:
    def tell_all(_: float, pid: str) -> None:
        for each in (int(pid), own_executor.server_pid):
            os.kill(each, signal.SIGTERM)

    code = "import os, time\nprogress(0, str(os.getpid()))\ntime.sleep(0.5)\ncontext['done'] = True"
    request = CodeRequest(code, "action", {}, on_progress=tell_all)

    assert own_executor.run(request, threading.Event()).changes == {"done": True}


# From one attempt to the next.


@pytest.mark.parametrize(
    "poison",
    [
        "import builtins\nbuiltins.len = builtins.print = None",
        "import json\njson.dumps = None",
        "import sys\nsys.modules['json'] = None\nsys.path.clear()",
        "import os\nos.environ['X'] = 'y'\nos.umask(0)",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ],
)
def test_nothing_is_left_of_the_code_before(executor: ForkServerExecutor, poison: str) -> None:
    run(executor, poison)

    result = run(executor, "import json, os\nprint('x')\ncontext['n'] = len(json.dumps(sorted(os.environ)))")

    assert (result.status, result.logs) == ("ok", "x\n")
    assert result.changes["n"] <= len('["LC_CTYPE"]')


def test_chance_is_not_the_same_in_two_attempts(executor: ForkServerExecutor) -> None:
    code = "import random, uuid\ncontext['x'] = [random.random(), str(uuid.uuid4())]"

    assert run(executor, code).changes != run(executor, code).changes


def test_attempts_side_by_side_have_users_of_their_own(executor: ForkServerExecutor) -> None:
    results: list[CodeResult] = []
    code = "import os, time\ncontext['user'] = os.getuid()\ntime.sleep(0.5)"
    threads = [threading.Thread(target=lambda: results.append(run(executor, code))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    users = {result.changes["user"] for result in results}

    assert len(users) == (4 if executor.strength.own_users else 1)
    assert os.geteuid() != 0 or not executor.strength.own_users or 0 not in users


@pytest.mark.timeout(300)
def test_hundreds_of_attempts_leave_nothing_behind(executor: ForkServerExecutor) -> None:
    """`python -m benchmarks.sandbox` makes ten thousand. A page of memory that each of these lost would be noticed."""
    endings = ["context['a'] = 1", "raise ValueError", "import os; os._exit(1)", "print('x' * 3000)"]
    run_many(executor, endings, 40)
    server = executor.server_pid
    assert wait_until(lambda: len(children_of(server)) <= 1)
    time.sleep(0.1)
    before, memory = (descriptors(), descriptors(server), threading.active_count()), resident_kb(server)

    threads = [threading.Thread(target=run_many, args=(executor, endings, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wait_until(lambda: (descriptors(), descriptors(server), threading.active_count()) == before)
    assert len(children_of(server)) <= 1, "the spare one"
    assert resident_kb(server) - memory < 1024


def run_many(executor: ForkServerExecutor, endings: list[str], count: int) -> None:
    for number in range(count):
        run(executor, endings[number % len(endings)], output_bytes=2_000)


def descriptors(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


def children_of(pid: int) -> set[str]:
    """Zombies included."""
    return {child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()}


# When something dies.


def test_a_fork_server_that_dies_loses_the_attempt_and_is_replaced(own_executor: ForkServerExecutor) -> None:
    run(own_executor, "pass")
    server = own_executor.server_pid
    threading.Timer(0.3, os.kill, (server, signal.SIGKILL)).start()

    lost = run(own_executor, "import time\ntime.sleep(60)")
    after = run(own_executor, "context['a'] = 1")

    assert lost.status == "lost"
    assert after.changes == {"a": 1}
    assert own_executor.server_pid != server


def test_a_fork_server_that_died_between_attempts_is_replaced(own_executor: ForkServerExecutor) -> None:
    run(own_executor, "pass")
    os.kill(own_executor.server_pid, signal.SIGKILL)
    time.sleep(0.2)

    results = [run(own_executor, "context['a'] = 1").status for _ in range(2)]

    assert results[-1] == "ok"
    assert set(results) <= {"ok", "lost"}


@pytest.mark.parametrize("victim", ["nova", "fork server"])
def test_no_snippet_outlives_who_is_killed(victim: str) -> None:
    script = """
        import threading
        from src.sandbox.executor import CodeRequest, Limits
        from src.sandbox.fork_server import ForkServerExecutor
        from src.sandbox.server_process import Installation
        executor = ForkServerExecutor(Installation({}, []), slots=2)
        code = "import signal, time\\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\\nwhile True: time.sleep(1)"
        for _ in range(2):
            threading.Thread(target=executor.run, args=(CodeRequest(code, "action", {}), threading.Event())).start()
        print(executor.server_pid, flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        server = int(process.stdout.readline())
        assert wait_until(lambda: len(children_of(server)) == 2)
        snippets = {int(child) for child in children_of(server)}

        os.kill(process.pid if victim == "nova" else server, signal.SIGKILL)

        assert wait_until(lambda: not any(lives(pid) for pid in snippets), seconds=2)
        assert victim == "fork server" or wait_until(lambda: not lives(server), seconds=2)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def lives(pid: int) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds: Any, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_a_fork_of_nova_starts_its_own_fork_server(executor: ForkServerExecutor) -> None:
    run(executor, "pass")
    server = executor.server_pid
    child = os.fork()
    if child == 0:
        own = executor.server_pid
        is_well = run(executor, "context['a'] = 1").changes == {"a": 1}
        executor.close()
        os._exit(0 if is_well and own != server else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run(executor, "context['a'] = 1").changes == {"a": 1}
    assert executor.server_pid == server


# Which level.


@pytest.mark.parametrize(("least", "level"), [(Level.SECCOMP, Level.SECCOMP), (Level.FULL, Level.OFF)])
def test_without_landlock_the_level_is_seccomp_and_where_that_is_too_weak_no_code_runs(
    least: Level, level: Level
) -> None:
    sandbox = Sandbox(Installation({}, PORTS, landlock=False), slots=1, least=least)
    try:
        result = sandbox.run(CodeRequest("context['a'] = 1", "action", {}), threading.Event())

        assert str(sandbox.level) == level
        assert (result.status, result.changes) == (("ok", {"a": 1}) if level is Level.SECCOMP else ("refused", {}))
    finally:
        sandbox.close()


def test_a_warm_up_that_begins_after_the_end_opens_nothing() -> None:
    opened: list[CodeExecutor] = []

    def open_elsewhere() -> CodeExecutor:
        opened.append(RefusingExecutor("no code runs here"))
        return opened[-1]

    sandbox = Sandbox(Installation({}, PORTS), slots=1, least=Level.WEAK, elsewhere=open_elsewhere)
    sandbox.close()

    sandbox.warm_up()
    for thread in threading.enumerate():
        if thread.name == "sandbox":
            thread.join(timeout=20.0)

    assert opened == []


def test_the_time_in_which_the_sandbox_opens_is_not_the_codes() -> None:
    sandbox = Sandbox(Installation({}, PORTS), slots=1, least=Level.WEAK)
    try:
        request = CodeRequest("pass", "action", {})
        first, second = (sandbox.run(request, threading.Event()).usage for _ in range(2))

        assert first
        assert second
        assert first.queued_seconds > 0.05 > second.queued_seconds
    finally:
        sandbox.close()


def test_asking_for_more_later_refuses_what_ran_before() -> None:
    sandbox = Sandbox(Installation({}, PORTS, landlock=False), slots=1, least=Level.WEAK)
    try:
        assert str(sandbox.level) == "seccomp"
        sandbox.require(Level.FULL)

        assert str(sandbox.level) == "off"
        assert "SANDBOX_MIN_LEVEL" in sandbox.open().about
    finally:
        sandbox.close()


def test_the_network_is_refused_where_it_cannot_be_bounded() -> None:
    for installation in (Installation({}, PORTS, landlock=False), Installation({}, [])):
        executor = ForkServerExecutor(installation, slots=1)
        try:
            request = CodeRequest("context['a'] = 1", "action", {}, network=True)
            assert executor.run(request, threading.Event()).status == "refused"
        finally:
            executor.close()
