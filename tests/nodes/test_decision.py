"""`decision`: by an expression, or by code whose answer is looked for in three places, in order."""

from typing import Any

import pytest

from src.core.errors import DefinitionError
from src.core.outcome import ErrorClass
from tests.nodes.visits import Json, failed, kinds, succeeded

BOTH: dict[str, Any] = {"branches": ("true", "false"), "has_default": False}


def coded(code: str, **fields: Any) -> Json:
    return {"type": "decision", "code": code, **fields}


def expressed(expression: str) -> Json:
    return {"type": "decision", "expression": expression}


def branch(fields: Json, context: Json | None = None, **about: Any) -> str | None:
    return succeeded(fields, context, **{**BOTH, **about}).branch


# The three ways.


def test_the_key_of_the_node_comes_first() -> None:
    code = "context['node'] = 'a'\ncontext['branch_decision'] = 'b'"

    assert branch(coded(code), branches=("a", "b")) == "a"


def test_the_older_key_comes_second() -> None:
    assert branch(coded("context['branch_decision'] = context['x'] > 1"), {"x": 2}) == "true"


def test_the_value_of_an_expression_comes_third() -> None:
    assert branch(coded("context['total'] <= context['limit']"), {"total": 2, "limit": 1}) == "false"


@pytest.mark.parametrize("code", ["context['x']  ", "context['x']  # why", "(\n context['x']\n)", "\n\ncontext['x']\n"])
def test_one_expression_is_one_however_it_is_laid_out(code: str) -> None:
    assert branch(coded(code), {"x": True}) == "true"


def test_a_key_of_the_node_that_the_code_only_reads_decides_nothing() -> None:
    failure = failed(coded("x = context['node']"), {"node": "true"}, **BOTH)

    assert failure.error.type == "NoDecision"


def test_a_key_of_the_node_that_is_set_to_what_it_was_decides() -> None:
    assert branch(coded("context['node'] = True"), {"node": True}) == "true"


def test_an_answer_from_an_earlier_decision_cannot_decide() -> None:
    failure = failed(coded("x = context.get('branch_decision')"), {"branch_decision": "true"}, **BOTH)

    assert failure.error.type == "NoDecision"


def test_code_does_not_see_the_answer_of_an_earlier_decision() -> None:
    fields = coded("'branch_decision' in context")

    assert branch(fields, {"branch_decision": "true"}) == "false"


def test_what_deciding_code_changes_is_its_output() -> None:
    outcome = succeeded(coded("context['seen'] = 1\ncontext['node'] = False"), **BOTH)

    assert (outcome.branch, outcome.output) == ("false", {"seen": 1, "node": False})


# Names of branches.


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("True", "true"), ("False", "false"), ("'True'", "true"), ("'TRUE'", "true"), ("' false '", "false"),
        ("'yes'", "yes"), ("' Yes '", "Yes"), ("3", "3"), ("-1", "-1"), ("0", "0"), ("1.5", "1.5"),
        ("'größer'", "größer"),
    ],
)  # fmt: skip
def test_an_answer_names_its_branch(answer: str, name: str) -> None:
    ways = ("true", "false", "yes", "Yes", "3", "-1", "0", "1.5", "größer")

    assert branch(coded(f"context['node'] = {answer}"), branches=ways) == name
    assert branch(coded(answer), branches=ways) == name


def test_an_answer_without_an_edge_takes_the_default() -> None:
    assert branch(coded("'maybe'"), has_default=True) == "maybe"


def test_an_answer_without_an_edge_and_without_a_default_fails_and_names_the_edges() -> None:
    failure = failed(coded("'maybe'"), **BOTH)

    assert failure.error.type == "NoSuchBranch"
    assert failure.error.message == "chose 'maybe', but the edges are for 'false', 'true'"
    assert failure.error.error_class is ErrorClass.PERMANENT


@pytest.mark.parametrize("code", ["x = 1", "None", "[]", "{}", "context['node'] = None", "context['node'] = ['true']"])
def test_no_answer_fails_and_names_the_three_ways(code: str) -> None:
    failure = failed(coded(code), **{**BOTH, "has_default": True})

    assert failure.error.type == "NoDecision"
    assert all(way in failure.error.message for way in ("context['node']", "context['branch_decision']", "expression"))


def test_an_exception_in_deciding_code_fails_with_its_line() -> None:
    failure = failed(coded("a = 1\ncontext['node'] = context['missing']"), **BOTH)

    assert failure.error.type == "KeyError"
    assert 'File "<node>", line 2' in failure.error.traceback


def test_deciding_code_has_a_time_limit() -> None:
    failure = failed(coded("while True: pass", timeout=0.5), **BOTH)

    assert (failure.error.type, failure.error.error_class) == ("Timeout", ErrorClass.TRANSIENT)


# Expressions.


@pytest.mark.parametrize(
    ("expression", "context", "name"),
    [
        ("context.total > 1000", {"total": 1640.0}, "true"),
        ("context.total > 1000", {"total": 940}, "false"),
        ("context['a b'] == 'x' and not context.off", {"a b": "x", "off": False}, "true"),
        ("context.items|length == 2", {"items": [1, 2]}, "true"),
        ("'yes' if context.ok else 'no'", {"ok": True}, "yes"),
        ("context.get('missing') is none", {}, "true"),
        ("context.missing is defined", {}, "false"),
        ("context.missing|default(true)", {}, "true"),
    ],
)
def test_an_expression_decides(expression: str, context: Json, name: str) -> None:
    assert branch(expressed(expression), context, branches=("true", "false", "yes", "no")) == name


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("context.missing > 1", "UndefinedError"),
        ("context.text > 1", "TypeError"),
        ("1 // context.zero", "ZeroDivisionError"),
        ("context.missing", "UndefinedError"),
        ("context.list", "NoDecision"),
        ("context.none", "NoDecision"),
    ],
)
def test_an_expression_that_has_no_answer_fails(expression: str, type_: str) -> None:
    failure = failed(expressed(expression), {"text": "a", "zero": 0, "list": [], "none": None}, **BOTH)

    assert failure.error.type == type_
    assert failure.error.error_class is ErrorClass.PERMANENT


def test_a_decision_by_expression_has_no_effect_and_one_by_code_may_have() -> None:
    by_expression = kinds().read({"id": "node", **expressed("true")})
    by_code = kinds().read({"id": "node", **coded("True")})

    assert (by_expression.effect_free, by_code.effect_free) == (True, False)
    assert by_expression.chooses
    assert by_code.chooses


# Saving.


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, ""),
        ({"code": "True", "expression": "true"}, ""),
        ({"code": "x = ("}, "/code"),
        ({"expression": "1 +"}, "/expression"),
        ({"expression": ""}, "/expression"),
        ({"expression": "foo > 1"}, "/expression"),
        ({"expression": "context.x }} {{ 1"}, "/expression"),
        ({"expression": "lookup('x')"}, "/expression"),
        ({"code": "True", "colour": 1}, "/colour"),
        ({"code": "True", "memory_mb": 1}, "/memory_mb"),
    ],
)
def test_a_decision_that_cannot_decide_is_refused(fields: Json, pointer: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        kinds().read({"id": "node", "type": "decision", **fields})

    assert [found.pointer for found in caught.value.problems] == [pointer]
