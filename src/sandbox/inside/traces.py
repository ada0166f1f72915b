"""Whether code may have left something in its interpreter that the code after it would find there.

What is looked for is what happens by accident: a module that was changed, a thread that goes on, a setting for the
whole process. Code that hides what it leaves is not found, and need not be: what comes after is of the same execution.
"""

import opcode
import sys
from types import CodeType

LASTING = frozenset(
    """
    __builtins__ __dict__ __subclasses__ _getframe alarm atexit basicConfig builtins chdir ctypes delattr dup dup2
    environ fchdir filterwarnings gc getLogger getcontext globals install locale meta_path modules nice open_code
    path_hooks putenv resetwarnings seed setattr simplefilter signal sys tzset umask unsetenv vars warnings
    """.split()
)
"""Names by which code reaches what outlives it. Most of their uses leave nothing: that costs a new child, no more."""
LASTING_BEGINNINGS = ("add_", "register", "set_", "setdefaulttimeout", "setitimer", "setlocale", "setrec", "setswitch")
STORES = {opcode.opmap["STORE_ATTR"], opcode.opmap["DELETE_ATTR"]}
"""What changes an object, which may be a module or a class of the library."""


class Traces:
    """Looked at by one attempt after another; what one has left, all after it would find."""

    def __init__(self) -> None:
        self.are_left = False
        self._output = sys.stdout

    def see(self, code: CodeType) -> None:
        """Before it runs."""
        self.are_left = self.are_left or _may_last(code)

    def look_around(self) -> None:
        """After it has run."""
        if len(sys._current_frames()) > 1 or sys.stdout is not self._output or self._output.closed:
            self.are_left = True


def _may_last(code: CodeType) -> bool:
    if not LASTING.isdisjoint(code.co_names) or any(name.startswith(LASTING_BEGINNINGS) for name in code.co_names):
        return True
    if not STORES.isdisjoint(code.co_code[::2]):  # an instruction is two bytes, the first of which says what it does
        return True
    return any(_may_last(each) for each in code.co_consts if isinstance(each, CodeType))
