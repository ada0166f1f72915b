"""Attempts of one execution may share a child, and nothing else may: whose code it runs, and when it is given up."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.sandbox.executor import CodeRequest, CodeResult, Limits
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.server_process import Installation
from tests.runtime.building import eventually

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is a fork server on Linux alone")
WHO = "import os\ncontext['pid'] = os.getpid()"


@pytest.fixture(scope="module")
def executor() -> Iterator[ForkServerExecutor]:
    executor = ForkServerExecutor(Installation({}, [443]), slots=2, kept=8)
    yield executor
    executor.close()


def run(executor: ForkServerExecutor, code: str, execution_id: int | None = 1, **about: Any) -> CodeResult:
    limits = Limits(**{"wall_seconds": 30.0, **about.pop("limits", {})})
    cancelled = about.pop("cancelled", threading.Event())
    return executor.run(CodeRequest(code, "action", {}, limits, execution_id=execution_id, **about), cancelled)


def pid_of(executor: ForkServerExecutor, execution_id: int | None = 1, **about: Any) -> int:
    result = run(executor, WHO, execution_id, **about)
    assert result.status == "ok", result
    return int(result.changes["pid"])


def lives(pid: int) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Who shares.


def test_attempts_of_one_execution_share_a_child_and_those_of_two_do_not(executor: ForkServerExecutor) -> None:
    pids = [pid_of(executor, execution_id) for execution_id in (1, 2, 1, 2, 3)]

    assert pids[0] == pids[2]
    assert pids[1] == pids[3]
    assert len(set(pids)) == 3


def test_code_of_no_execution_shares_with_nobody(executor: ForkServerExecutor) -> None:
    assert pid_of(executor, None) != pid_of(executor, None)


@pytest.mark.parametrize("other", [{"network": True}, {"limits": {"memory_mb": 300}}, {"limits": {"wall_seconds": 60}}])
def test_a_child_made_for_one_set_of_limits_is_not_used_for_another(
    executor: ForkServerExecutor, other: dict[str, Any]
) -> None:
    if "network" in other and not executor.strength.network:
        pytest.skip("the network cannot be granted here")

    assert pid_of(executor) != pid_of(executor, **other)


def test_attempts_side_by_side_have_children_of_their_own(executor: ForkServerExecutor) -> None:
    pids: list[int] = []
    code = f"{WHO}\nimport time\ntime.sleep(0.3)"
    threads = [threading.Thread(target=lambda: pids.append(run(executor, code, 5).changes["pid"])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(pids)) == 2


# When it is given up.


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError",
        "context['x'] = {1}",
        "import json\njson.dumps = None",
        "import json\nsetattr(json, 'x', 1)",
        "import builtins",
        "import os\nos.environ['X'] = 'y'",
        "import sys\nsys.path.clear()",
        "import random\nrandom.seed(1)",
        "import decimal\ndecimal.getcontext().prec = 3",
        "def f():\n    import locale\n    locale.setlocale(locale.LC_ALL, 'C')\nf()",
        "import asyncio\nasync def f(): pass\nasyncio.run(f())",
        "import asyncio\nloop = asyncio.get_event_loop()\nloop.close()",
        "async def f(): pass\nf()",
        "class C:\n    def __del__(self): print('gone')\nc = C()\ndef f(): return c",
        "import logging\nlogging.warning('x')",
        "from calendar import setfirstweekday\nsetfirstweekday(6)",
        "import decimal\ndecimal.setcontext(decimal.Context(prec=3))",
        "import csv\ncsv.field_size_limit(10)",
        "import urllib.request as u\nu.install_opener(u.build_opener())",
        "import imaplib\nimaplib.Commands['ID'] = ('AUTH',)",
        "import mimetypes\nmimetypes.knownfiles.append('x')",
        "exec('import json; json.x = 1')",
        "import threading\nthreading.stack_size(65536)",
        "import xml.dom.minidom",
        "import os\nos.pipe()",
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
        "x = bytearray(60_000_000)",
        "import time\nwhile time.process_time() < 1.2: pass",
    ],
)
def test_a_child_that_may_not_be_as_it_was_is_not_used_again(executor: ForkServerExecutor, code: str) -> None:
    before = pid_of(executor, 7)
    run(executor, code, 7)

    after = pid_of(executor, 7)

    assert after != before
    eventually(lambda: not lives(before))


def test_what_only_reads_and_computes_keeps_its_child(executor: ForkServerExecutor) -> None:
    codes = [
        "import re, json\ncontext['x'] = json.dumps(re.findall('a', 'banana'))",
        "from datetime import datetime\ncontext['x'] = datetime(2026, 1, 1).isoformat()\nprint('a')",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ncontext['x'] = P(1).x",
        "import decimal\ncontext['x'] = str(decimal.Decimal('1.10') * 3)",
        "context['x'] = sum(n * n for n in range(100))",
        "import datetime\nx = []\nx.append(datetime.datetime.now().isoformat())\nx.sort()\ncontext['x'] = len(x)",
        "b'1'.decode('cp437')\ncontext['x'] = {}\ncontext.setdefault('x', 1)\ncontext['x']['y'] = 1",
    ]
    before = pid_of(executor, 8)

    for code in codes:
        assert run(executor, code, 8).status == "ok"

    assert pid_of(executor, 8) == before


def test_when_an_execution_is_over_its_child_ends(executor: ForkServerExecutor) -> None:
    pid, other = pid_of(executor, 9), pid_of(executor, 10)

    executor.forget(9)

    eventually(lambda: not lives(pid))
    assert lives(other)
    assert pid_of(executor, 9) != pid


def test_nothing_is_kept_for_a_run_that_ended_meanwhile(executor: ForkServerExecutor) -> None:
    cancelled = threading.Event()
    done = run(executor, WHO, 11, on_progress=None, cancelled=cancelled)
    cancelled.set()
    again = run(executor, "while True: pass", 11, cancelled=cancelled)

    assert (done.status, again.status) == ("ok", "cancelled")
    eventually(lambda: not lives(done.changes["pid"]))


def test_the_one_that_has_waited_longest_makes_room() -> None:
    executor = ForkServerExecutor(Installation({}, []), slots=1, kept=2)
    try:
        first, second, third = (pid_of(executor, execution_id) for execution_id in (1, 2, 3))

        eventually(lambda: not lives(first))
        assert [pid_of(executor, execution_id) for execution_id in (2, 3)] == [second, third]
        assert pid_of(executor, 1) != first
    finally:
        executor.close()


def test_a_child_that_died_while_it_waited_is_not_missed(executor: ForkServerExecutor) -> None:
    pid = pid_of(executor, 12)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lives(pid))

    assert pid_of(executor, 12) != pid


def test_a_fault_of_ours_ends_the_code_that_met_it_and_nobody_elses(executor: ForkServerExecutor) -> None:
    def fail(fraction: float, text: str) -> None:
        raise OSError(fraction, text)

    others: list[CodeResult] = []
    code = "import time\nprogress(0)\ntime.sleep(1)\nprint('done')"
    began = threading.Event()
    about = {"on_progress": lambda *_: began.set()}
    other = threading.Thread(target=lambda: others.append(run(executor, code, 20, **about)))
    other.start()
    began.wait(30)

    with pytest.raises(OSError, match="half"):
        run(executor, "progress(0.5, 'half')", 21, on_progress=fail)

    other.join()
    assert [(each.status, each.logs) for each in others] == [("ok", "done\n")]


# What an attempt in a child that is not new is told of.


def test_each_attempt_is_told_what_it_took_itself(executor: ForkServerExecutor) -> None:
    busy = run(executor, f"{WHO}\nimport time\nwhile time.process_time() < 0.5: pass", 13)
    idle = run(executor, WHO, 13)

    assert busy.usage
    assert idle.usage
    assert idle.changes["pid"] == busy.changes["pid"]
    assert busy.usage.cpu_seconds > 0.4
    assert idle.usage.cpu_seconds < 0.2
    assert 10_000 < idle.usage.max_rss_kb < 100_000


@pytest.mark.parametrize(
    "name", ["harmless", "VmHWM: 1 ", "\\nVmHWM: 1 "], ids=["harmless", "as if it told of memory", "over a line break"]
)
def test_what_an_attempt_took_is_told_of_a_child_that_is_given_up_whatever_it_calls_itself(
    executor: ForkServerExecutor, name: str
) -> None:
    code = f"import ctypes\nctypes.CDLL(None).prctl(15, b'{name}', 0, 0, 0)\nx = bytearray(60_000_000)"

    usage = run(executor, code, 24).usage

    assert usage
    assert 60_000 < usage.max_rss_kb < 200_000


def test_each_attempt_has_its_own_logs_time_and_answer(executor: ForkServerExecutor) -> None:
    codes = [f"import time\ntime.sleep(0.6)\nprint({number})\ncontext['n'] = {number}" for number in range(3)]

    results = [run(executor, code, 14, limits={"wall_seconds": 1.5}) for code in codes]

    assert [(each.status, each.logs, each.changes["n"]) for each in results] == [
        ("ok", f"{number}\n", number) for number in range(3)
    ]


def test_the_time_of_an_attempt_is_bounded_in_a_child_that_is_not_new(executor: ForkServerExecutor) -> None:
    pid = pid_of(executor, 15, limits={"wall_seconds": 1.0})

    result = run(executor, "while True: pass", 15, limits={"wall_seconds": 1.0})

    assert result.status == "timeout"
    eventually(lambda: not lives(pid))


def test_the_processor_time_of_an_attempt_is_bounded_too(executor: ForkServerExecutor) -> None:
    limits = {"wall_seconds": 20.0, "cpu_seconds": 1}
    burn = "import threading, hashlib\ndef burn():\n    while True: hashlib.sha256(b'x' * 10**6)\n"
    pid_of(executor, 16, limits=limits)

    result = run(executor, f"{burn}for _ in range(4): threading.Thread(target=burn).start()\nburn()", 16, limits=limits)

    assert result.status == "timeout"
    assert result.usage
    assert result.usage.cpu_seconds < 3


# What hostile code gains.


def test_an_answer_that_was_forged_beforehand_is_not_taken_for_that_of_the_next(executor: ForkServerExecutor) -> None:
    forge = (
        "import json, os, threading, time\n"
        "def write(value):\n"
        "    text = json.dumps({'result': {'changes': {'forged': value}, 'written': []}, 'goes_on': True}).encode()\n"
        "    os.write(4, len(text).to_bytes(8, 'big') + text)\n"
        "write(1)\ntime.sleep(0.2)\nwrite(2)\ntime.sleep(60)"
    )
    run(executor, forge, 17)
    threading.Event().wait(0.5)

    result = run(executor, "context['own'] = 1", 17)

    assert result.changes == {"own": 1}


def test_what_code_hides_in_its_child_does_not_reach_another_execution(executor: ForkServerExecutor) -> None:
    hide = "object.__getattribute__(json := __import__('json'), '__dict__').__setitem__('hidden', 1)"
    look = "import json\ncontext['hidden'] = hasattr(json, 'hidden')"
    run(executor, hide, 18)

    assert run(executor, look, 19).changes == {"hidden": False}


def test_what_code_changes_at_its_standard_input_does_not_reach_another_execution(executor: ForkServerExecutor) -> None:
    flags = "import fcntl\nflags = fcntl.fcntl(0, fcntl.F_GETFL)\n"
    run(executor, f"{flags}import os\nfcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_APPEND)", 22)

    assert run(executor, f"{flags}import os\ncontext['seen'] = flags & os.O_APPEND", 23).changes == {"seen": 0}
