from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.definition import MAX_ID, MAX_NODES, build_graph
from src.core.errors import DefinitionError, Problem
from src.core.graph import Edge
from src.core.outcome import Json
from src.core.policy import RunPolicy
from src.nodes import InstalledKinds
from src.nodes.config import Registered
from tests.builders import DefinitionDraft, random_definition
from tests.core.strategies import RANDOMS

FUNCTIONS: dict[str, Registered] = {"save": lambda context: None, "load": lambda context, node: None}
KINDS = InstalledKinds(FUNCTIONS)
DRAFTS = RANDOMS.map(lambda random: random_definition(random, FUNCTIONS))


def problems_of(definition: dict[str, Json]) -> list[Problem]:
    try:
        build_graph(definition, KINDS)
    except DefinitionError as error:
        return list(error.problems)
    return []


def pointers_of(draft: DefinitionDraft) -> list[str]:
    return [problem.pointer for problem in problems_of(draft.document)]


def smallest() -> DefinitionDraft:
    draft = DefinitionDraft()
    draft.node(id="start", type="start")
    draft.node(id="end", type="end")
    draft.edge("start", "end")
    return draft


# What is valid.


def test_a_definition_becomes_a_graph() -> None:
    draft = smallest()
    draft.reached("ask", type="decision", expression="context.x > 1")
    draft.edge("ask", "end", condition="true")
    draft.edge("ask", "end")

    graph = build_graph(draft.document, KINDS)

    assert {node.id: node.type for node in graph.nodes.values()} == {"start": "start", "end": "end", "ask": "decision"}
    assert graph.edges[1:] == (Edge("start", "ask"), Edge("ask", "end", "true"), Edge("ask", "end"))


def test_the_smallest_definition_is_a_start_and_an_end() -> None:
    assert problems_of(smallest().document) == []


@given(DRAFTS)
def test_a_valid_definition_has_no_problems(draft: DefinitionDraft) -> None:
    assert problems_of(draft.document) == []


def test_a_path_need_not_lead_to_an_end() -> None:
    draft = smallest()
    draft.reached("log", type="function", function="save")

    assert problems_of(draft.document) == []


def test_a_definition_is_not_changed_by_being_read() -> None:
    draft = random_definition(Random(1), FUNCTIONS)
    before = repr(draft)

    build_graph(draft.document, KINDS)

    assert repr(draft) == before


# One problem of each class. Each function spoils a draft and answers the pointers of what is to be found.

Spoil = Callable[[DefinitionDraft], set[str]]


def no_start(draft: DefinitionDraft) -> set[str]:
    draft.nodes[0] |= {"type": "transform", "set": {}}
    return {"/nodes"}


def two_starts(draft: DefinitionDraft) -> set[str]:
    draft.edge("start again", "end")
    return {draft.node(id="start again", type="start")}


def no_end(draft: DefinitionDraft) -> set[str]:
    for node in draft.nodes:
        if node.get("type") == "end":
            node |= {"type": "transform", "set": {}}
    return {"/nodes"}


def unknown_kind(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("k", type="teleport") + "/type"}


def no_kind(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("nk") + "/type"}


def unknown_field(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("f", type="transform", set={}, colour="red") + "/colour"}


def unknown_field_that_needs_escapes(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("fe", type="transform", set={}, **{"a/b~c": 1}) + "/a~1b~0c"}


def missing_field(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("mf", type="action") + "/code"}


def duplicate_id(draft: DefinitionDraft) -> set[str]:
    return {draft.node(id="end", type="transform", set={}) + "/id"}


def edge_to_nowhere(draft: DefinitionDraft) -> set[str]:
    return {draft.edge("start", "nowhere") + "/to"}


def edge_from_nowhere(draft: DefinitionDraft) -> set[str]:
    return {draft.edge("nowhere", "end") + "/from"}


def edge_out_of_an_end(draft: DefinitionDraft) -> set[str]:
    draft.node(id="late", type="transform", set={})
    return {draft.edge("end", "late") + "/from"}


def cycle(draft: DefinitionDraft) -> set[str]:
    for name in ("one", "two", "three"):
        draft.node(id=name, type="transform", set={})
    for source, target in (("start", "one"), ("one", "two"), ("two", "three"), ("three", "one"), ("three", "end")):
        draft.edge(source, target)
    return {"/edges"}


def unreachable_node(draft: DefinitionDraft) -> set[str]:
    draft.edge("island", "end")
    return {draft.node(id="island", type="transform", set={})}


def decision_without_way_out(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("stuck", type="decision", expression="context.x")}


def decision_with_half_a_way_out(draft: DefinitionDraft) -> set[str]:
    draft.edge("half", "end", condition="false")
    return {draft.reached("half", type="decision", expression="context.x")}


