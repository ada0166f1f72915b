"""A reader of server-sent events, in a thread of its own."""

import http.client
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.runtime.building import eventually


@dataclass
class Event:
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


class Stream:
    """Reads until the server closes the connection, or `close`."""

    def __init__(self, port: int, path: str, last_event_id: str | None = None) -> None:
        self.events: list[Event] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        assert self._answer.headers["content-type"].startswith("text/event-stream")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def is_open(self) -> bool:
        return self._thread.is_alive()

    @property
    def last_event_id(self) -> str | None:
        return next((event.id for event in reversed(self.events) if event.id), None)

    def kept(self) -> list[tuple[str, str, str]]:
        """The events that have an id: what they are, of which node, and its or the execution's status."""
        return [(event.name, event.data.get("node_id", ""), event.data["status"]) for event in self.events if event.id]

    def wait_for(self, name: str, **data: Any) -> Event:
        eventually(lambda: self._find(name, data), what=f"the event {name} {data}", seconds=40)
        found = self._find(name, data)
        assert found
        return found

    def finish(self) -> "Stream":
        self._thread.join(40)
        assert not self._thread.is_alive(), f"the stream goes on after {self.kept()}"
        return self

    def close(self) -> None:
        with suppress(OSError, AttributeError):
            self._connection.sock.shutdown(2)
        self.finish()

    def _find(self, name: str, data: dict[str, Any]) -> Event | None:
        return next((e for e in self.events if e.name == name and data.items() <= e.data.items()), None)

    def _read(self) -> None:
        with closing(self._connection), self._answer, suppress(OSError, http.client.HTTPException):
            for event in events_of(raw.decode() for raw in self._answer):
                self.events.append(event)


def events_of(lines: Iterable[str]) -> Iterator[Event]:
    event = Event()
    for line in lines:
        name, _, value = line.rstrip("\n").partition(": ")
        if name == "event":
            event.name = value
        elif name == "data":
            event.data = json.loads(value)
        elif name == "id":
            event.id = value
        elif not name and event.name:
            yield event
            event = Event()
