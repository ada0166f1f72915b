"""Code in machines that are rented for an execution. Here the machines are folders in which the same shell runs."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from src.sandbox.e2b import E2B, errors_of, rented
from src.sandbox.executor import CodeRequest, CodeResult, Level, Limits
from src.sandbox.microvm import MicroVm, MicroVmExecutor, VmLost
from src.sandbox.sandbox import Sandbox
from src.sandbox.server_process import Installation, Unavailable
from tests.runtime.building import eventually

pytestmark = pytest.mark.skipif(not shutil.which("timeout"), reason="the command for a machine is for GNU's tools")


class FolderVm:
    def __init__(self, internet: bool) -> None:
        self.internet = internet
        self.folder = Path(tempfile.mkdtemp())
        self.is_alive = True
        self.lifetimes: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None

    def live_for(self, seconds: float) -> None:
        self._check()
        self.lifetimes.append(seconds)

    def put(self, name: str, content: bytes) -> None:
        self._check()
        (self.folder / name).write_bytes(content)

    def run(self, command: str, seconds: float) -> int:
        self._check()
        path = f"{Path(sys.executable).parent}:{os.defpath}"
        self._process = subprocess.Popen(
            ["bash", "-c", command], cwd=self.folder, env={"PATH": path}, start_new_session=True
        )
        status = self._process.wait(seconds + 20)
        self._check()
        return status

    def fetch(self, name: str) -> bytes:
        self._check()
        return (self.folder / name).read_bytes()

    def kill(self) -> None:
        self.is_alive = False
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self) -> None:
        if not self.is_alive:
            raise VmLost("the machine is gone")


class FolderVms:
    def __init__(self) -> None:
        self.rented: list[FolderVm] = []
        self.is_away = False

    def start(self, *, internet: bool, seconds: float) -> MicroVm:
        if self.is_away:
            raise VmLost("nobody answers")
        vm = FolderVm(internet)
        vm.lifetimes.append(seconds)
        self.rented.append(vm)
        return vm


@pytest.fixture
def vms() -> Iterator[FolderVms]:
    vms = FolderVms()
    yield vms
    for vm in vms.rented:
        vm.kill()


@pytest.fixture
def executor(vms: FolderVms) -> MicroVmExecutor:
    return MicroVmExecutor(vms)


def run(executor: MicroVmExecutor, code: str, execution_id: int | None = 1, **about: Any) -> CodeResult:
    limits = Limits(**{"wall_seconds": 20.0, **about.pop("limits", {})})
    cancelled = about.pop("cancelled", threading.Event())
    return executor.run(CodeRequest(code, "action", {"n": 1}, limits, execution_id=execution_id, **about), cancelled)


def test_code_runs_there_and_its_answer_comes_back(executor: MicroVmExecutor) -> None:
    result = run(executor, "print('hello')\ncontext['m'] = context['n'] + 1")

    assert (result.status, result.changes, result.logs) == ("ok", {"m": 2}, "hello\n")
    assert result.usage
    assert result.usage.level == Level.MICROVM


def test_an_execution_has_one_machine_which_is_given_back_at_its_end(executor: MicroVmExecutor, vms: FolderVms) -> None:
    for execution_id in (1, 1, 2):
        run(executor, "pass", execution_id)
    executor.forget(1)

    assert [vm.is_alive for vm in vms.rented] == [False, True]
    executor.close()
    assert [vm.is_alive for vm in vms.rented] == [False, False]


def test_the_internet_is_off_unless_it_was_granted(executor: MicroVmExecutor, vms: FolderVms) -> None:
    run(executor, "pass")
    run(executor, "pass", network=True)
    run(executor, "pass")

    assert [vm.internet for vm in vms.rented] == [False, True]


def test_a_machine_lives_ten_seconds_longer_than_its_code_may_run(executor: MicroVmExecutor, vms: FolderVms) -> None:
    run(executor, "pass", limits={"wall_seconds": 5.0})
    run(executor, "pass", limits={"wall_seconds": 7.0})

    assert vms.rented[0].lifetimes == [15.0, 17.0]


@pytest.mark.parametrize(
    ("code", "limits", "status"),
    [
        ("raise ValueError('no')", {}, "error"),
        ("while True: pass", {"wall_seconds": 1.0}, "timeout"),
        ("while True: print('x' * 1000)", {"output_bytes": 100_000}, "output_limit"),
        ("context['x'] = 'x' * 100_000", {"result_bytes": 50_000}, "result_limit"),
        ("import os\nos._exit(3)", {}, "crashed"),
        ("import os\nos.write(4, b'[' * 100)\nos._exit(0)", {}, "crashed"),
    ],
)
def test_every_way_in_which_code_can_end(
    executor: MicroVmExecutor, code: str, limits: dict[str, Any], status: str
) -> None:
    result = run(executor, code, limits=limits)

    assert result.status == status
    assert result.error


def test_a_run_that_is_stopped_ends_with_its_machine(executor: MicroVmExecutor, vms: FolderVms) -> None:
    cancelled = threading.Event()
    results: list[CodeResult] = []
    runner = threading.Thread(
        target=lambda: results.append(run(executor, "import time\ntime.sleep(60)", cancelled=cancelled))
    )
    runner.start()
    eventually(lambda: vms.rented and (vms.rented[0].folder / "attempt-0.output").exists())

    cancelled.set()
    runner.join(20)

    assert [result.status for result in results] == ["cancelled"]
    assert not vms.rented[0].is_alive


def test_an_outage_may_pass_and_nothing_runs_elsewhere_meanwhile(executor: MicroVmExecutor, vms: FolderVms) -> None:
    vms.is_away = True
    away = run(executor, "context['m'] = 1")
    vms.is_away = False
    run(executor, "pass")
    vms.rented[0].kill()
    gone = run(executor, "context['m'] = 1")
    again = run(executor, "context['m'] = 1")

    assert [each.status for each in (away, gone, again)] == ["lost", "lost", "ok"]
    assert away.error
    assert "nobody answers" in away.error.message


def test_what_code_asks_the_server_for_is_not_answered_there(executor: MicroVmExecutor) -> None:
    error = run(executor, "progress(0.5)\nhttp.request('GET', 'https://a.example')").error

    assert error
    assert error.type == "Permanent"


# Whether there are any.


@pytest.mark.parametrize("key", ["", "e2b_key"])
def test_without_a_key_or_the_package_no_code_runs(key: str) -> None:
    sandbox = Sandbox(Installation({}, []), slots=1, least=Level.WEAK, elsewhere=rented(SecretStr(key)))
    try:
        __import__("e2b")
    except ImportError:
        result = sandbox.run(CodeRequest("context['a'] = 1", "action", {}), threading.Event())
    else:
        pytest.skip("the package is installed here")

    assert result.status == "refused"
    assert str(sandbox.level) == "off"
    assert "CODE_EXECUTOR" in sandbox.open().about


class SandboxException(Exception):
    pass


class CommandExitException(SandboxException):
    exit_code = 137


def rented_from(create: Any) -> E2B:
    """With what the package looks like, as far as it is used. `test_e2b.py` has the package itself."""
    package = SimpleNamespace(
        Sandbox=SimpleNamespace(create=create),
        SandboxException=SandboxException,
        CommandExitException=CommandExitException,
    )
    return E2B(package, SecretStr("e2b_key"), errors_of(package))


def test_what_is_asked_of_the_package() -> None:
    asked: list[Any] = []

    def run_command(command: str, timeout: float) -> Any:
        asked.append((command, timeout))
        raise CommandExitException

    files = SimpleNamespace(
        write=lambda name, data: asked.append((name, data)), read=lambda name, format: bytearray(name.encode())
    )
    commands = SimpleNamespace(run=run_command)
    sandbox = SimpleNamespace(
        files=files, commands=commands, set_timeout=asked.append, kill=lambda **about: asked.append(about)
    )

    def create(**about: Any) -> Any:
        asked.append(about)
        return sandbox

    vm = rented_from(create).start(internet=False, seconds=12.5)
    vm.put("a", b"b")
    status, found = vm.run("true", 3.0), vm.fetch("x")
    vm.live_for(7.2)
    vm.kill()

    assert (status, found) == (137, b"x")
    assert asked == [
        {"timeout": 13, "allow_internet_access": False, "api_key": "e2b_key"}, ("a", b"b"), ("true", 3.0), 8,
        {"request_timeout": 10.0},
    ]  # fmt: skip


def test_what_the_package_raises_is_told_by_its_name_alone() -> None:
    def create(**about: Any) -> Any:
        raise SandboxException(f"refused {about['api_key']}")

    with pytest.raises(VmLost, match=r"^E2B: SandboxException$"):
        rented_from(create).start(internet=False, seconds=1)


def test_who_has_no_key_is_told_which() -> None:
    with pytest.raises(Unavailable, match="E2B_API_KEY"):
        rented(SecretStr(""))()
