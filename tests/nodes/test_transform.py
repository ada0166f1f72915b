"""`transform`: values from templates and expressions that can compute, and nothing else."""

from typing import Any

import pytest

from src.core.errors import DefinitionError
from src.core.outcome import ErrorClass
from tests.nodes.visits import Json, failed, kinds, outcome_of, succeeded

CONTEXT: Json = {
    "name": "Ada",
    "net": 100,
    "rate": 0.19,
    "list": [3, 1, 2],
    "order": {"lines": [{"n": 2}, {"n": 3}], "a b": 1},
    "items": ["a", "b"],
    "none": None,
    "yes": True,
    "text": "x, y",
}


def computed(value: Any, context: Json | None = None) -> Any:
    return succeeded({"type": "transform", "set": {"out": value}}, CONTEXT if context is None else context).output[
        "out"
    ]


def refusal(value: Any) -> str:
    with pytest.raises(DefinitionError) as caught:
        kinds().read({"id": "node", "type": "transform", "set": {"out": value}})
    return caught.value.problems[0].detail


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ context.net }}", 100),
        ("{{ context.net * context.rate }}", 19.0),
        ("{{ context.yes }}", True),
        ("{{ context.none }}", None),
        ("{{ context.list }}", [3, 1, 2]),
        ("{{ context.order }}", {"lines": [{"n": 2}, {"n": 3}], "a b": 1}),
        ("  {{ context.net }}  ", "  100  "),
        ("{{- context.net -}}", 100),
        ("{{ context.list|sort }}", [1, 2, 3]),
        ("{{ context.order.lines|map(attribute='n')|list }}", [2, 3]),
        ("{{ context.order.lines|map(attribute='n') }}", [2, 3]),
        ("{{ context.order.lines|sum(attribute='n') }}", 5),
        ("{{ context.items }}", ["a", "b"]),
        ("{{ context.items[0] }}", "a"),
        ("{{ context['order']['a b'] }}", 1),
        ("{{ context.text.split(', ') }}", ["x", "y"]),
        ("{{ context.get('missing', 7) }}", 7),
        ("{{ [context.net, 'a'] }}", [100, "a"]),
        ("{{ {'a': context.net} }}", {"a": 100}),
        ("{{ 2 ** 10 }}", 1024),
        ("{{ 'ab' * 3 }}", "ababab"),
    ],
)
def test_a_text_that_is_one_expression_keeps_the_type_of_its_value(template: str, value: Any) -> None:
    assert computed(template) == value
    assert type(computed(template)) is type(value)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Dear {{ context.name }},\n", "Dear Ada,\n"),
        ("{{ context.name }}{{ context.net }}", "Ada100"),
        ("{{ context.name }} <b>", "Ada <b>"),
        ("plain", "plain"),
        ("", ""),
        ("100 %", "100 %"),
        ("{ not one }", "{ not one }"),
        ("}} neither", "}} neither"),
        ("{# a comment #}after", "after"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
    ],
)
def test_other_texts_are_texts(template: str, text: str) -> None:
    assert computed(template) == text


@pytest.mark.parametrize("value", [1, 1.5, True, None, [], {}, [1, {"a": None}]])
def test_values_without_templates_are_kept_as_they_are(value: Any) -> None:
    assert computed(value) == value


def test_templates_are_found_anywhere_in_a_value() -> None:
    value = {"to": ["{{ context.name }}"], "order": {"net": "{{ context.net }}", "fixed": 1}}

    assert computed(value) == {"to": ["Ada"], "order": {"net": 100, "fixed": 1}}


def test_every_value_sees_the_context_as_it_was_before() -> None:
    node = {"type": "transform", "set": {"a": "{{ context.b }}", "b": "{{ context.a }}"}}

    assert succeeded(node, {"a": 1, "b": 2}).output == {"a": 2, "b": 1}


def test_a_key_of_the_context_comes_before_a_method_of_the_same_name() -> None:
    context = {"keys": [1], "get": 2, "values": "v"}

    assert [computed(f"{{{{ context.{key} }}}}", context) for key in context] == [[1], 2, "v"]


@pytest.mark.parametrize("template", ["{{ context.nmae }}", "Dear {{ context.nmae }}", "{{ context.order.x.y }}"])
def test_a_key_that_is_missing_fails_and_is_named(template: str) -> None:
    failure = failed({"type": "transform", "set": {"out": template}}, CONTEXT)

    assert failure.error.type == "UndefinedError"
    assert failure.error.error_class is ErrorClass.PERMANENT
    assert ("nmae" in failure.error.message) or ("x" in failure.error.message)


