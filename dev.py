"""The five commands of a checkout, on a bare Python: each installs what it needs into .venv and goes on.

python3 dev.py run [--once] [--port N] [--example NAME]   start a server, run an example on it, keep serving
python3 dev.py test [pytest arguments]   run the tests, on real databases
python3 dev.py check                     everything that can be said about the code without running it
python3 dev.py serve [arguments]         `python -m src serve`
python3 dev.py bench [arguments]         `python -m benchmarks`
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import NoReturn

# Above everything that an older Python could stumble over, so that it says this and not a traceback.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(f"Nova needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = str(BIN / "python")
RUNTIME = ("requirements.txt",)
DEVELOPMENT = ("requirements.txt", "requirements-dev.txt")

EXAMPLES = ("invoice", "mail", "creative", "newsroom", "scan", "knowledge")
FUNCTIONS = ",".join(f"examples.{name}.functions" for name in ("invoice", "newsroom", "knowledge"))
STAND_IN_PORTS = {"port": 8600, "smtp-port": 8625, "imap-port": 8643}
FIRST_PORT = 8000
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
"""More than the server's own grace of 8 s for the nodes in flight."""


def main(arguments: list[str]) -> int:
    verbs = {"run": run, "test": test, "check": check, "serve": serve, "bench": bench}
    if not arguments or arguments[0] not in verbs:
        sys.exit(__doc__)
    os.chdir(ROOT)
    try:
        return verbs[arguments[0]](arguments[1:])
    except KeyboardInterrupt:
        return 130


# The five commands.


def run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py run")
    parser.add_argument("--once", action="store_true", help="stop when the example has finished")
    parser.add_argument("--port", type=int, help="default: the first free one from 8000")
    parser.add_argument("--example", default="invoice", choices=EXAMPLES, help="default: invoice")
    options = parser.parse_args(arguments)
    install(RUNTIME)
    with stand_ins(options.example) as services, running_server(choose_port(options.port), services) as server:
        tour = subprocess.call(
            [PYTHON, "-m", "examples.tour", "--url", server.url, "--example", options.example, "--services", services]
        )
        if options.once or tour != 0:
            return tour
        say(f"Nova is serving at {server.url}; Ctrl-C stops it.")
        return server.serve_until_told_to_stop()


def test(arguments: list[str]) -> int:
    install(DEVELOPMENT)
    install_browser()
    workers = (os.cpu_count() or 1) + 1  # there is always one whose test waits for something
    return become("-m", "pytest", "-n", str(workers), "--dist", "worksteal", *arguments)


def check(arguments: list[str]) -> int:
    if arguments:
        sys.exit("dev.py check takes no arguments: it always checks everything.")
    install(DEVELOPMENT)
    checks = {
        "ruff check": [str(BIN / "ruff"), "check", "."],
        "ruff format": [str(BIN / "ruff"), "format", "--check", "."],
        "mypy": [str(BIN / "mypy")],
        "lint-imports": [str(BIN / "lint-imports")],
        "alembic check": [PYTHON, "-m", "tests.schema_check"],
    }
    passed = {name: passes(name, command) for name, command in checks.items()}
    say("\n" + "\n".join(f"{name:<14} {'ok' if ok else 'FAILED'}" for name, ok in passed.items()))
    return 0 if all(passed.values()) else 1


def serve(arguments: list[str]) -> int:
    install(RUNTIME)
    return become("-m", "src", "serve", *arguments)


def bench(arguments: list[str]) -> int:
    install(DEVELOPMENT)
    return become("-m", "benchmarks", *arguments)


def become(*arguments: str) -> NoReturn:
    """Turn this process into that one: signals and the exit code need no passing on."""
    os.execv(PYTHON, [PYTHON, *arguments])


def passes(name: str, command: list[str]) -> bool:
    say(f"\n--- {name}")
    return subprocess.call(command) == 0


# The virtual environment.


def install(requirements: tuple[str, ...]) -> None:
    """Bring .venv up to these files. The stamp makes every later call free of any cost."""
    stamp = VENV / f".installed-{requirements[-1]}"
    wanted = fingerprint(requirements)
    if stamp.is_file() and stamp.read_text() == wanted and os.path.exists(PYTHON):
        return
    if not venv_is_usable():
        make_venv()
    say(f"Installing {' and '.join(requirements)} into .venv (once, about a minute) ...")
    files = [word for name in requirements for word in ("-r", name)]
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *files]
    if subprocess.call(pip) != 0:
        sys.exit("Nova's requirements could not be installed: pip's message above says why.")
    stamp.write_text(wanted)


def fingerprint(requirements: tuple[str, ...]) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in requirements:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def venv_is_usable() -> bool:
    """False also where the venv belongs to another Python: its compiled packages would not load in this one."""
    same_version = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return os.path.exists(PYTHON) and subprocess.call([PYTHON, "-c", same_version]) == 0


