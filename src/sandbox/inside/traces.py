"""Whether code may have left something in its interpreter that the code after it would find there.

What is looked for is what happens by accident: a module that was changed, a thread that goes on, a setting for the
whole process. Code that hides what it leaves is not found, and need not be: what comes after is of the same execution.
"""

import inspect
import os
import re
import sys
from itertools import islice
from opcode import opmap
from types import CodeType

LASTING = frozenset(
    """
    __builtins__ __del__ __dict__ __subclasses__ _getframe alarm asyncio atexit basicConfig builtins chdir copyreg
    ctypes delattr dup dup2 environ eval exec faulthandler fchdir field_size_limit filterwarnings finalize gc getLogger
    getcontext globals locale logging meta_path modules nice open_code path_hooks putenv reload resetwarnings runpy
    seed signal simplefilter stack_size sys tracemalloc tzset umask unsetenv vars warnings
    """.split()
)
"""Names by which code reaches what outlives it. Most of their uses leave nothing: that costs a new child, no more.
A logger that is used for the first time sets up the root's, and `asyncio` remembers that a loop was closed.
"""
LASTING_BEGINNINGS = ("add_", "install", "register", "set")
HARMLESS = frozenset(("set", "setdefault"))
CHANGES = frozenset("add append clear discard extend insert pop popitem remove reverse setdefault sort update".split())
"""Methods of lists, dicts and sets, one of which may belong to a module: `mimetypes.knownfiles.append(...)`."""
LATE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Code that is complained of where nobody has waited for it, as late as it is thrown away."""
CACHE, EXTENDED_ARG, LOAD_ATTR = opmap["CACHE"], opmap["EXTENDED_ARG"], opmap["LOAD_ATTR"]
LOAD_METHOD = LOAD_ATTR if sys.version_info >= (3, 12) else opmap["LOAD_METHOD"]
FLAGS_BESIDE_NAME = int(LOAD_METHOD == LOAD_ATTR)
"""Bits of the argument: from Python 3.12 on, one instruction is for attributes and for methods."""


def _steps(*names: str) -> bytes:
    """A regular expression for one instruction of several."""
    return b"[" + re.escape(bytes(opmap[name] for name in names if name in opmap)) + b"]"


STORES = re.compile(
    _steps("STORE_ATTR", "DELETE_ATTR") + b"|" + _steps("LOAD_ATTR") + b"." + _steps("STORE_SUBSCR", "DELETE_SUBSCR"),
    re.DOTALL,
)
"""What changes an object, which may be a module or a class of the library: `a.b = c`, `a.b[c] = d`."""
DUPLICATE, CLOSE = os.dup, os.close


class Traces:
    """Looked at by one attempt after another; what one has left, all after it would find."""

    def __init__(self) -> None:
        self.are_left = False
        self._output = sys.stdout
        self._next_descriptor = _next_descriptor()
        self._modules = sys.modules
        self._loaded = len(sys.modules)

    def see(self, code: CodeType) -> None:
        """Before it runs."""
        self.are_left = self.are_left or _may_last(code)

    def look_around(self) -> None:
        """After it has run."""
        if len(sys._current_frames()) > 1 or sys.stdout is not self._output or self._output.closed:
            self.are_left = True
        if _next_descriptor() != self._next_descriptor or self._has_new_parts():
            self.are_left = True

    def _has_new_parts(self) -> bool:
        """Of packages: once anybody has imported `a.b`, whoever imports `a` finds it there. No name that was there is
        touched: its page would not be shared any more.
        """
        before, self._loaded = self._loaded, len(self._modules)
        newest = islice(reversed(self._modules), max(0, self._loaded - before))
        return any("." in name and not name.startswith("encodings.") for name in newest)


def _may_last(code: CodeType) -> bool:
    names = code.co_names
    if not LASTING.isdisjoint(names) or code.co_flags & LATE:
        return True
    if any(name.startswith(LASTING_BEGINNINGS) and name not in HARMLESS for name in names):
        return True
    steps = code.co_code[::2].translate(None, bytes((CACHE, EXTENDED_ARG)))  # of two bytes, the first says what is done
    if STORES.search(steps) or (not CHANGES.isdisjoint(names) and _changes_part(code)):
        return True
    return any(_may_last(each) for each in code.co_consts if isinstance(each, CodeType))


def _changes_part(code: CodeType) -> bool:
    """Whether there is `a.b.append(...)`, or another of `CHANGES`."""
    before, argument = CACHE, 0
    for step, low in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        if step == CACHE:
            continue
        argument = argument << 8 | low
        if step == EXTENDED_ARG:
            continue
        if before == LOAD_ATTR and step == LOAD_METHOD and code.co_names[argument >> FLAGS_BESIDE_NAME] in CHANGES:
            return True
        before, argument = step, 0
    return False


def _next_descriptor() -> int:
    """The lowest that is free, which is what it was where all that was opened is closed; -1 where the input is."""
    try:
        opened = DUPLICATE(0)
    except OSError:
        return -1
    CLOSE(opened)
    return opened
