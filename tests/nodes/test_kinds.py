"""What all kinds have in common, and the list of them."""

import pytest

from src.core.outcome import Succeeded
from src.nodes import KINDS
from tests.nodes.visits import Json, kinds, problems_of, succeeded

MINIMAL: dict[str, Json] = {
    "start": {},
    "end": {},
    "action": {"code": "pass"},
    "decision": {"expression": "true"},
    "transform": {"set": {}},
    "function": {"function": "known"},
    "http_request": {"url": "https://api.example/"},
    "llm": {"prompt": "Hello"},
    "agent": {"prompt": "Hello", "tools": ["look up"]},
    "image": {"prompt": "A lighthouse"},
    "email_send": {"host": "smtp.example", "from": "a@example.com", "to": "b@example.com", "text": "Hello"},
    "email_fetch": {"host": "imap.example", "username": "a", "password": "b"},
    "sql": {"url": "postgresql://db.example/shop", "query": "SELECT 1"},
    "wait": {"seconds": 5},
    "review": {},
    "workflow": {"workflow": "another"},
    "map": {"items": "context.list", "workflow": "another"},
}
COMMON: Json = {
    "label": "Label",
    "timeout": 5,
    "retry": {
        "max_attempts": 2, "interval_seconds": 0, "backoff_rate": 1, "max_delay_seconds": 5, "jitter": "none"
    },
    "queue": "analyst",
    "needs_review_on": "context.confidence < 0.5",
    "position": {"x": 1, "y": 2},
}  # fmt: skip


def test_every_kind_is_tried_here() -> None:
    assert MINIMAL.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_of_any_kind_has_the_common_fields(kind: str) -> None:
    node = kinds({"known": print}).read({"id": "n", "type": kind, **MINIMAL[kind], **COMMON})

    assert (node.id, node.type) == ("n", kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_of_any_kind_refuses_unknown_fields(kind: str) -> None:
    found = problems_of({"id": "n", "type": kind, **MINIMAL[kind], "colour": "red", "a/b": 1})

    assert found.keys() == {"/colour", "/a~1b"}
    assert "unknown field" in found["/colour"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("field", "value", "pointer"),
    [
        ("label", [], "/label"),
        ("timeout", 0, "/timeout"),
        ("timeout", "long", "/timeout"),
        ("retry", 3, "/retry"),
        ("retry", {"max_attempts": 101}, "/retry/max_attempts"),
        ("retry", {"interval_seconds": -1}, "/retry/interval_seconds"),
        ("retry", {"backoff_rate": 0.5}, "/retry/backoff_rate"),
        ("queue", 1, "/queue"),
    ],
)
def test_a_common_field_that_is_wrong_is_named(kind: str, field: str, value: object, pointer: str) -> None:
    assert problems_of({"id": "n", "type": kind, **MINIMAL[kind], field: value}).keys() == {pointer}


def test_all_problems_of_a_node_are_told_at_once() -> None:
    found = problems_of({"id": "n", "type": "action", "code": "x = (", "timeout": -1, "colour": 1, "retry": {"a": 1}})

    assert found.keys() == {"/code", "/timeout", "/colour", "/retry/a"}


@pytest.mark.parametrize("kind", [None, 5, "", "Action", "dream", ["start"]])
def test_an_unknown_kind_is_refused_with_those_that_there_are(kind: object) -> None:
    assert "start, end, action, decision, transform, function" in problems_of({"id": "n", "type": kind})["/type"]


@pytest.mark.parametrize("kind", ["start", "end"])
def test_start_and_end_do_nothing(kind: str) -> None:
    assert succeeded({"type": kind}, {"a": 1}) == Succeeded()
    assert kinds().read({"id": "n", "type": kind}).effect_free


@pytest.mark.parametrize("kind", ["start", "end"])
@pytest.mark.parametrize("field", ["code", "set", "expression", "function"])
def test_start_and_end_have_no_field_of_another_kind(kind: str, field: str) -> None:
    assert problems_of({"id": "n", "type": kind, field: "x"}).keys() == {f"/{field}"}
