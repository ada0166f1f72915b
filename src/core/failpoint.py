"""Named places where a process can be made to die, so that tests can kill it exactly there. Inert unless armed."""

import os

_armed: dict[str, int] = {}


def arm(spec: str) -> None:
    """Arm `name:n`: the process leaves with 137, as after kill -9, when `name` is reached for the nth time."""
    name, _, count = spec.partition(":")
    _armed[name] = int(count or 1)


def failpoint(name: str) -> None:
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] == 0:
            os._exit(137)
