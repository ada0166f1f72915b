"""What is in hand: the ids that belong to a line of a log and to a note of the audit. Flows along with the work.

Threads of a pool know nothing of it by themselves: whoever gives them work gives them a copy of the context.
"""

from collections.abc import Mapping
from contextvars import ContextVar

Ids = Mapping[str, str | int | None]
_ids: ContextVar[Ids] = ContextVar("ids", default={})  # noqa: B039 -- it is replaced, never changed


def ids() -> Ids:
    """`request_id`, `actor`, `execution_id`, `task_id`, `task_name`, `node_id`: as far as they are known here."""
    return _ids.get()


class about:  # noqa: N801 -- it reads as the statement it is; a generator would cost every node twice as much
    """Within the block, what is done is about these too."""

    __slots__ = ("_more", "_token")

    def __init__(self, **more: str | int | None) -> None:
        self._more = more

    def __enter__(self) -> None:
        self._token = _ids.set({**_ids.get(), **self._more})

    def __exit__(self, *_: object) -> None:
        _ids.reset(self._token)


def bind(**more: str | int | None) -> None:
    """From here on; for where a beginning and its end are told apart."""
    _ids.set({**_ids.get(), **more})
