"""A call that code has asked the server to make for it, in a thread of its own: whoever waits for the code goes on
listening to it.
"""

import os
import threading

from src.core.outcome import Context
from src.sandbox.executor import HttpBridge

REFUSED: Context = {"error": {"class": "permanent", "message": "http.request: this installation allows code no calls"}}


class Call:
    def __init__(self, bridge: HttpBridge | None, call: Context, seconds: float) -> None:
        self.answer: Context = REFUSED
        self.done, self._tell = os.pipe()
        """To be read when the answer is there."""
        self._unwanted = threading.Event()
        self._lock = threading.Lock()
        if bridge is None:
            self._close()
        else:
            threading.Thread(target=self._make, args=(bridge, call, seconds), name="http-of-code", daemon=True).start()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._unwanted.set()
        with self._lock:
            os.close(self.done)
            self._close()

    def _make(self, bridge: HttpBridge, call: Context, seconds: float) -> None:
        try:
            self.answer = bridge(call, seconds, self._unwanted)
        finally:
            with self._lock:
                self._close()

    def _close(self) -> None:
        """The end of the pipe is the news."""
        if self._tell >= 0:
            os.close(self._tell)
            self._tell = -1
