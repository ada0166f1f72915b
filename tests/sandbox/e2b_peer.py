"""As much of E2B as Nova uses, on loopback, for E2B's own package to talk to: machines are folders with a shell."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

API_KEY = "e2b_" + "0" * 40
ENVD_VERSION = "0.6.7"
LAST = 2
"""The flag of the envelope that ends a stream."""


@dataclass
class Machine:
    order: dict[str, Any]
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nova-e2b-")))
    lifetimes: list[int] = field(default_factory=list)
    is_alive: bool = True
    process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: list[str]) -> int:
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        self.process = subprocess.Popen(
            ["/bin/bash", *arguments], cwd=self.folder, env={"PATH": path}, start_new_session=True
        )
        return self.process.wait()

    def end(self) -> None:
        self.is_alive = False
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Peer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.machines: dict[str, Machine] = {}
        self.numbers = itertools.count(1)
        self.refused_with = 0
        """A status for every request, instead of what was asked for."""
        self.is_away = False
        """It closes every connection without a word."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def last(self) -> Machine:
        return list(self.machines.values())[-1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Peer

    def do_GET(self) -> None:
        self._route()

    do_POST = do_DELETE = do_GET  # noqa: N815 -- so they are called

    def log_message(self, format: str, *args: object) -> None: ...

    def _route(self) -> None:
        body = self._body()
        place = urlsplit(self.path)
        if self.server.is_away:
            self.close_connection = True
        elif self.server.refused_with:
            self._answer(self.server.refused_with, {"code": self.server.refused_with, "message": "not now"})
        elif "E2b-Sandbox-Id" in self.headers:
            self._of_a_machine(place.path, parse_qs(place.query), body)
        elif self.headers["X-API-KEY"] != API_KEY:
            self._answer(401, {"code": 401, "message": f"{self.headers['X-API-KEY']} is not a key"})
        else:
            self._of_the_service(place.path, body)

    def _of_the_service(self, path: str, body: bytes) -> None:
        if path == "/v2/sandboxes":
            name = f"machine{next(self.server.numbers)}"
            self.server.machines[name] = Machine(json.loads(body))
            self._answer(201, {
                "templateID": "base", "sandboxID": name, "clientID": "c", "envdVersion": ENVD_VERSION,
                "envdAccessToken": name,
            })  # fmt: skip
            return
        machine = self.server.machines[path.split("/")[2]]
        if not machine.is_alive:
            self._answer(404, {"code": 404, "message": "there is no such machine"})
        elif self.command == "DELETE":
            machine.end()
            self._answer(204)
        else:
            machine.lifetimes.append(json.loads(body)["timeout"])
            self._answer(204)

    def _of_a_machine(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        machine = self.server.machines[self.headers["E2b-Sandbox-Id"]]
        if not machine.is_alive:
            self._answer(502, {"code": 502, "message": "the sandbox was not found"})
        elif path == "/health":
            self._answer(204)
        elif path == "/process.Process/Start":
            self._start(machine, json.loads(body[5:]))
        elif self.command == "POST":
            name = query["path"][0]
            (machine.folder / name).write_bytes(self._uploaded(body))
            self._answer(200, [{"name": name, "path": name, "type": "file"}])
        elif (found := machine.folder / query["path"][0]).exists():
            self._answer(200, found.read_bytes())
        else:
            self._answer(404, {"code": 404, "message": "there is no such file"})

    def _start(self, machine: Machine, asked: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/connect+json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._tell({"event": {"start": {"pid": 7}}})
        status = machine.run(asked["process"]["args"])
        if not machine.is_alive:  # it was ended, and this connection with it
            self.close_connection = True
            return
        self._tell({"event": {"end": {"exitCode": status, "exited": True, "status": f"exit status {status}"}}})
        self._tell({}, flags=LAST)
        self.wfile.write(b"0\r\n\r\n")

    def _tell(self, message: object, flags: int = 0) -> None:
        told = json.dumps(message).encode()
        envelope = bytes([flags]) + len(told).to_bytes(4, "big") + told
        self.wfile.write(b"%x\r\n%s\r\n" % (len(envelope), envelope))

    def _uploaded(self, body: bytes) -> bytes:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        _, part = message_from_bytes(head + body).walk()
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        return content

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: object = None) -> None:
        told = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)


@contextmanager
def e2b_peer() -> Iterator[Peer]:
    with Peer() as peer:
        threading.Thread(target=peer.serve_forever, daemon=True).start()
        try:
            yield peer
        finally:
            peer.shutdown()
            for machine in peer.machines.values():
                machine.end()
