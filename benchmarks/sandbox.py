"""How long a snippet takes behind its walls, how many go through in a second, and what that holds in memory.

python -m benchmarks.sandbox                      1, 8 and 16 callers; a megabyte; a module that was not loaded ahead
python -m benchmarks.sandbox --attempts 10000     so many attempts, and what has grown by then
python -m benchmarks.sandbox --kills 20           how long a snippet outlives whoever is killed with -9

A line that says "of ten" is of executions of ten snippets, which share a child; "ten alone" of ten that share none.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from statistics import quantiles
from time import perf_counter, process_time, sleep

from src.core.outcome import Context
from src.extensions import find_packages
from src.sandbox.executor import CodeExecutor, CodeRequest, CodeResult
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.server_process import Installation
from src.sandbox.slots import usual_count, usual_kept
from src.sandbox.subprocess_executor import SubprocessExecutor

WORK = "context['status'] = 'paid'\ncontext['total'] = context['amount'] + 1"
SEVERAL = "import colorsys, sched, wave\ncontext['total'] = 1"
CONTEXT: Context = {"customer": "acme", "amount": 118.5, "items": [1, 2, 3]}
LARGE: Context = {"amount": 1, "text": "x" * 1_000_000}
NEVER = threading.Event()
STUBBORN = """
import os, signal, time
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
progress(0, str(os.getpid()))
while True:
    time.sleep(1)
"""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__)
    parser.add_argument("--attempts", type=int, help="run so many, and show what has grown")
    parser.add_argument("--kills", type=int, help="kill so many fork servers, and so many that started one")
    parser.add_argument("--count", type=int, default=400, help="of each case")
    parser.add_argument("--starter", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.starter:
        return start_two()
    if options.kills:
        return outlive(options.kills)
    executor = ForkServerExecutor(Installation(find_packages(["pypdf"]), [443]), slots=usual_count(), kept=usual_kept())
    try:
        print(f"level {executor.level}, {usual_count()} slots, load {os.getloadavg()[0]:.1f}")
        measured = run(executor, WORK, CONTEXT)
        if options.attempts:
            return endure(executor, options.attempts)
        compare(executor, options.count)
        print(f"{'fork server':<26}{memory_of(executor.server_pid)}")
        print(f"{'child, at its peak':<26}{measured.usage.max_rss_kb / 1024 if measured.usage else 0:.1f} MiB resident")
    finally:
        executor.close()
    return 0


def compare(executor: ForkServerExecutor, count: int) -> None:
    without = ForkServerExecutor(Installation({}, [], landlock=False), slots=usual_count())
    try:
        print(f"{'':<26}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'a second':>10}")
        measure("1 caller", executor, 1, count)
        measure("8 callers", executor, 8, count)
        measure("16 callers", executor, 16, count)
        for callers in (1, 8, 64):
            tens = max(callers, count // 10)
            shared = measure_tens(f"{callers} callers, of ten", executor, callers, tens, share=True)
            alone = measure_tens(f"{callers} callers, ten alone", executor, callers, tens, share=False)
            print(f"{'':<26}{shared / alone:>9.1f} times as many")
        measure("1 caller, a megabyte", executor, 1, count // 4, LARGE)
        measure("1 caller, three imports", executor, 1, count // 4, code=SEVERAL)
        measure("1 caller, no Landlock", without, 1, count)
        measure("1 caller, plain process", SubprocessExecutor(), 1, count // 10)
    finally:
        without.close()


def measure(
    name: str, executor: CodeExecutor, callers: int, count: int, context: Context = CONTEXT, code: str = WORK
) -> None:
    for _ in range(5):
        run(executor, code, context)
    start = perf_counter()
    with ThreadPoolExecutor(callers) as threads:
        times = list(threads.map(lambda _: timed(lambda: run(executor, code, context)), range(count)))
    rate = count / (perf_counter() - start)
    cuts = quantiles(times, n=100, method="inclusive")
    print(f"{name:<26}{cuts[49]:>9.2f}{cuts[89]:>9.2f}{cuts[98]:>9.2f}{rate:>10.0f}")


def measure_tens(name: str, executor: ForkServerExecutor, callers: int, count: int, *, share: bool) -> float:
    """Answers how many executions of ten snippets went through in a second."""
    start, ours, theirs = perf_counter(), process_time(), cpu_seconds_of(executor.server_pid)
    with ThreadPoolExecutor(callers) as threads:
        times = list(threads.map(lambda number: timed(lambda: ten(executor, number, share=share)), range(count)))
    rate = count / (perf_counter() - start)
    cuts = quantiles(times, n=100, method="inclusive")
    ours, theirs = process_time() - ours, cpu_seconds_of(executor.server_pid) - theirs
    taken = f"  {1000 * ours / count:.1f} ms of processor here, {1000 * theirs / count:.1f} there, for ten"
    print(f"{name:<26}{cuts[49]:>9.2f}{cuts[89]:>9.2f}{cuts[98]:>9.2f}{rate:>10.1f}{taken}")
    return rate


def cpu_seconds_of(pid: int) -> float:
    """Of the fork server, and of all its children that have ended."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def ten(executor: CodeExecutor, number: int, *, share: bool) -> None:
    for _ in range(10):
        run(executor, WORK, CONTEXT, number if share else None)
    executor.forget(number)


