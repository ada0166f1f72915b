"""Nova's parts as commands need them, and the types of arguments that they share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from src.bootstrap import Nova, build
from src.core.engine import NodeChange
from src.settings import read_settings

ID = click.IntRange(1, 2**63 - 1)


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
