"""`llm` and `image` against a peer on loopback that answers as the real endpoints do."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from src.core.outcome import ErrorClass, Failed, Succeeded
from src.outside.guard import Allowed
from src.outside.models import Models, read_prices
from src.outside.outside import Outside
from tests.api.door import execute, line, save, serving
from tests.nodes.visits import failed, problems_of, succeeded
from tests.outside.peers import Peer, Seen, Told, http_peer

Json = dict[str, Any]
TOPIC = {"type": "object", "properties": {"topic": {"enum": ["bill", "spam"]}}, "required": ["topic"]}


def completion(content: str | None, *, finish: str = "stop", tokens: tuple[int, int] = (10, 5), **more: Any) -> Told:
    message = {"role": "assistant", "content": content, **more}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return Told(
        body={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "served",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": usage,
        }
    )


class Model:
    """An endpoint that says one thing after the other."""

    def __init__(self, *says: Told) -> None:
        self.says = list(says)
        self.asked: list[Json] = []

    def __call__(self, seen: Seen) -> Told:
        self.asked.append(seen.json)
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


def operators(peer: Peer, **models: Any) -> Outside:
    given = {"model": "small", "api_key": "operator-key", "prices": {"small": (1.0, 2.0)}, **models}
    return Outside(models=Models(base_url=f"{peer.url}/v1", **given))


def asked(peer_says: Model, /, context: Json | None = None, **fields: Any) -> Succeeded:
    with http_peer(peer_says) as peer:
        return succeeded({"type": "llm", "prompt": "Hello", **fields}, context, outside=operators(peer))


def refused(peer_says: Model, /, context: Json | None = None, **fields: Any) -> Failed:
    with http_peer(peer_says) as peer:
        return failed({"type": "llm", "prompt": "Hello", **fields}, context, outside=operators(peer))


def test_the_answer_stands_under_the_nodes_id() -> None:
    assert asked(Model(completion("Good day"))).output == {"node": "Good day"}


def test_what_is_asked_holds_templates() -> None:
    model = Model(completion("ok"))

    asked(
        model,
        {"name": "Ada", "facts": {"born": 1815}},
        system="You know {{ context.name }}.",
        prompt="{{ context.facts }}",
        model="big",
        temperature=0,
        max_tokens=50,
    )

    assert model.asked == [
        {
            "model": "big",
            "messages": [
                {"role": "system", "content": "You know Ada."},
                {"role": "user", "content": '{"born": 1815}'},
            ],
            "temperature": 0.0,
            "max_tokens": 50,
        }
    ]


def test_a_conversation_may_be_given_as_it_is() -> None:
    model = Model(completion("ok"))
    messages = [{"role": "user", "content": [{"type": "text", "text": "{{ context.x }}"}]}]

    asked(model, {"x": "hi"}, prompt=None, messages=messages)

    assert model.asked[0]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


def test_what_an_attempt_took_is_counted_and_priced() -> None:
    usage = asked(Model(completion("ok", tokens=(1000, 500)))).usage

    assert usage is not None
    assert usage.spent == {
        "model": "small",
        "calls": 1,
        "input_tokens": 1000,
        "output_tokens": 500,
        "cost_usd": 0.002,
    }


@pytest.mark.parametrize("told", ["NaN", "Infinity", "-1", "true", '"much"', "1" + "0" * 400])
def test_what_is_no_amount_is_not_counted(told: str) -> None:
    said = completion("ok")
    said.body = json.dumps(said.body).replace('"prompt_tokens": 10', f'"cost": {told}, "prompt_tokens": {told}')

    usage = asked(Model(said)).usage

    assert usage is not None
    assert usage.spent == {
        "model": "small", "calls": 1, "input_tokens": 0, "output_tokens": 5, "cost_usd": pytest.approx(0.00001)
    }  # fmt: skip


def test_an_answer_in_parts_is_put_together() -> None:
    parts: Any = [{"type": "text", "text": "Good "}, {"type": "image"}, "?", {"type": "text", "text": "day"}]

    assert asked(Model(completion(parts))).output == {"node": "Good day"}


@pytest.mark.parametrize("calls", [["x"], [None], {"a": 1}, 7])
def test_calls_that_are_none_are_a_bad_answer(calls: Any) -> None:
    assert refused(Model(completion(None, tool_calls=calls))).error.type == "BadAnswer"


def test_without_a_price_there_is_no_cost() -> None:
    usage = asked(Model(completion("ok")), model="unheard-of").usage

    assert usage is not None
    assert usage.spent is not None
    assert usage.spent["cost_usd"] is None


@pytest.mark.parametrize("written", ['{"topic": "bill"}', '```json\n{"topic": "bill"}\n```', ' \n{"topic":"bill"} '])
def test_with_a_schema_the_answer_is_json(written: str) -> None:
    model = Model(completion(written))

    assert asked(model, json_schema=TOPIC).output == {"node": {"topic": "bill"}}
    assert model.asked[0]["response_format"]["json_schema"]["schema"] == TOPIC


def test_an_answer_that_does_not_fit_is_sent_back_with_what_is_wrong() -> None:
    model = Model(completion('{"topic": "weather"}'), completion("bill"), completion('{"topic": "bill"}'))

    done = asked(model, json_schema=TOPIC)

    assert done.output == {"node": {"topic": "bill"}}
    assert done.usage is not None
    assert done.usage.spent is not None
    assert (done.usage.spent["calls"], done.usage.spent["input_tokens"]) == (3, 30)
    said = model.asked[2]["messages"]
    assert [each["role"] for each in said] == ["user", "assistant", "user", "assistant", "user"]
    assert "/topic: 'weather' is not one of ['bill', 'spam']" in said[2]["content"]
    assert "expected JSON" in said[4]["content"]


def test_a_model_that_does_not_learn_fails_the_node_with_its_last_words() -> None:
    model = Model(completion("no"))

    outcome = refused(model, json_schema=TOPIC)

    assert (outcome.error.type, outcome.error.error_class) == ("BadAnswer", ErrorClass.PERMANENT)
    assert outcome.output == {"node": "no"}
    assert len(model.asked) == 3
    assert outcome.usage is not None


@pytest.mark.parametrize(
    "said",
    [
        completion("", finish="content_filter"),
        completion(None, refusal="I cannot help with that."),
        Told(400, {"error": {"code": "content_policy_violation", "message": "not allowed"}}),
        Told(400, {"error": {"code": "content_filter", "message": "filtered"}}),
    ],
)
def test_what_a_content_policy_stops_needs_a_person(said: Told) -> None:
    error = refused(Model(said)).error

    assert (error.type, error.error_class) == ("ContentPolicy", ErrorClass.PARTIAL)


@pytest.mark.parametrize(
    ("said", "error_class"),
    [
        (Told(429, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}), ErrorClass.TRANSIENT),
        (Told(429, {"error": {"code": "insufficient_quota", "message": "pay"}}), ErrorClass.PERMANENT),
        (Told(401, {"error": {"message": "bad key"}}), ErrorClass.PERMANENT),
        (Told(500, "oops"), ErrorClass.TRANSIENT),
        (Told(200, "<html>"), ErrorClass.TRANSIENT),
        (Told(200, {"choices": []}), ErrorClass.PERMANENT),
        (Told(200, []), ErrorClass.PERMANENT),
        (Told(200, {"choices": [{"message": "hi"}]}), ErrorClass.PERMANENT),
    ],
)
def test_another_answer_is_an_error_of_its_class(said: Told, error_class: ErrorClass) -> None:
    assert refused(Model(said)).error.error_class is error_class


def test_the_operators_key_goes_to_the_operators_url_alone() -> None:
    with http_peer(Model(completion("ok"))) as mine, http_peer(Model(completion("ok"))) as theirs:
        models = Models(base_url=f"{mine.url}/v1", api_key="operator-key", model="small")
        outside = Outside(Allowed.read([theirs.place]), models=models)
        succeeded({"type": "llm", "prompt": "Hello"}, outside=outside)
        succeeded({"type": "llm", "prompt": "Hello", "base_url": theirs.url}, outside=outside)
        succeeded({"type": "llm", "prompt": "Hello", "base_url": theirs.url, "api_key": "own"}, outside=outside)

    assert mine.seen[0].headers["authorization"] == "Bearer operator-key"
    assert [seen.headers.get("authorization") for seen in theirs.seen] == [None, "Bearer own"]


def test_the_time_is_for_an_attempt_and_not_for_each_call_in_it() -> None:
    def slow(_: Seen) -> Told:
        threading.Event().wait(0.4)
        return completion("no")

    with http_peer(slow) as peer:
        node = {"type": "llm", "prompt": "Hello", "json_schema": TOPIC, "timeout": 1}
        error = failed(node, outside=operators(peer)).error

    assert (error.type, error.error_class) == ("Fault", ErrorClass.TRANSIENT)


def test_a_key_that_is_refused_is_not_repeated() -> None:
    said = Told(401, {"error": {"message": "Incorrect API key provided: operator-key"}})

    assert "operator-key" not in refused(Model(said)).error.message


def test_the_operators_models_may_be_on_this_machine_and_an_authors_may_not() -> None:
    with http_peer(Model(completion("ok"))) as peer:
        error = failed({"type": "llm", "prompt": "Hello", "base_url": peer.url}, outside=operators(peer)).error

    assert (error.type, peer.seen) == ("Refused", [])


@pytest.mark.parametrize(("fields", "named"), [({}, "model"), ({"model": "small"}, "base_url")])
def test_without_a_model_anywhere_the_node_says_what_to_set(fields: Json, named: str) -> None:
    error = failed({"type": "llm", "prompt": "Hello", **fields}).error

    assert error.message.startswith(f"{named}: name one here, or set LLM_")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, ""),
        ({"prompt": "a", "messages": []}, ""),
        ({"prompt": "{{ nobody }}"}, "/prompt"),
        ({"prompt": "a", "json_schema": {"type": "thing"}}, "/json_schema"),
        ({"prompt": "a", "temperature": 3}, "/temperature"),
        ({"prompt": "a", "max_tokens": 0}, "/max_tokens"),
    ],
)
def test_a_definition_with_a_problem_is_refused_at_it(fields: Json, pointer: str) -> None:
    assert problems_of({"id": "n", "type": "llm", **fields}).keys() == {pointer}


@pytest.mark.parametrize("given", ["hello", [], ["hello"], [{"content": "x"}]])
def test_messages_must_be_a_conversation(given: Any) -> None:
    error = refused(Model(completion("ok")), {"given": given}, prompt=None, messages="{{ context.given }}").error

    assert error.message.startswith("messages: expected a list")


# Rows.


@pytest.fixture
def model() -> Iterator[Peer]:
    with http_peer(Model(completion("Good day", tokens=(1000, 500)))) as peer:
        yield peer


def test_tokens_and_cost_stand_in_the_row_of_the_attempt(database_url: str, model: Peer) -> None:
    operator = {"llm_base_url": f"{model.url}/v1", "llm_model": "small", "llm_prices": "small=1/2"}
    with serving(database_url, **operator) as client:
        node = {"id": "ask", "type": "llm", "prompt": "Hello"}
        execution = execute(client, save(client, line(node))).json()
        entries = client.get(f"/executions/{execution['id']}/chain").json()["entries"]

    assert execution["result"] == {"ask": "Good day"}
    usage = {entry["node_id"]: entry["usage"] for entry in entries}
    assert usage["ask"] == {
        "model": "small", "calls": 1, "input_tokens": 1000, "output_tokens": 500, "cost_usd": 0.002
    }  # fmt: skip
    assert usage["start"] is None
    assert "operator-key" not in json.dumps(entries)


@pytest.mark.parametrize("text", ["small", "small=1", "small=a/b", "=1/2"])
def test_prices_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_prices(text)


# Pictures.


def test_a_picture_is_put_into_the_context() -> None:
    with http_peer(lambda _: Told(body={"data": [{"b64_json": "iVBORw0="}, {"url": "https://x/1.png"}]})) as peer:
        outside = operators(peer, image_model="painter")
        node = {"type": "image", "prompt": "A {{ context.what }}", "size": "64x64", "count": 2}
        output = succeeded(node, {"what": "lighthouse"}, outside=outside).output

    assert output == {"node": {"images": [{"base64": "iVBORw0="}, {"url": "https://x/1.png"}], "model": "painter"}}
    assert peer.seen[0].path == "/v1/images/generations"
    assert peer.seen[0].json == {"model": "painter", "prompt": "A lighthouse", "n": 2, "size": "64x64"}


@pytest.mark.parametrize(
    ("told", "error_type", "error_class"),
    [
        (Told(400, {"error": {"code": "moderation_blocked", "message": "no"}}), "ContentPolicy", ErrorClass.PARTIAL),
        (Told(body={"data": [{}]}), "BadAnswer", ErrorClass.PERMANENT),
        (Told(body=[]), "BadAnswer", ErrorClass.PERMANENT),
        (Told(503), "HttpStatus", ErrorClass.TRANSIENT),
    ],
)
def test_no_picture_is_an_error_of_its_class(told: Told, error_type: str, error_class: ErrorClass) -> None:
    with http_peer(lambda _: told) as peer:
        error = failed({"type": "image", "prompt": "A cat"}, outside=operators(peer, image_model="painter")).error

    assert (error.type, error.error_class) == (error_type, error_class)
