"""Nova's parts as commands need them, and the types of arguments that they share."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from src.bootstrap import build
from src.core.engine import NodeChange
from src.nova import Nova
from src.settings import read_settings

ID = click.IntRange(1, 2**63 - 1)
AT_ONCE = 16
"""Executions that a command runs side by side."""
LOOK_SECONDS = 0.1
"""How often a command looks what others have put into the queue."""


@contextmanager
def opened() -> Iterator[Nova]:
    """The parts, for commands that only look."""
    nova = build(read_settings())
    try:
        nova.open()
        yield nova
    finally:
        nova.close()


@contextmanager
def started(watch: Callable[[NodeChange], None]) -> Iterator[Nova]:
    """The parts, for commands that run executions."""
    nova = build(read_settings(), watch=watch)
    try:
        nova.start()
        yield nova
    finally:
        nova.close()


def see_through(nova: Nova, execution_id: int) -> None:
    """Run here what an execution and its children have in the queue, until nothing of it goes on by itself."""
    under_way: dict[int, Future[None]] = {}
    while under_way or nova.executions.goes_on(execution_id):  # what has just ended may wake another
        free = [each for each in nova.executions.queued(execution_id) if each not in under_way]
        for each in free[: AT_ONCE - len(under_way)]:
            under_way[each] = nova.dispatcher.submit(partial(nova.dispatcher.resume_here, each))
        if under_way:
            wait(under_way.values(), timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        else:  # another process has them
            time.sleep(LOOK_SECONDS)
        for each in [each for each, work in under_way.items() if work.done()]:
            under_way.pop(each).result()


def key_value(pair: str) -> tuple[str, Any]:
    """A context value from `KEY=VALUE`: JSON, or else text."""
    key, text = split_pair(pair)
    try:
        return key, json.loads(text)
    except RecursionError:
        raise click.BadParameter(f"{key} is nested too deeply") from None
    except ValueError:
        return key, text


def split_pair(pair: str) -> tuple[str, str]:
    key, separator, rest = pair.partition("=")
    if not (key and separator):
        raise click.BadParameter(f"expected KEY=..., got {pair!r}")
    return key, rest
