"""The switch is on: a web process, workers and a broker. The same runs, the same rows, wherever they go on."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from src.runtime.broker import TASK, Broker, make_celery
from tests import servers
from tests.api.door import serving
from tests.end_to_end import router
from tests.end_to_end.fleet import PATIENCE_SECONDS, Fleet, Web, fleet
from tests.end_to_end.processes import EFFECTS, ORDER, PAUSES, WORKFLOW
from tests.end_to_end.scenarios import SCENARIOS, Json, Place
from tests.runtime.building import call, eventually, graph

GATED = graph("start -> first, first -> hold, hold -> last, last -> end",
    first=call("tell_process"), hold=call("wait_at_gate"), last=call("tell_process"))  # fmt: skip
THERE = call("tell_process") | {"queue": "analyst"}
FORKED = graph("start -> here, here -> there, there -> back, back -> end",
    here=call("tell_process"), there=THERE, back=call("tell_process"))  # fmt: skip
ANALYST = graph("start -> look, look -> end", look=call("wait_at_gate")) | {"queue": "analyst"}
QUICK = graph("start -> work, work -> more, more -> end", work=call("work"), more=call("work"))
REFUSED = graph("start -> refuse, refuse -> end", refuse=call("refuse"))
SLEEPY = graph("start -> first, first -> sleep, sleep -> last, last -> end",
    first=call("tell_process"), sleep=call("nap"), last=call("tell_process"))  # fmt: skip


class Deployment:
    """One web process, one worker for the default queue and one for the queue `analyst`."""

    def __init__(self, members: Fleet, web: Web) -> None:
        self.members = members
        self.web = web
        self._ids: dict[str, int] = {}

    def id_of(self, name: str, definition: object) -> int:
        if name not in self._ids:
            self._ids[name] = self.web.save(name, definition)
        return self._ids[name]

    def effects(self, execution_id: int) -> Counter[str]:
        return self.members.installation.effects(execution_id)

    def result(self, execution_id: int) -> Any:
        ended = self.web.end_of(execution_id)
        assert ended["status"] == "completed", ended
        return ended["result"]

    def reasons(self, execution_id: int) -> list[str]:
        return [data["reason"] for data in self.members.events(execution_id, "handed_off")]


@pytest.fixture(scope="module")
def deployment(
    postgres: servers.Postgres, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    with (
        postgres.fresh_database(postgres_template) as url,
        servers.redis_server() as redis_url,
        fleet(url, redis_url, folder, CELERY_RESULT_BACKEND=redis_url) as members,
    ):
        web = members.web()
        members.worker()
        members.worker("analyst", "-Q", "analyst", concurrency=1)
        members.wait_until_ready()
        yield Deployment(members, web)


@pytest.fixture
def context(deployment: Deployment, tmp_path: Path) -> dict[str, Any]:
    return {
        "order": ORDER,
        "effects": str(deployment.members.installation.effects_file),
        "pauses": PAUSES,
        "gate": str(tmp_path / "gate"),
    }


@pytest.fixture
def open_gate(context: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """Opened at the end whatever happens: a node that waits at it holds up a worker."""
    yield Path(context["gate"]).touch
    Path(context["gate"]).touch()


def test_a_run_on_a_worker_leaves_the_rows_of_one_in_the_request(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    workflow_id = deployment.id_of("orders", WORKFLOW)
    inline = deployment.web.execute(workflow_id, context)

    queued = deployment.web.execute(workflow_id, context, query="?async_mode=true")
    preferred = deployment.web.execute(workflow_id, context, Prefer="respond-async")

    assert inline.status == 200, inline.body
    assert (queued.status, preferred.status) == (202, 202)
    assert queued.headers["Location"] == f"/executions/{queued.body['id']}"
    assert "Retry-After" in queued.headers
    expected = deployment.members.installation.history(inline.body["id"])
    for answer in (queued, preferred):
        ended = deployment.web.end_of(answer.body["id"])
        attempts, [execution] = deployment.members.installation.history(ended["id"])
        assert execution["mode"] == "celery"
        assert (attempts, [execution | {"mode": "inline"}]) == expected
        assert deployment.effects(ended["id"]) == dict.fromkeys(EFFECTS, 1)


@pytest.fixture(scope="module")
def inline(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One process, a file, and no broker."""
    folder = tmp_path_factory.mktemp("inline")
    url = f"sqlite:///{shutil.copyfile(sqlite_template, folder / 'nova.db')}"
    with serving(url, nova_functions=["tests.end_to_end.functions"], sweep_seconds=0.2) as client:

        def call(path: str, body: Json | None) -> Json:
            answer = client.get(path) if body is None else client.post(path, json=body, headers={"Prefer": "wait=0.3"})
            assert answer.is_success, answer.text
            found: Json = answer.json()
            return found

        yield Place(call, folder, is_behind=False)


