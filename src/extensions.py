"""What a deployment brings: functions that nodes call, and packages that code may import."""

import importlib
import importlib.util
import inspect
from collections.abc import Iterable
from pathlib import Path

from src.core.errors import NotReady
from src.nodes.config import Registered


def load_functions(modules: list[str]) -> dict[str, Registered]:
    """The public functions that the modules define, by name.

    Raises:
        NotReady: a module cannot be imported, or two of them define the same name.
    """
    functions: dict[str, Registered] = {}
    for name in modules:
        try:
            module = importlib.import_module(name)
        except (ImportError, TypeError, ValueError) as error:  # the last two: a relative name, an empty one
            raise NotReady(f"NOVA_FUNCTIONS names {name!r}, which cannot be imported: {error}") from None
        for function_name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or function_name.startswith("_"):
                continue
            if function_name in functions:
                raise NotReady(f"NOVA_FUNCTIONS: {function_name!r} of {name} is defined in an earlier module too")
            functions[function_name] = function
    return functions


def find_packages(names: Iterable[str]) -> dict[str, str]:
    """Where the packages are that code may import: name -> the folder that holds it. Those that are installed."""
    found = {}
    for name in names:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec and spec.origin:
            found[name] = str(Path(spec.origin).parents[1 if spec.submodule_search_locations else 0])
    return found