@pytest.mark.parametrize("template", ["{{ context.text + 1 }}", "{{ 1 // 0 }}", "{{ [1, 'a']|sort }}", "{{ 'a'|abs }}"])
def test_what_cannot_be_computed_fails_its_node(template: str) -> None:
    failed({"type": "transform", "set": {"out": template}}, CONTEXT)


# What an expression cannot do.


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for x in context.list %}{{ x }}{% endfor %}", "no {% ... %}"),
        ("{% set x = 1 %}{{ x }}", "no {% ... %}"),
        ("{% include 'x' %}", "no {% ... %}"),
        ("{{ range(10) }}", "can be called"),
        ("{{ lipsum() }}", "can be called"),
        ("{{ context.name.format(1) }}", "can be called"),
        ("{{ context.name.join(context.list) }}", "can be called"),
        ("{{ context.text.encode() }}", "can be called"),
        ("{{ context.list.append(1) }}", "can be called"),
        ("{{ context.order.update({'a': 1}) }}", "can be called"),
        ("{{ context.order.pop('lines') }}", "can be called"),
        ("{{ context.name.__class__.mro() }}", "can be called"),
        ("{{ (1).__class__('5') }}", "can be called"),
        ("{{ context.name|attr('__class__') }}", "no filter 'attr'"),
        ("{{ context.name|safe }}", "no filter 'safe'"),
        ("{{ context.name|center(1000000000) }}", "no filter 'center'"),
        ("{{ context.name|format(1) }}", "no filter 'format'"),
        ("{{ context.list|batch(1) }}", "no filter 'batch'"),
        ("{{ context.name|nosuch }}", "nosuch"),
        ("{{ context.name is nosuch }}", "nosuch"),
        ("{{ name }}", "context.name"),
        ("{{ self }}", "context.self"),
        ("{{ request.app }}", "context.request"),
        ("{{ cycler }}", "context.cycler"),
        ("{{ }}", "xpected"),
        ("{{ 1 + }}", "xpected"),
        ("{{ context.x", "nexpected end"),
        ("{{ 'open }}", "unexpected"),
        ("{{ context.x | }}", "xpected"),
    ],
)
def test_what_is_not_offered_is_refused_at_save(template: str, said: str) -> None:
    assert said in refusal(template)


HOSTILE = [
    "{{ context.__class__ }}",
    "{{ context.name.__class__.__mro__ }}",
    "{{ context['__class__'] }}",
    "{{ ''['__class__']['__base__'] }}",
    "{{ context.get.__self__ }}",
    "{{ context.get.__globals__ }}",
    "x{{ context.name.format }}",
    "x{{ context.get }}",
    "{{ context.list|map(attribute='__class__')|map('string')|list }}",
    "{{ context.list|sort(attribute='__class__') }}",
    "{{ context.list|sum(attribute='real.__class__') }}",
    "{{ context.list|join(attribute='__class__') }}",
    "{{ context.list|map('attr', '__class__')|list }}",
    "{{ context.list|map('format', 1)|list }}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ 10 ** 65 }}",
    "{{ 10 ** -65 }}",
    "{{ 1000001 ** 2 }}",
    "{{ 2.0 ** 100000 }}",
    "{{ 'a' * 1000000000 }}",
    "{{ 1000000000 * 'a' }}",
    "{{ [0] * 1000000000 }}",
    "{{ ('a' * 1000000) * 5 }}",
    "{{ context.name * 1000000000 }}",
    "{{ '%0999999999d' % 1 }}",
    "{{ '%s' % context }}",
]


@pytest.mark.parametrize("template", HOSTILE)
def test_a_hostile_expression_is_refused_or_fails_and_shows_nothing(template: str) -> None:
    try:
        outcome = outcome_of({"type": "transform", "set": {"out": template}}, CONTEXT)
    except DefinitionError:
        return

    assert "Failed" in type(outcome).__name__, f"it answered {str(outcome)[:200]}"


def test_a_template_cannot_change_the_context() -> None:
    context = {"list": [3, 1, 2], "order": {"a": 1}}

    computed("{{ context.list|sort|reverse|list }} {{ context.order.items()|list }}", context)

    assert context == {"list": [3, 1, 2], "order": {"a": 1}}


@pytest.mark.parametrize(("fields", "pointer"), [({}, "/set"), ({"set": []}, "/set"), ({"set": {}, "x": 1}, "/x")])
def test_a_transform_that_sets_nothing_sensible_is_refused(fields: Json, pointer: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        kinds().read({"id": "node", "type": "transform", **fields})

    assert [found.pointer for found in caught.value.problems] == [pointer]


def test_a_transform_has_no_effect_and_chooses_nothing() -> None:
    node = kinds().read({"id": "node", "type": "transform", "set": {}})

    assert node.effect_free
    assert not node.chooses
