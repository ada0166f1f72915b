"""How long a web process takes from its start to its first answer, and what it holds then.

python -m benchmarks.start              ten starts on an up-to-date SQLite file
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.servers import ROOT
from src.database import migrate
from tests.servers import free_port

PATIENCE_SECONDS = 60.0


class Start(NamedTuple):
    seconds: float
    processor_seconds: float
    """Of all its threads: what does not depend on who else is at work on the machine."""
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/nova.db"
        migrate(url)
        found = [start(url) for _ in range(times)]
    print(f"{times} starts at a load of {os.getloadavg()[0]:.1f}      fastest   median  slowest")
    for name, place in (("to the first answer, s", 0), ("processor time, s", 1), ("resident, MB", 2)):
        values = [each[place] for each in found]
        print(f"{name:<32}{min(values):>9.2f}{median(values):>9.2f}{max(values):>9.2f}")


def start(database_url: str) -> Start:
    port = free_port()
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "src", "serve", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url, "API_KEYS": "off"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_an_answer(f"http://127.0.0.1:{port}/health", begun + PATIENCE_SECONDS)
        return Start(time.perf_counter() - begun, processor_seconds(process.pid), megabytes(process.pid))
    finally:
        process.terminate()
        process.wait()


def wait_for_an_answer(url: str, give_up_at: float) -> None:
    while time.perf_counter() < give_up_at:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5.0):
            return
        time.sleep(0.005)
    raise SystemExit("The server does not answer.")


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
