"""The fork server's process, as seen from Nova: started by exec with an empty environment, heard over one socket."""

import array
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from src.sandbox.executor import Level

FOLDER = str(Path(__file__).parent)
START = """
import sys
sys.path.insert(0, sys.argv[1])
from inside.zygote import main
del sys.path[0]
main(int(sys.argv[2]))
"""
START_SECONDS = 30.0
"""For an interpreter to start and load a hundred modules: a third of a second where nothing else happens."""
MAX_HELLO = 64 * 1024


class Unavailable(Exception):
    """There is no fork server here; says why."""


@dataclass(frozen=True, slots=True)
class Installation:
    """See `inside/zygote.py`, which reads it."""

    packages: Mapping[str, str]
    ports: Sequence[int]
    landlock: bool = True


@dataclass(frozen=True, slots=True)
class Strength:
    """What the fork server found that it can enforce, by trying."""

    level: Level
    landlock: int = 0
    """The version of the kernel's interface; 0 where it is not used."""
    network: bool = False
    """It can tell TCP ports apart, so the network can be granted."""
    own_users: bool = False
    threads: int = 1
    resident_kb: int = 0
    """Of the fork server. A child begins with less, nearly all of it shared."""
    reason: str = ""


class ServerProcess:
    """One fork server. Belongs to the process that started it: a fork of Nova must start its own."""

    def __init__(self, installation: Installation) -> None:
        """Raises Unavailable where no walls can be raised."""
        if not sys.platform.startswith("linux"):
            raise Unavailable(f"{sys.platform} has neither Landlock nor seccomp")
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", START, FOLDER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self.strength = self._introduce(installation)

    @property
    def pid(self) -> int:
        return self._process.pid

    def order(self, message: Mapping[str, object], opened: Sequence[int]) -> None:
        """Ask for a child. Raises OSError where the fork server is gone."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))]
        self._control.sendmsg([json.dumps(message).encode()], rights)

    def is_alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        """Its children end with it."""
        self._control.close()
        if self.owner == os.getpid():
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _introduce(self, installation: Installation) -> Strength:
        self._control.settimeout(START_SECONDS)
        try:
            self._control.send(json.dumps(asdict(installation)).encode())
            answer = self._control.recv(MAX_HELLO)
        except OSError as error:
            answer, told = b"", str(error)
        else:
            told = "it ended while it started"
        if not answer:
            self.close()
            raise Unavailable(f"the fork server did not start: {told}")
        self._control.settimeout(None)
        found = json.loads(answer)
        strength = Strength(**{**found, "level": Level(found["level"])})
        if not strength.level.reaches(Level.SECCOMP):
            self.close()
            raise Unavailable(strength.reason)
        return strength