def condition_out_of_a_node_that_does_not_choose(draft: DefinitionDraft) -> set[str]:
    return {draft.edge("start", "end", condition="yes") + "/condition"}


def python_that_does_not_compile(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("py", type="action", code="x = 1\nif x\n") + "/code"}


def python_that_does_not_compile_in_a_decision(draft: DefinitionDraft) -> set[str]:
    draft.edge("dpy", "end")
    return {draft.reached("dpy", type="decision", code="return }") + "/code"}


def python_with_nul(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("nul", type="action", code="x = 1\x00") + "/code"}


def template_that_does_not_parse(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("t", type="transform", set={"x": ["{{ context. }}"]}) + "/set/x"}


def template_that_does_more_than_compute(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("t2", type="transform", set={"x": "{% for i in context.x %}{% endfor %}"}) + "/set/x"}


def expression_that_does_not_parse(draft: DefinitionDraft) -> set[str]:
    draft.edge("e", "end")
    return {draft.reached("e", type="decision", expression="context.x >") + "/expression"}


def neither_code_nor_expression(draft: DefinitionDraft) -> set[str]:
    draft.edge("neither", "end")
    return {draft.reached("neither", type="decision")}


def unknown_function(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("fn", type="function", function="steal") + "/function"}


def node_that_is_no_object(draft: DefinitionDraft) -> set[str]:
    draft.nodes.append("start")
    return {f"/nodes/{len(draft.nodes) - 1}"}


def edge_that_is_no_object(draft: DefinitionDraft) -> set[str]:
    draft.edges.append(["start", "end"])
    return {f"/edges/{len(draft.edges) - 1}"}


def id_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    return {draft.node(id=7, type="transform", set={}) + "/id"}


def blank_id(draft: DefinitionDraft) -> set[str]:
    return {draft.node(id="  ", type="transform", set={}) + "/id"}


def long_id(draft: DefinitionDraft) -> set[str]:
    return {draft.node(id="x" * (MAX_ID + 1), type="transform", set={}) + "/id"}


def kind_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("kw", type=["action"]) + "/type"}


def code_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("cw", type="action", code=["x"]) + "/code"}


def timeout_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("tw", type="action", code="x", timeout="soon") + "/timeout"}


def timeout_out_of_range(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("tr", type="action", code="x", timeout=-1) + "/timeout"}


def retry_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    return {draft.reached("rw", type="action", code="x", retry={"max_attempts": 0}) + "/retry/max_attempts"}


def edge_ends_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    pointer = draft.edge(3, None)
    return {pointer + "/from", pointer + "/to"}


def condition_of_a_wrong_type(draft: DefinitionDraft) -> set[str]:
    return {draft.edge("start", "end", condition=4) + "/condition"}


def unknown_field_of_an_edge(draft: DefinitionDraft) -> set[str]:
    return {draft.edge("start", "end", weight=4) + "/weight"}


def unknown_field_of_an_edge_that_needs_escapes(draft: DefinitionDraft) -> set[str]:
    return {draft.edge("start", "end", **{"a/b~c": 4}) + "/a~1b~0c"}


ANYWHERE: list[Spoil] = [
    no_start,
    unknown_kind,
    no_kind,
    unknown_field,
    unknown_field_that_needs_escapes,
    missing_field,
    duplicate_id,
    edge_to_nowhere,
    edge_from_nowhere,
    edge_out_of_an_end,
    condition_out_of_a_node_that_does_not_choose,
    python_that_does_not_compile,
    python_that_does_not_compile_in_a_decision,
    python_with_nul,
    template_that_does_not_parse,
    template_that_does_more_than_compute,
    expression_that_does_not_parse,
    neither_code_nor_expression,
    unknown_function,
    node_that_is_no_object,
    edge_that_is_no_object,
    id_of_a_wrong_type,
    blank_id,
    long_id,
    kind_of_a_wrong_type,
    code_of_a_wrong_type,
    timeout_of_a_wrong_type,
    timeout_out_of_range,
    retry_of_a_wrong_type,
    edge_ends_of_a_wrong_type,
    condition_of_a_wrong_type,
    unknown_field_of_an_edge,
    unknown_field_of_an_edge_that_needs_escapes,
]
"""Problems that are found whatever else is wrong."""
WHERE_ALL_EDGES_ARE_KNOWN: list[Spoil] = [
    cycle,
    two_starts,
    unreachable_node,
    decision_without_way_out,
    decision_with_half_a_way_out,
]
"""Problems of the graph as a whole: an edge that cannot be read may be what is missing."""


