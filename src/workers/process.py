"""The parts of Nova in a worker: each process of the pool has its own, built after the fork."""

import gc
import os
from functools import cache

from src.bootstrap import build
from src.nova import Nova, Role
from src.settings import read_settings


def nova() -> Nova:
    """The parts of this process, ready to run."""
    return _built(os.getpid())


@cache
def _built(process_id: int) -> Nova:  # noqa: ARG001 -- what was built before a fork is the parent's
    parts = build(read_settings(), Role.WORKER)
    parts.serve(sweep=False)
    gc.freeze()  # as in a web process: a collection that looks through all of it holds runs up for 60 ms
    return parts
