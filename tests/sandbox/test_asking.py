"""What code can say to the server while it runs: calls that the server makes for it, how far it is, how it fails."""

import base64
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from src.core.outcome import ErrorClass, Failed
from src.sandbox.executor import CodeExecutor, CodeRequest, CodeResult, HttpBridge, Limits
from src.sandbox.fork_server import ForkServerExecutor
from src.sandbox.server_process import Installation
from src.sandbox.subprocess_executor import SubprocessExecutor
from tests.nodes.visits import failed, kinds, visit, workshop

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["fork server", "plain process"])
def executor(request: pytest.FixtureRequest) -> Iterator[CodeExecutor]:
    if request.param == "fork server" and not sys.platform.startswith("linux"):
        pytest.skip("there is a fork server on Linux alone")
    executor: CodeExecutor = (
        ForkServerExecutor(Installation({}, []), slots=2, kept=2)
        if request.param == "fork server"
        else SubprocessExecutor()
    )
    yield executor
    executor.close()


class Bridge:
    """Answers every call with the same, and remembers what was asked."""

    def __init__(self, answer: Json) -> None:
        self.answer = answer
        self.calls: list[Json] = []
        self.seconds: list[float] = []

    def __call__(self, call: Json, seconds: float, cancelled: threading.Event) -> Json:
        self.calls.append(call)
        self.seconds.append(seconds)
        return self.answer


def run(executor: CodeExecutor, code: str, http: HttpBridge | None = None, **about: Any) -> CodeResult:
    limits, cancelled = Limits(wall_seconds=about.pop("wall_seconds", 30.0)), about.pop("cancelled", threading.Event())
    return executor.run(CodeRequest(code, "action", {}, limits, http=http, execution_id=1, **about), cancelled)


# HTTP.


def test_a_call_goes_through_the_server_and_its_answer_comes_back(executor: CodeExecutor) -> None:
    bridge = Bridge({"status": 200, "headers": {"Content-Type": "application/json"}, "text": '{"rate": 1.08}'})
    code = (
        "answer = http.request('POST', 'https://example.com/rates', json={'of': 'EUR'}, headers={'X-A': 'b'}, "
        "query={'on': '2026-01-01'}, timeout=5)\n"
        "context['got'] = [answer.status, answer.ok, answer.json(), answer.text, answer.headers['content-type']]"
    )

    result = run(executor, code, bridge)

    assert result.changes == {"got": [200, True, {"rate": 1.08}, '{"rate": 1.08}', "application/json"]}
    assert bridge.calls == [
        {
            "method": "POST",
            "url": "https://example.com/rates",
            "headers": {"X-A": "b", "Content-Type": "application/json"},
            "query": {"on": "2026-01-01"},
            "text": '{"of": "EUR"}',
            "timeout": 5,
        }
    ]
    assert 0 < bridge.seconds[0] <= 30


def test_bytes_go_and_come_unchanged(executor: CodeExecutor) -> None:
    content = bytes(range(256))
    bridge = Bridge({"status": 201, "headers": {}, "base64": base64.b64encode(content).decode()})
    code = (
        "found = http.request('PUT', 'https://a.example', body=bytes(range(256)))\ncontext['n'] = list(found.content)"
    )

    result = run(executor, code, bridge)

    assert result.changes == {"n": list(content)}
    assert base64.b64decode(bridge.calls[0]["base64"]) == content


def test_where_no_call_is_allowed_the_code_is_told_so(executor: CodeExecutor) -> None:
    result = run(executor, "http.request('GET', 'https://example.com')")

    assert result.error
    assert (result.error.type, result.error.line) == ("Permanent", 1)
    assert "allows code no calls" in result.error.message


@pytest.mark.parametrize(
    ("answer", "error_type"),
    [
        ({"error": {"class": "transient", "message": "no answer", "retry_after_seconds": 7}}, "Transient"),
        ({"error": {"class": "permanent", "message": "no answer"}}, "Permanent"),
        ({"status": 503, "headers": {}, "text": "busy"}, "Transient"),
        ({"status": 429, "headers": {}, "text": "busy"}, "Transient"),
        ({"status": 404, "headers": {}, "text": "gone"}, "Permanent"),
    ],
)
def test_what_did_not_work_says_whether_it_may_pass(executor: CodeExecutor, answer: Json, error_type: str) -> None:
    result = run(executor, "http.request('GET', 'https://a.example').raise_for_status()", Bridge(answer))

    assert result.error
    assert result.error.type == error_type
    assert result.error.retry_after_seconds == (7 if "retry_after_seconds" in answer.get("error", {}) else None)


def test_threads_of_the_code_may_all_ask(executor: CodeExecutor) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as threads:\n"
        "    answers = list(threads.map(lambda n: http.request('GET', f'https://a.example/{n}').status, range(20)))\n"
        "context['n'] = answers"
    )
    bridge = Bridge({"status": 204, "headers": {}, "text": ""})

    result = run(executor, code, bridge)

    assert result.changes == {"n": [204] * 20}
    assert {call["url"] for call in bridge.calls} == {f"https://a.example/{number}" for number in range(20)}