@pytest.fixture
def on_a_worker(deployment: Deployment) -> Place:
    def call(path: str, body: Json | None) -> Json:
        answer = deployment.web.call(path, body)
        assert answer.status < 300, answer.body
        found: Json = answer.body
        return found

    return Place(call, deployment.members.folder, is_behind=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_inline_as_it_ends_on_a_worker(inline: Place, on_a_worker: Place, name: str) -> None:
    scenario = SCENARIOS[name]

    end = scenario.play(name, inline)

    assert end["status"] == scenario.ends_as
    assert scenario.play(name, on_a_worker) == end


def test_a_hundred_runs_at_once_all_complete(deployment: Deployment, context: dict[str, Any]) -> None:
    workflow_id = deployment.id_of("quick", QUICK)

    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(lambda _: deployment.web.enqueue(workflow_id, context), range(100)))

    assert len(set(ids)) == 100
    eventually(lambda: statuses(deployment, ids) == {"completed": 100}, seconds=PATIENCE_SECONDS, what="their ends")
    assert {tuple(sorted(deployment.effects(each).items())) for each in ids} == {(("more", 1), ("work", 1))}


def statuses(deployment: Deployment, ids: list[int]) -> Counter[str]:
    known = deployment.members.installation.executions()
    return Counter(known[each] for each in ids)


def test_the_same_message_delivered_three_times_runs_once(
    deployment: Deployment, context: dict[str, Any], open_gate: Callable[[], None]
) -> None:
    execution = deployment.web.execute(deployment.id_of("gated", GATED), context, query="?async_mode=true").body
    app = make_celery(Broker(deployment.members.redis_url))

    for _ in range(3):
        app.send_task(TASK, args=(execution["id"],), task_id=execution["task_id"], queue="nova")
    open_gate()

    deployment.result(execution["id"])
    marker = deployment.web.enqueue(deployment.id_of("quick", QUICK), context)  # behind them in the queue
    deployment.result(marker)
    assert deployment.effects(execution["id"]) == {"first": 1, "hold": 1, "last": 1}
    app.close()


def test_fifty_simultaneous_requests_with_one_key_start_one_execution(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    workflow_id = deployment.id_of("quick", QUICK)

    def post(number: int) -> Any:
        query = "?async_mode=true" if number % 2 else ""
        return deployment.web.execute(workflow_id, context, query=query, Idempotency_Key="order 1")

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(post, range(50)))
    other = deployment.web.execute(workflow_id, context | {"order": 8}, Idempotency_Key="order 1")

    assert {answer.status for answer in answers} <= {200, 202}
    [execution_id] = {answer.body["id"] for answer in answers}
    deployment.result(execution_id)
    assert deployment.effects(execution_id) == {"work": 1, "more": 1}
    assert other.status == 422