def make_venv() -> None:
    if importlib.util.find_spec("ensurepip") is None:
        install_ensurepip()
    say(f"Making .venv with Python {sys.version.split()[0]} ...")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", VENV]) != 0:
        sys.exit("The virtual environment could not be made: the message above says why.")


def install_ensurepip() -> None:
    """Debian and Ubuntu take `ensurepip` out of Python and ship it in a package of its own."""
    if shutil.which("apt-get") is None:
        sys.exit(f"{sys.executable} has no `ensurepip`, so it can make no virtual environment: install it first.")
    if os.geteuid() != 0:
        sys.exit("Python's venv package is missing. Run: sudo apt-get update && sudo apt-get install -y python3-venv")
    if not apt_install("python3-venv"):
        sys.exit("python3-venv could not be installed: apt-get's message above says why.")


def install_browser() -> None:
    """The tests of the page need a Chromium. Where it cannot be installed from here they say how."""
    from tests.browsers import BrowserError, find_browser  # noqa: PLC0415 -- only this verb needs it

    try:
        find_browser()
    except BrowserError as error:
        may_install = os.geteuid() == 0 and shutil.which("apt-get") and "BROWSER_PATH" not in os.environ
        if not (may_install and apt_install("chromium")):
            say(f"{error} The tests of the page will fail.")


def apt_install(package: str) -> bool:
    say(f"Installing Debian's {package} ...")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    commands = (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package])
    return all(subprocess.call(["apt-get", *command], env=environment) == 0 for command in commands)


# The server that `run` starts.


class Server:
    """Nova as a child process. It keeps its output to itself while the example prints, and shows it from then on."""

    def __init__(self, port: int, services: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._held_back: list[str] | None = []
        self._process = subprocess.Popen(
            [PYTHON, "-m", "src", "serve", "--host", "127.0.0.1", "--port", str(port)],
            env=environment(services) | os.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone, and the server then gets one signal, from us
        )
        self._reader = threading.Thread(target=self._read_output, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(f"{self.url}/health/ready"):
            if self._process.poll() is not None:
                self._fail(f"The server ended with exit code {self._process.returncode}; it said:")
            if time.monotonic() > deadline:
                self._fail(f"The server was not ready within {READY_SECONDS:.0f} s; it said:")
            time.sleep(0.05)

    def serve_until_told_to_stop(self) -> int:
        self._held_back = None
        try:
            return self._process.wait()
        except KeyboardInterrupt:
            return 0

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
        self._reader.join(1.0)

    def _read_output(self) -> None:
        for line in self._process.stdout or ():
            if self._held_back is None:
                say(line.rstrip("\n"))
            else:
                self._held_back.append(line)

    def _fail(self, reason: str) -> None:
        self.stop()
        sys.exit(f"{reason}\n\n{''.join(self._held_back or ())}")


@contextmanager
def running_server(port: int, services: str) -> Iterator[Server]:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    server = Server(port, services)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@contextmanager
def stand_ins(example: str) -> Iterator[str]:
    """The services that an example calls; the invoice calls none. Answers their address."""
    url = f"http://127.0.0.1:{STAND_IN_PORTS['port']}"
    if example == "invoice":
        yield url
        return
    ports = [word for name, port in STAND_IN_PORTS.items() for word in (f"--{name}", str(port))]
    process = subprocess.Popen([PYTHON, "-m", "examples.services", *ports], start_new_session=True)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not answers(f"{url}/notified"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("The stand-in services of the examples could not be started: their message above says why.")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def environment(services: str) -> dict[str, str]:
    """What the examples need, where nobody has said otherwise: with LLM_BASE_URL set, a real model answers."""
    place = services.removeprefix("http://").partition(":")[0]
    model = {"LLM_BASE_URL": f"{services}/v1", "LLM_MODEL": "stand-in", "LLM_IMAGE_MODEL": "stand-in"}
    return {
        "API_KEYS": "off",  # it listens on this machine alone, and answers nobody else, whatever the database
        "NOVA_FUNCTIONS": FUNCTIONS,
        "OUTBOUND_ALLOW": ",".join(f"{place}:{port}" for port in STAND_IN_PORTS.values()),
        "SQL_SQLITE_FOLDER": "data/invoices",
        "PYTHONUNBUFFERED": "1",
    } | ({} if os.environ.get("LLM_BASE_URL") else model)


def answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy could not reach this machine
    try:
        direct.open(url, timeout=2.0).close()  # raises on a 503, too
    except (OSError, HTTPException):
        return False
    return True


def choose_port(wanted: int | None) -> int:
    if wanted is not None:
        return wanted if is_free(wanted) else sys.exit(f"Port {wanted} is taken.")
    port = next(port for port in range(FIRST_PORT, FIRST_PORT + 100) if is_free(port))
    if port != FIRST_PORT:
        say(f"Port {FIRST_PORT} is taken: Nova takes {port}.")
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was closed a moment ago is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # what a child prints next must stand below it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