def test_a_run_that_is_stopped_does_not_wait_for_an_answer(executor: CodeExecutor) -> None:
    cancelled, is_asked, may_end = threading.Event(), threading.Event(), threading.Event()

    def hang(call: Json, seconds: float, unwanted: threading.Event) -> Json:
        is_asked.set()
        unwanted.wait(20)
        may_end.set()
        return {"status": 200, "headers": {}, "text": ""}

    def stop() -> None:
        is_asked.wait(20)
        cancelled.set()

    threading.Thread(target=stop).start()
    started = time.monotonic()

    result = run(executor, "http.request('GET', 'https://a.example')", hang, cancelled=cancelled)

    assert result.status == "cancelled"
    assert time.monotonic() - started < 15
    assert may_end.wait(20), "whoever makes the call is told that nobody wants it any more"


def test_the_time_of_a_call_is_time_of_the_code(executor: CodeExecutor) -> None:
    def hang(call: Json, seconds: float, unwanted: threading.Event) -> Json:
        unwanted.wait(20)
        return {}

    assert run(executor, "http.request('GET', 'https://a.example')", hang, wall_seconds=1.0).status == "timeout"


@pytest.mark.parametrize(
    "said", ["{'http': 1}", "{'http': {}}, {'http': {}}", "{'progress': 1}", "{'something': {}}", "{'result': 5}", "[]"]
)
def test_messages_without_sense_end_the_code(executor: CodeExecutor, said: str) -> None:
    code = (
        "import json, os, time\nanswer = http._line._answer\n"
        f"for said in ({said},):\n    text = json.dumps(said).encode()\n"
        "    os.write(answer, len(text).to_bytes(8, 'big') + text)\ntime.sleep(60)"
    )

    def slow(call: Json, seconds: float, unwanted: threading.Event) -> Json:
        unwanted.wait(20)
        return {}

    assert run(executor, code, slow).status == "crashed"


# Progress.


def test_code_says_how_far_it_is(executor: CodeExecutor) -> None:
    heard: list[tuple[float, str]] = []
    code = "progress(0.25, 'a quarter')\nprogress(2)\ncontext['a'] = 1"

    result = run(executor, code, on_progress=lambda *told: heard.append(told))

    assert result.changes == {"a": 1}
    assert heard[-1] == (1.0, "")
    assert set(heard) <= {(0.25, "a quarter"), (1.0, "")}


def test_who_says_more_than_can_be_told_is_told_of_by_the_last_word(executor: CodeExecutor) -> None:
    heard: list[tuple[float, str]] = []
    code = "for n in range(20_000): progress(n / 20_000)\nprogress(0.5, 'x' * 1_000_000)\ncontext['a'] = 1"

    result = run(executor, code, on_progress=lambda *told: heard.append(told))

    assert result.changes == {"a": 1}
    assert heard[-1][0] == 0.5
    assert len(heard[-1][1]) < 10_000


def test_progress_that_nobody_wants_to_hear_does_no_harm(executor: CodeExecutor) -> None:
    assert run(executor, "progress(0.5, 'half')\ncontext['a'] = 1").changes == {"a": 1}


def test_whoever_watches_a_node_hears_of_the_progress_of_its_code() -> None:
    heard: list[tuple[float, str]] = []
    node = kinds().read({"id": "node", "type": "action", "code": "progress(0.5, 'half')"})

    workshop().run(node, visit(progress=lambda *told: heard.append(told)))

    assert heard == [(0.5, "half")]


# How it fails.


def test_code_says_that_a_failure_may_pass_and_when() -> None:
    error = failed({"type": "action", "code": "raise Transient('busy', retry_after_seconds=60)"}).error

    assert (error.type, error.message, error.error_class) == ("Transient", "busy", ErrorClass.TRANSIENT)
    assert error.retry_after_seconds == 60


def test_code_says_that_a_failure_will_not_pass() -> None:
    assert failed({"type": "action", "code": "raise Permanent('no')"}).error.error_class is ErrorClass.PERMANENT


def test_code_asks_for_a_person_with_what_it_would_have_changed() -> None:
    outcome = failed({"type": "action", "code": "raise NeedsReview('odd total', output={'total': 7})"})

    assert isinstance(outcome, Failed)
    assert (outcome.error.error_class, outcome.output) == (ErrorClass.PARTIAL, {"total": 7})


@pytest.mark.parametrize("output", ["5", "{1: object()}", "[[]]"])
def test_an_output_that_is_none_is_left_out(output: str) -> None:
    assert failed({"type": "action", "code": f"raise NeedsReview('odd', output={output})"}).output == {}