def outlive(kills: int) -> int:
    """Each time two snippets that ignore signals are at work; the slower of the two counts."""
    for victim in ("nova", "fork server"):
        times = sorted(_outlived(victim) for _ in range(kills))
        print(f"{victim:<14}killed {kills} times, its snippets were gone after {times[-1] * 1000:.0f} ms at the latest")
    return 0


def _outlived(victim: str) -> float:
    starter = [sys.executable, "-m", "benchmarks.sandbox", "--starter"]
    with subprocess.Popen(starter, stdout=subprocess.PIPE, text=True) as nova:
        assert nova.stdout
        server, *snippets = map(int, nova.stdout.readline().split())
        start = perf_counter()
        os.kill(nova.pid if victim == "nova" else server, signal.SIGKILL)
        while any(is_alive(pid) for pid in snippets):
            sleep(0.001)
        took = perf_counter() - start
        nova.kill()
    return took


def start_two() -> int:
    """What `--kills` starts and kills: prints the pids of the fork server and of two snippets, and waits."""
    executor = ForkServerExecutor(Installation({}, []), slots=2)
    pids: SimpleQueue[str] = SimpleQueue()
    for _ in range(2):
        request = CodeRequest(STUBBORN, "action", {}, on_progress=lambda _, pid: pids.put(pid))
        threading.Thread(target=executor.run, args=(request, NEVER), daemon=True).start()
    print(executor.server_pid, pids.get(), pids.get(), flush=True)
    NEVER.wait()
    return 0


def is_alive(pid: int) -> bool:
    """A zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def endure(executor: ForkServerExecutor, attempts: int) -> int:
    pid = executor.server_pid
    before = (memory_of(pid), descriptors(pid), descriptors(os.getpid()))
    with ThreadPoolExecutor(usual_count()) as threads:  # half of them share a child by tens
        for _ in threads.map(lambda number: ten(executor, number, share=number % 2 == 0), range(attempts // 10)):
            pass
    after = (memory_of(pid), descriptors(pid), descriptors(os.getpid()))
    for name, was, is_now in zip(("fork server", "its descriptors", "our descriptors"), before, after, strict=True):
        print(f"{name:<26}{was}  ->  {is_now}")
    return 0


def run(executor: CodeExecutor, code: str, context: Context, execution_id: int | None = None) -> CodeResult:
    result = executor.run(CodeRequest(code, "action", context, execution_id=execution_id), NEVER)
    assert result.status == "ok", result
    return result


def timed(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1000


def memory_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    private = sizes["Private_Clean"] + sizes["Private_Dirty"]
    return f"{sizes['Rss'] / 1024:.1f} MiB resident, {private / 1024:.1f} of them its own"


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
