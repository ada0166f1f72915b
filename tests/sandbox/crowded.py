"""A machine on which no more processes may be started while code runs: what becomes of that code, and of the next.

An ordinary user is needed: nothing bounds the number of root's. `python -m tests.sandbox.crowded` prints how both end.
"""

import json
import resource
import sys
import threading
from typing import Any

from src.core.outcome import Context
from src.sandbox.executor import CodeRequest
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.server_process import Installation
from tests.sandbox.play import as_user


def main() -> int:
    as_user()
    executor = ForkServerExecutor(Installation({}, []), slots=2)
    began, go_on, ends = threading.Event(), threading.Event(), list[str]()

    def answer(*_: Any) -> Context:
        began.set()
        go_on.wait(30)
        return {"status": 200, "headers": {}, "text": ""}

    def run(code: str) -> None:
        request = CodeRequest(code, "action", {}, http=answer)
        ends.append(executor.run(request, threading.Event()).status)

    other = threading.Thread(target=run, args=("http.request('GET', '')",))
    other.start()
    began.wait(30)
    pid = executor.server_pid
    before = resource.prlimit(pid, resource.RLIMIT_NPROC)
    resource.prlimit(pid, resource.RLIMIT_NPROC, (1, before[1]))
    run("pass")
    run("pass")
    go_on.set()
    other.join()
    resource.prlimit(pid, resource.RLIMIT_NPROC, before)
    run("pass")
    sys.stdout.write(json.dumps({"ends": ends, "is_the_same": executor.server_pid == pid}) + "\n")
    executor.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
