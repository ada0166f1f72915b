"""`python -m tests.runtime.holder DATABASE_URL FOLDER`: a process that holds an execution until it is killed.

Prints the execution's id when its node has begun. The node ends when the file `FOLDER/go` is there.
"""

import sys
import threading
from pathlib import Path

from src.runtime.workflows import Draft
from tests.runtime.building import call, eventually, graph, running

HELD = graph("start -> held, held -> end", held=call("wait_for_a_file"))


def main(url: str, folder: Path) -> None:
    with running(url) as nova:
        workflow_id = nova.workflows.keep(Draft("held", HELD))
        context = {"effects": str(folder / "effects"), "go": str(folder / "go")}
        order = nova.executions.order(workflow_id, context)
        run = threading.Thread(target=nova.dispatcher.run_inline, args=[order])
        run.start()
        eventually((folder / "effects").exists, what="the node")
        print(nova.executions.ids()[-1], flush=True)
        run.join()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