def test_a_node_goes_to_the_workers_of_its_queue_and_the_run_comes_back(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    workflow_id = deployment.id_of("forked", FORKED)

    queued = deployment.web.enqueue(workflow_id, context)
    inline = deployment.web.execute(workflow_id, context)

    for result in (deployment.result(queued), deployment.result(inline.body["id"])):
        assert result["there"] not in (result["here"], result["back"])
    assert deployment.reasons(queued) == ["queue", "queue"]
    assert deployment.result(inline.body["id"])["here"] == deployment.web.process.pid
    assert [data["queue"] for data in deployment.members.events(queued, "handed_off")] == ["analyst", None]


def test_high_goes_before_normal_and_normal_before_low(
    deployment: Deployment, context: dict[str, Any], open_gate: Callable[[], None]
) -> None:
    workflow_id = deployment.id_of("analyst", ANALYST)
    first = deployment.web.enqueue(workflow_id, context)
    eventually(lambda: deployment.effects(first)["look"], seconds=PATIENCE_SECONDS, what="the one that holds it up")

    ids = {
        priority: deployment.web.call(
            f"/workflows/{workflow_id}/execute?async_mode=true", {"initial_context": context, "priority": priority}
        ).body["id"]
        for priority in ("low", "normal", "high")
    }
    open_gate()

    for each in ids.values():
        deployment.result(each)
    order = deployment.members.query(
        "SELECT id FROM executions WHERE workflow_id = :id ORDER BY started_at", id=workflow_id
    )
    assert [row["id"] for row in order] == [first, ids["high"], ids["normal"], ids["low"]]


def test_a_run_that_passes_its_budget_goes_on_behind_a_202_and_its_node_is_not_killed(
    deployment: Deployment, context: dict[str, Any], open_gate: Callable[[], None]
) -> None:
    answer = deployment.web.execute(deployment.id_of("gated", GATED), context, Prefer="wait=0.5")

    during = deployment.web.call(answer.headers["Location"]).body
    open_gate()
    result = deployment.result(answer.body["id"])

    assert answer.status == 202
    assert (during["status"], during["mode"]) == ("running", "inline")
    assert result["first"] == result["hold"] == deployment.web.process.pid
    assert result["last"] != deployment.web.process.pid
    assert deployment.reasons(answer.body["id"]) == ["budget"]
    assert deployment.effects(answer.body["id"]) == {"first": 1, "hold": 1, "last": 1}


def test_a_run_longer_than_the_patience_of_a_router_answers_202_in_time(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    """Scaled down; `python -m tests.end_to_end.router` is 40 s behind 30 s."""
    workflow_id = deployment.id_of("naps", router.NAPS)
    slow = context | {"seconds": 0.5}
    with router.router(deployment.web.port, seconds=1.5) as way:
        given_up = router.execute(way.url, workflow_id, slow | {"order": 2}, Prefer="wait=20")
        answer = router.execute(way.url, workflow_id, slow, Prefer="wait=0.7")

    deployment.result(answer.body["id"])
    assert given_up.status == 504, "it would have been too late"
    assert answer.status == 202
    assert deployment.reasons(answer.body["id"])[0] in ("budget", "forecast")
    assert deployment.effects(answer.body["id"]) == dict.fromkeys(router.STEPS, 1)


def test_a_node_that_usually_takes_longer_than_there_is_time_is_started_elsewhere(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    workflow_id = deployment.id_of("sleepy", SLEEPY)
    before = [deployment.web.enqueue(workflow_id, context | {"seconds": 1.1}) for _ in range(5)]
    for each in before:
        deployment.result(each)

    answer = deployment.web.execute(workflow_id, context | {"seconds": 0}, Prefer="wait=1")
    result = deployment.result(answer.body["id"])

    assert deployment.reasons(answer.body["id"]) == ["forecast"]
    assert result["first"] == deployment.web.process.pid
    assert result["sleep"] != deployment.web.process.pid
    assert deployment.effects(answer.body["id"]) == {"first": 1, "sleep": 1, "last": 1}


def test_with_a_result_backend_celery_knows_the_state_too(deployment: Deployment, context: dict[str, Any]) -> None:
    def start(name: str, definition: object) -> Any:
        return deployment.web.execute(deployment.id_of(name, definition), context, query="?async_mode=true").body

    succeeds, fails = start("quick", QUICK), start("refused", REFUSED)

    app = make_celery(Broker(deployment.members.redis_url, result_backend=deployment.members.redis_url))
    for execution, word in ((succeeds, "SUCCESS"), (fails, "FAILURE")):
        result = AsyncResult(execution["task_id"], app=app)
        eventually(lambda result=result: result.ready(), seconds=PATIENCE_SECONDS, what="a result")  # type: ignore[misc]
        assert result.state == word
        assert deployment.web.call(f"/tasks/{execution['task_id']}").body["status"] == word
    app.close()


def test_the_workers_are_healthy_and_the_depth_of_each_queue_is_told(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    deployment.result(deployment.web.enqueue(deployment.id_of("quick", QUICK), context))

    eventually(
        lambda: deployment.web.call("/health/celery").body.get("seconds_since_a_bell") is not None,
        seconds=PATIENCE_SECONDS,
        what="a bell that was heard",
    )
    answer = deployment.web.call("/health/celery")

    assert (answer.status, answer.body["status"]) == (200, "ok")
    assert answer.body["workers"] == 2


def test_every_history_is_sound(deployment: Deployment) -> None:
    code, printed = deployment.members.installation.here("verify", "--all")

    assert code == 0, printed


def test_the_children_of_a_map_spread_over_the_processes_of_the_workers(
    deployment: Deployment, context: dict[str, Any]
) -> None:
    inner = graph("start -> nap, nap -> end", nap=call("nap"))
    given = {"effects": "{{ context.effects }}", "seconds": 0.02}
    each = {"type": "map", "items": "context.numbers", "graph": inner, "context": given, "concurrency": 8}
    definition = graph("start -> each, each -> end", each=each)

    ended = deployment.web.execute(deployment.id_of("map", definition), context | {"numbers": list(range(40))})
    result = deployment.result(ended.body["id"])["each"]

    assert [child["item"] for child in result] == list(range(40))
    assert len({child["nap"] for child in result}) == 2, "the worker has two processes"


def test_a_stop_kills_the_code_in_flight_on_a_worker(deployment: Deployment) -> None:
    endless = {"type": "action", "code": "while True: pass", "timeout": 600}
    definition = graph("start -> run, run -> end", run=endless) | {"queue": "analyst"}
    quick = graph("start -> run, run -> end", run={"type": "action", "code": "context['x'] = 1"}) | {"queue": "analyst"}
    stuck = deployment.web.enqueue(deployment.id_of("endless", definition))
    eventually(
        lambda: deployment.web.call(f"/executions/{stuck}").body["status"] == "running",
        seconds=PATIENCE_SECONDS,
        what="the start",
    )

    assert deployment.web.call(f"/executions/{stuck}/stop", {}).body["status"] == "stopped"

    # The queue has one worker with one process: it takes another run when that code is gone.
    assert deployment.result(deployment.web.enqueue(deployment.id_of("quick code", quick))) == {"x": 1}
