"""Plugging the parts together: which functions workflows may call, and that nothing is opened before it has to be."""

import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.bootstrap import build
from src.core.errors import DefinitionError, NotReady
from src.extensions import load_functions
from src.sandbox.executor import Level
from src.settings import Settings

Module = Callable[[str, str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Writes modules that can be imported during this test."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_the_public_functions_that_a_module_defines_are_registered(module: Module) -> None:
    name = module("shop_orders", "def one(context): return {'n': 1}\ndef two(context): return {'n': 2}\n")

    functions = load_functions([name])

    assert {key: function({}) for key, function in functions.items()} == {"one": {"n": 1}, "two": {"n": 2}}


def test_private_imported_and_other_names_are_not(module: Module) -> None:
    name = module(
        "shop_mail",
        """
        from os import getcwd
        from textwrap import dedent
        import json

        class Order: pass

        LIMIT = 5
        fetch = lambda context: None
        fetch.__name__ = "_fetch"

        def _hidden(context): ...
        def __dunder__(context): ...
        def shown(context): ...
        """,
    )

    assert load_functions([name]).keys() - {"fetch"} == {"shown"}


def test_several_modules_are_registered_together(module: Module) -> None:
    names = [module("shop_a", "def a(context): ...\n"), module("shop_b", "def b(context): ...\n")]

    assert load_functions(names).keys() == {"a", "b"}


def test_a_name_that_two_modules_define_is_refused(module: Module) -> None:
    names = [module("shop_c", "def same(context): ...\n"), module("shop_d", "def same(context): ...\n")]

    with pytest.raises(NotReady, match="'same' of shop_d"):
        load_functions(names)


@pytest.mark.parametrize(
    "name", ["no_such_module", "no.such.module", "shop-mail", "../evil", ".relative", "os.nothing"]
)
def test_a_module_that_cannot_be_imported_is_refused_with_its_name(name: str) -> None:
    with pytest.raises(NotReady) as refused:
        load_functions([name])

    assert "NOVA_FUNCTIONS" in str(refused.value)
    assert repr(name) in str(refused.value)


def test_a_module_that_misses_a_library_is_refused_with_both_names(module: Module) -> None:
    name = module("shop_f", "import no_such_library\n")

    with pytest.raises(NotReady, match=r"shop_f.*no_such_library"):
        load_functions([name])


def test_a_decorated_function_of_the_module_is_registered(module: Module) -> None:
    name = module(
        "shop_i",
        """
        import functools

        def logged(function):
            @functools.wraps(function)
            def wrapper(*args): return function(*args)
            return wrapper

        @logged
        def ship(context): return {"shipped": True}
        """,
    )

    assert load_functions([name])["ship"]({}) == {"shipped": True}


def test_building_opens_nothing(tmp_path: Path) -> None:
    threads = threading.active_count()

    nova = build(Settings(database_url=f"sqlite:///{tmp_path / 'new' / 'nova.db'}"))

    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads
    nova.close()


def test_a_new_sqlite_file_gets_its_tables_at_start(tmp_path: Path) -> None:
    nova = build(Settings(database_url=f"sqlite:///{tmp_path / 'new' / 'nova.db'}"))

    nova.start()

    nova.check()
    assert nova.workflows.page(limit=1, skip=0) == ([], 0)
    nova.close()


@pytest.mark.parametrize("settings", [{}, {"host": "0.0.0.0"}, {"dyno": "web.1"}])
def test_code_runs_behind_walls_wherever_the_server_listens(tmp_path: Path, settings: dict[str, Any]) -> None:
    nova = build(Settings(database_url=f"sqlite:///{tmp_path / 'nova.db'}", **settings))

    level = nova.sandbox.level

    assert level in (Level.FULL, Level.SECCOMP) if sys.platform == "linux" else Level.WEAK
    nova.close()


@pytest.mark.parametrize(("least", "raised"), [(None, Level.SECCOMP), ("weak", Level.WEAK), ("full", Level.FULL)])
def test_being_reached_asks_for_walls_unless_the_operator_has_decided(
    tmp_path: Path, least: Any, raised: Level
) -> None:
    nova = build(Settings(database_url=f"sqlite:///{tmp_path / 'nova.db'}", sandbox_min_level=least))

    nova.expose()
    nova.expose()

    assert nova.sandbox.least is raised
    nova.close()


def test_what_the_operator_does_not_allow_is_refused_with_everything_else_that_is_wrong(tmp_path: Path) -> None:
    nova = build(
        Settings(database_url=f"sqlite:///{tmp_path / 'nova.db'}", sandbox_network_ports="", sandbox_max_memory_mb=512)
    )
    nodes = [
        {"id": "start", "type": "start"},
        {"id": "a", "type": "action", "code": "pass", "network": True, "memory_mb": 513},
        {"id": "b", "type": "action", "code": "pass", "executor": "e2b"},
    ]
    document = {"name": "x", "nodes": nodes, "edges": [{"from": "start", "to": "a"}, {"from": "a", "to": "b"}]}

    draft, _ = nova.read_draft(document)
    with pytest.raises(DefinitionError) as caught:
        nova.workflows.check(draft)

    pointers = {found.pointer for found in caught.value.problems}
    assert pointers == {"/nodes", "/nodes/1/network", "/nodes/1/memory_mb", "/nodes/2/executor"}
    nova.close()


def test_code_that_imports_what_it_cannot_use_is_warned_of(tmp_path: Path) -> None:
    nova = build(Settings(database_url=f"sqlite:///{tmp_path / 'nova.db'}"))
    node = {"id": "a", "type": "action", "code": "import json\nfrom urllib import request"}

    warned = nova.read_draft({"name": "x", "nodes": [node], "edges": []})[1]
    granted = nova.read_draft({"name": "x", "nodes": [node | {"network": True}], "edges": []})[1]

    assert [(each.pointer, "urllib.request" in each.detail) for each in warned] == [("/nodes/0/code", True)]
    assert list(granted) == []
    nova.close()


@pytest.mark.parametrize("name", [None, "", "  ", "x" * 201])
def test_a_draft_needs_a_name_of_200_characters_at_most(tmp_path: Path, name: str | None) -> None:
    nova = build(Settings(database_url=f"sqlite:///{tmp_path / 'nova.db'}"))

    with pytest.raises(DefinitionError, match="/name"):
        nova.read_draft({"nodes": [{"id": "a", "type": "start"}], "edges": []}, name=name)

    nova.close()
