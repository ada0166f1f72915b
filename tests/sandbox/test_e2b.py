"""E2B's own package, as Nova calls it, against a peer on loopback. `python -m tests.newest_e2b` installs it first."""

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from src.sandbox.e2b import rented
from src.sandbox.executor import CodeRequest, CodeResult, Limits
from src.sandbox.microvm import MicroVmExecutor
from tests.runtime.building import eventually
from tests.sandbox.e2b_peer import API_KEY, Peer, e2b_peer
from tests.servers import free_port

pytest.importorskip("e2b", reason="the package e2b is not installed: python -m tests.newest_e2b")
pytestmark = pytest.mark.skipif(not shutil.which("timeout"), reason="the command for a machine is for GNU's tools")


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    with e2b_peer() as peer:
        monkeypatch.setenv("E2B_API_URL", peer.url)
        monkeypatch.setenv("E2B_SANDBOX_URL", peer.url)
        monkeypatch.setenv("E2B_HTTP_VERSION", "1.1")
        yield peer


@pytest.fixture
def executor(peer: Peer) -> Iterator[MicroVmExecutor]:
    executor = rented(SecretStr(API_KEY))()
    yield executor
    executor.close()


def run(executor: MicroVmExecutor, code: str, **about: Any) -> CodeResult:
    limits = Limits(**{"wall_seconds": 20.0, **about.pop("limits", {})})
    cancelled = about.pop("cancelled", threading.Event())
    return executor.run(CodeRequest(code, "action", {"n": 1}, limits, execution_id=1, **about), cancelled)


def test_code_runs_there_and_its_answer_comes_back(executor: MicroVmExecutor) -> None:
    result = run(executor, "print('größer')\ncontext['m'] = context['n'] + 1")

    assert (result.status, result.changes, result.logs) == ("ok", {"m": 2}, "größer\n")


def test_an_execution_has_one_machine_without_the_internet_which_is_given_back(
    executor: MicroVmExecutor, peer: Peer
) -> None:
    for seconds in (5.0, 7.5):
        run(executor, "pass", limits={"wall_seconds": seconds})
    executor.forget(1)

    [machine] = peer.machines.values()
    assert (machine.order["timeout"], machine.lifetimes) == (15, [18])
    assert machine.order["allow_internet_access"] is False
    assert not machine.is_alive


def test_the_internet_can_be_granted(executor: MicroVmExecutor, peer: Peer) -> None:
    run(executor, "pass", network=True)

    assert peer.last.order["allow_internet_access"] is True


@pytest.mark.parametrize(
    ("code", "limits", "status"),
    [
        ("raise ValueError('no')", {}, "error"),
        ("while True: pass", {"wall_seconds": 1.0}, "timeout"),
        ("while True: print('x' * 1000)", {"output_bytes": 100_000}, "output_limit"),
        ("context['x'] = 'x' * 100_000", {"result_bytes": 50_000}, "result_limit"),
        ("import os\nos._exit(3)", {}, "crashed"),
    ],
)
def test_every_way_in_which_code_can_end(
    executor: MicroVmExecutor, code: str, limits: dict[str, Any], status: str
) -> None:
    assert run(executor, code, limits=limits).status == status


def test_a_run_that_is_stopped_ends_with_its_machine(executor: MicroVmExecutor, peer: Peer) -> None:
    cancelled = threading.Event()
    results: list[CodeResult] = []
    code = "import time\ntime.sleep(60)"
    runner = threading.Thread(target=lambda: results.append(run(executor, code, cancelled=cancelled)))
    runner.start()
    eventually(lambda: peer.machines and (peer.last.folder / "attempt-0.output").exists())

    cancelled.set()
    runner.join(20)

    assert [result.status for result in results] == ["cancelled"]
    assert not peer.last.is_alive


def test_a_machine_that_ends_under_its_code_loses_the_attempt(executor: MicroVmExecutor, peer: Peer) -> None:
    results: list[CodeResult] = []
    runner = threading.Thread(target=lambda: results.append(run(executor, "import time\ntime.sleep(60)")))
    runner.start()
    eventually(lambda: peer.machines and (peer.last.folder / "attempt-0.output").exists())

    peer.last.end()
    runner.join(20)

    assert [result.status for result in results] == ["lost"]
    assert run(executor, "pass").status == "ok"


def test_a_machine_that_ended_between_two_snippets_loses_the_second(executor: MicroVmExecutor, peer: Peer) -> None:
    run(executor, "pass")
    peer.last.end()

    assert [run(executor, "pass").status for _ in range(2)] == ["lost", "ok"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_service_that_refuses_may_be_asked_again(executor: MicroVmExecutor, peer: Peer, status: int) -> None:
    run(executor, "pass")
    peer.refused_with = status
    refused = [run(executor, "pass") for _ in range(2)]
    peer.refused_with = 0

    assert [each.status for each in refused] == ["lost", "lost"]
    assert run(executor, "pass").status == "ok"


def test_a_service_that_is_away_may_be_asked_again(executor: MicroVmExecutor, peer: Peer) -> None:
    run(executor, "pass")
    peer.is_away = True
    executor.forget(1)  # though it cannot be told
    away = run(executor, "pass")
    peer.is_away = False
    run(executor, "pass")
    peer.is_away = True
    gone = [run(executor, "pass") for _ in range(2)]

    assert [each.status for each in (away, *gone)] == ["lost", "lost", "lost"]


def test_a_service_that_cannot_be_reached_may_be_asked_again(
    executor: MicroVmExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_URL", f"http://127.0.0.1:{free_port()}")

    assert run(executor, "pass").status == "lost"


def test_a_wrong_key_is_told_nowhere(peer: Peer) -> None:
    result = run(rented(SecretStr("e2b_wrong"))(), "pass")

    assert result.status == "lost"
    assert result.error
    assert "e2b_wrong" not in f"{result.error}{result.logs}"
