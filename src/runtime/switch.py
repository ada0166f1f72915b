"""The switch: with a broker, workers take what is queued; without one, the process that queued it.

Celery is imported only where it is on: who has no broker does not pay for its library.
"""

from typing import TYPE_CHECKING

from src.core.status import Mode
from src.runtime.queue import Bell

if TYPE_CHECKING:
    from celery import Celery

    from src.runtime.broker import Broker


class Switch:
    def __init__(self, celery: "Celery | None") -> None:
        """`celery`: None where it is off."""
        self._celery = celery

    @property
    def is_on(self) -> bool:
        return self._celery is not None

    @property
    def queued_as(self) -> Mode:
        """How an execution runs that goes straight into the queue."""
        return Mode.CELERY if self.is_on else Mode.BACKGROUND

    def bell(self) -> Bell | None:
        """The one that workers hear; None where there are none to hear it."""
        if self._celery is None:
            return None
        from src.runtime.broker import CeleryBell  # noqa: PLC0415

        return CeleryBell(self._celery)

    def count_answers(self) -> int:
        """How many workers answer over the broker just now. Raises OSError where the broker does not."""
        if self._celery is None:
            return 0
        from src.runtime.broker import count_answers  # noqa: PLC0415

        return count_answers(self._celery)


def make_switch(broker: "Broker | None") -> Switch:
    """Opens no connection."""
    if broker is None:
        return Switch(None)
    from src.runtime.broker import make_celery  # noqa: PLC0415

    return Switch(make_celery(broker))