@pytest.mark.parametrize("spoil", [no_end, *ANYWHERE, *WHERE_ALL_EDGES_ARE_KNOWN], ids=lambda spoil: spoil.__name__)
@given(DRAFTS)
@settings(max_examples=10)
def test_one_problem_is_found_where_it_is_and_nowhere_else(spoil: Spoil, draft: DefinitionDraft) -> None:
    expected = spoil(draft)

    assert set(pointers_of(draft)) == expected


@given(DRAFTS, st.sets(st.sampled_from(ANYWHERE), min_size=2))
def test_several_problems_are_all_found_at_once(draft: DefinitionDraft, spoils: set[Spoil]) -> None:
    expected = set().union(*(spoil(draft) for spoil in sorted(spoils, key=ANYWHERE.index)))

    assert set(pointers_of(draft)) == expected


@given(DRAFTS, st.sets(st.sampled_from(WHERE_ALL_EDGES_ARE_KNOWN[1:]), min_size=2))
def test_several_problems_of_the_whole_graph_are_all_found_at_once(draft: DefinitionDraft, spoils: set[Spoil]) -> None:
    expected = set().union(*(spoil(draft) for spoil in sorted(spoils, key=WHERE_ALL_EDGES_ARE_KNOWN.index)))

    assert set(pointers_of(draft)) == expected


def test_problems_come_in_the_order_of_the_document() -> None:
    draft = smallest()
    for name in range(10):
        draft.reached(f"n{name}", type="transform", set={})
    expected = [draft.reached(f"bad{name}", type="transform", set={}, colour=1) + "/colour" for name in range(3)]
    expected += [draft.edge("start", "nowhere") + "/to", draft.edge("nowhere", "end") + "/from"]

    assert pointers_of(draft) == expected


def test_an_edge_into_the_start_is_found() -> None:
    draft = smallest()
    draft.node(id="other", type="transform", set={})

    expected = draft.edge("other", "start") + "/to"

    assert expected in pointers_of(draft)


def test_an_edge_that_cannot_be_read_makes_no_node_unreachable() -> None:
    draft = smallest()
    draft.node(id="step", type="transform", set={})

    pointer = draft.edge("start", "step", weight=1) + "/weight"

    assert pointers_of(draft) == [pointer]


def test_a_node_that_cannot_be_read_makes_nothing_behind_it_unreachable() -> None:
    draft = smallest()
    pointer = draft.reached("ask", type="decison")
    draft.node(id="step", type="transform", set={})
    draft.edge("ask", "step", condition="yes")

    assert pointers_of(draft) == [pointer + "/type"]


# Cycles.


@given(st.integers(1, 8), RANDOMS)
def test_a_cycle_is_named_node_by_node_along_its_edges(length: int, random: Random) -> None:
    draft = smallest()
    names = [f"n{place}" for place in range(length)]
    around = list(zip(names, [*names[1:], names[0]], strict=True))
    for name in random.sample(names, length):
        draft.node(id=name, type="transform", set={})
    for source, target in random.sample(around, length):
        draft.edge(source, target)
    draft.edge("start", random.choice(names))
    draft.edge(random.choice(names), "end")

    [problem] = problems_of(draft.document)

    named = problem.detail.removeprefix("a cycle: ").partition(". ")[0].split(" -> ")
    assert problem.pointer == "/edges"
    assert len(named) == length + 1
    assert set(pairwise(named)) == set(around)


