"""`function`: a Python callable of the deployment, called with a copy of the context."""

from typing import Any

import pytest

from src.core.errors import DefinitionError
from src.nodes.function import NodeInfo
from tests.nodes.visits import Json, failed, kinds, succeeded, visit, workshop


def calling(name: str, **fields: Any) -> Json:
    return {"type": "function", "function": name, **fields}


def test_what_a_function_answers_is_its_output() -> None:
    functions = {"double": lambda context: {"n": context["n"] * 2}}

    assert succeeded(calling("double"), {"n": 2, "m": 1}, functions=functions).output == {"n": 4}


def test_a_function_that_answers_none_changes_nothing() -> None:
    assert succeeded(calling("note"), {"n": 1}, functions={"note": lambda context: None}).output == {}


def test_a_function_gets_a_copy_of_the_context() -> None:
    def spoil(context: Json) -> None:
        context["order"]["lines"].clear()
        context["new"] = 1

    seen: Json = {"order": {"lines": [1]}}

    succeeded(calling("spoil"), seen, functions={"spoil": spoil})

    assert seen == {"order": {"lines": [1]}}


def test_a_function_of_two_arguments_is_told_about_its_node() -> None:
    told: list[NodeInfo] = []

    def listen(context: Json, node: NodeInfo) -> None:
        told.append(node)

    succeeded(calling("listen", timeout=5), {}, functions={"listen": listen}, attempt=2)

    assert told == [NodeInfo(id="node", execution_id=7, attempt=2, idempotency_key="task/node", timeout=5.0)]


def test_an_optional_argument_of_another_meaning_is_left_alone() -> None:
    def fetch(context: Json, *, retries: int = 3) -> Json:
        return {"retries": retries}

    assert succeeded(calling("fetch"), functions={"fetch": fetch}).output == {"retries": 3}


@pytest.mark.parametrize("answer", [1, "text", [("a", 1)], (1,), True, object()])
def test_an_answer_that_is_no_dict_fails_and_says_what_came(answer: Any) -> None:
    failure = failed(calling("answer"), functions={"answer": lambda context: answer})

    assert type(answer).__name__ in failure.error.message
    assert "expected a dict" in failure.error.message


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_coroutine_is_no_answer() -> None:
    async def later(context: Json) -> Json:
        return {}

    assert "coroutine" in failed(calling("later"), functions={"later": later}).error.message


def test_a_function_that_is_missing_when_it_is_to_run_fails_its_node() -> None:
    node = kinds({"here": lambda context: None}).read({"id": "node", **calling("here")})

    outcome = workshop({}).run(node, visit())

    assert "NOVA_FUNCTIONS" in str(outcome)


def test_an_unknown_function_is_refused_at_save_with_those_that_there_are() -> None:
    with pytest.raises(DefinitionError) as caught:
        kinds({"b": print, "a": print}).read({"id": "node", **calling("c")})

    assert [(found.pointer, found.detail) for found in caught.value.problems] == [
        ("/function", "there is no function 'c'. There are: a, b")
    ]


def test_without_any_function_the_refusal_names_the_setting() -> None:
    with pytest.raises(DefinitionError) as caught:
        kinds().read({"id": "node", **calling("c")})

    assert "NOVA_FUNCTIONS" in caught.value.problems[0].detail


def test_a_function_may_have_effects_and_chooses_nothing() -> None:
    node = kinds({"a": print}).read({"id": "node", **calling("a")})

    assert not node.effect_free
    assert not node.chooses
