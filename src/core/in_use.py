"""The secrets that this process has met lately: what no line of its log may hold."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from src.core.masking import Mask

MOST = 256
"""Customers, the latest first. Who comes after them has not run here for long."""


class _InUse:
    def __init__(self) -> None:
        self._masks: OrderedDict[Hashable, Mask] = OrderedDict()
        self._lock = threading.Lock()

    def hold(self, whose: Hashable, mask: Mask) -> None:
        if not mask:
            return
        with self._lock:
            self._masks[whose] = mask
            self._masks.move_to_end(whose)
            if len(self._masks) > MOST:
                self._masks.popitem(last=False)

    def __bool__(self) -> bool:
        return bool(self._masks)

    def masked(self, value: Any) -> Any:
        """`value` itself where there is nothing to mask. What is no JSON is left alone."""
        if not self._masks or not isinstance(value, str | dict | list | int | float):
            return value
        with self._lock:
            masks = list(self._masks.values())
        for mask in masks:
            value = mask.value(value)
        return value


IN_USE = _InUse()