# What a message says.


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (no_start, "no start node"),
        (two_starts, "'start' is one already"),
        (no_end, "no end node"),
        (unknown_kind, "there is no kind 'teleport'; there are: start, end, action"),
        (unknown_field, "unknown field; a node of this kind has: id, type"),
        (missing_field, "this field is needed"),
        (duplicate_id, "the id 'end' is taken by node 1"),
        (edge_to_nowhere, "there is no node 'nowhere'"),
        (unreachable_node, "'island' cannot be reached from the start"),
        (decision_without_way_out, "has no way out"),
        (decision_with_half_a_way_out, 'add an edge with "condition": "true"'),
        (condition_out_of_a_node_that_does_not_choose, "of kind 'start', which chooses no branch"),
        (python_that_does_not_compile, "Python does not compile: line 2: "),
        (template_that_does_more_than_compute, "only {{ ... }} is possible here"),
        (unknown_function, "there is no function 'steal'. There are: load, save"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_message_says_what_is_wrong(spoil: Spoil, says: str) -> None:
    draft = smallest()
    spoil(draft)

    [problem] = problems_of(draft.document)

    assert says in problem.detail


@pytest.mark.parametrize("nodes", [None, {}, [], "start", 3, True])
def test_nodes_that_are_no_list_are_one_problem(nodes: Json) -> None:
    assert [problem.pointer for problem in problems_of({"nodes": nodes, "edges": []})] == ["/nodes"]


@pytest.mark.parametrize("edges", [None, {}, "start -> end", 3, True])
def test_edges_that_are_no_list_are_one_problem(edges: Json) -> None:
    assert [problem.pointer for problem in problems_of({**smallest().document, "edges": edges})] == ["/edges"]


def test_more_nodes_than_can_be_run_are_one_problem() -> None:
    draft = smallest()
    for place in range(MAX_NODES):
        draft.node(id=f"n{place}", type="end")
        draft.edge("start", f"n{place}")

    [problem] = problems_of(draft.document)

    assert problem.pointer == "/nodes"
    assert f"at most {MAX_NODES:,}" in problem.detail


def test_as_many_nodes_as_can_be_run_are_read() -> None:
    draft = smallest()
    for place in range(MAX_NODES - 2):
        draft.reached(f"n{place}", type="end")

    assert problems_of(draft.document) == []


# Hostile documents.

WORDS = st.sampled_from(
    ["start", "end", "action", "decision", "transform", "function", "yes", "true", "", " ", "²", "9" * 5000, "\ud800",
     "\x00", "a/b~c", "{{ context.x }}", "{{", "context.x", "x = 1", "id", "type", "__class__"]
)  # fmt: skip
FIELDS = st.sampled_from(
    ["id", "type", "code", "expression", "set", "function", "timeout", "retry", "label", "from", "to", "condition",
     "position", "²", "9" * 5000, "model_config", "__init__", "run", "assign", "self", "a/b"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
TYPES = st.sampled_from(["start", "end", "action", "decision", "transform", "function"])
NAMES = st.sampled_from(["a", "b", "c", "d"])
NODES = st.fixed_dictionaries(
    {"id": NAMES | WORDS, "type": TYPES | WORDS},
    optional={"code": WORDS | ANYTHING, "set": ANYTHING, "retry": ANYTHING},
) | st.dictionaries(FIELDS, ANYTHING, max_size=5)
EDGES = st.fixed_dictionaries(
    {"from": NAMES | WORDS, "to": NAMES | WORDS}, optional={"condition": WORDS | ANYTHING, "²": ANYTHING}
)


PLACES = tuple(f"/{name}" for name in ("nodes", "edges", *RunPolicy.model_fields))


@given(
    st.fixed_dictionaries(
        {"nodes": st.lists(NODES | ANYTHING, max_size=5) | ANYTHING, "edges": st.lists(EDGES | ANYTHING, max_size=6)}
    )
    | st.dictionaries(st.sampled_from(["nodes", "edges"]) | FIELDS, ANYTHING, max_size=4)
)
def test_any_json_object_ends_as_a_graph_or_as_its_problems(definition: dict[str, Json]) -> None:
    found = problems_of(definition)

    assert all(problem.pointer.startswith(PLACES) and problem.detail for problem in found)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"type": "start", "²": 1}, "/nodes/2/²"),
        ({"type": "start", "9" * 5000: 1}, "/nodes/2/" + "9" * 5000),
        ({"type": "decision", "expression": "1" + " + 1" * 3000}, "/nodes/2/expression"),
        ({"type": "decision", "expression": "context" + ".x" * 3000}, "/nodes/2/expression"),
        ({"type": "decision", "expression": "(" * 3000}, "/nodes/2/expression"),
        ({"type": "transform", "set": {"x": "{{ 1" + " - 1" * 3000 + " }}"}}, "/nodes/2/set/x"),
        ({"type": "action", "code": "(" * 3000}, "/nodes/2/code"),
        ({"type": "action", "code": "x = " + "-" * 100_000 + "1"}, "/nodes/2/code"),
        ({"type": "action", "code": "\ud800"}, "/nodes/2/code"),
        ({"type": "\ud800"}, "/nodes/2/type"),
    ],
    ids=["superscript field", "long number as field", "long sum", "long path", "open brackets", "long text",
         "open code", "deep code", "surrogate code", "surrogate type"],
)  # fmt: skip
def test_a_hostile_node_is_a_problem_like_any_other(fields: dict[str, Json], pointer: str) -> None:
    draft = smallest()
    draft.node(id="hostile", **fields)

    assert pointer in pointers_of(draft)


@pytest.mark.parametrize("field", ["²", "9" * 5000, "weight"])
def test_a_hostile_field_of_an_edge_is_a_problem_like_any_other(field: str) -> None:
    draft = smallest()

    pointer = draft.edge("start", "end", **{field: 1})

    assert pointers_of(draft) == [f"{pointer}/{field}"]
