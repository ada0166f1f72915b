"""What authors may import: the standard library and the packages that the operator names. Some are loaded ahead.

Where paths are refused altogether, what is not loaded ahead cannot be imported, so nearly everything is.
"""

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

from .walls import descriptors

FREQUENT = """
    abc argparse array ast base64 binascii bisect bz2 calendar codecs collections collections.abc concurrent.futures
    concurrent.futures.thread contextlib contextvars copy csv dataclasses datetime decimal difflib email
    email.header email.message email.mime.multipart email.mime.text email.parser email.policy email.utils enum errno
    fnmatch fractions functools getpass glob gzip hashlib heapq hmac html html.parser http http.client imaplib
    inspect io ipaddress itertools json linecache locale logging math mimetypes numbers operator os pathlib pickle
    platform pprint queue random re sched secrets select selectors shlex shutil signal smtplib socket ssl statistics
    string struct tempfile textwrap threading time traceback types typing unicodedata urllib.error urllib.parse
    urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo encodings.ascii
    encodings.cp1252 encodings.idna encodings.iso8859_1 encodings.iso8859_15 encodings.latin_1 encodings.utf_16
    encodings.utf_8_sig
""".split()
WITHOUT_PATHS = """
    asyncio concurrent.futures.process ctypes.util email.charset email.encoders email.generator email.headerregistry
    email.iterators email.mime.application email.mime.audio email.mime.base email.mime.image email.mime.message
    email.mime.nonmultipart html.entities http.cookiejar http.cookies http.server importlib.metadata
    importlib.resources json.tool logging.config logging.handlers multiprocessing.pool sqlite3.dbapi2 unittest.mock
    urllib.robotparser wsgiref.util xml.dom.minidom xml.sax.saxutils xml.sax.handler xmlrpc.client
""".split()
SKIPPED = """
    __main__ antigravity this idlelib tkinter _tkinter turtle turtledemo lib2to3 ensurepip venv test pip distutils
    __hello__ __phello__ msilib nt ntpath winreg winsound _winapi msvcrt curses readline rlcompleter nis
""".split()
"""Those that draw windows, print, belong to other systems, or install things."""
LEFT_OUT_FOLDERS = frozenset(("site-packages", "dist-packages", "test", "idlelib", "ensurepip", "turtledemo"))
SYSTEM_FILES = ("/etc/ld.so.cache", "/dev/null", "/dev/urandom")
NETWORK_FILES = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf", "/etc/services",
    "/etc/protocols", "/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
)  # fmt: skip
_ZONES: list[object] = []
"""Holds on to time zones: zoneinfo forgets those that nobody holds."""
STANDARD = os.path.dirname(os.__file__)


class Packages(importlib.abc.MetaPathFinder):
    """Finds the packages that were named, where they were said to be, and nothing that lies beside them."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        folder = self._folders.get(name) if path is None else None
        return importlib.machinery.PathFinder.find_spec(name, [folder], target) if folder else None


def open_up(packages: Mapping[str, str], *, to_other_users: bool) -> int:
    """Make the packages importable: name -> the folder that holds it. And find all modules in a way that a child has.
    Answers how many descriptors that takes.

    A child that has become another user may not be allowed to go through the folders above Python's own, such as a home
    directory; it is given descriptors of the folders, and goes through those.
    """
    folders = [STANDARD, *sorted(set(packages.values()))]
    hidden = [folder for folder in folders if to_other_users and _is_hidden(folder)]
    ways = dict(zip(hidden, _ways_through(hidden), strict=False))
    sys.path = [_along(ways, entry) for entry in sys.path if os.path.isdir(entry)]
    for module in list(sys.modules.values()):
        if hasattr(module, "__path__"):
            module.__path__ = [_along(ways, entry) for entry in module.__path__]
    sys.path_importer_cache.clear()
    sys.meta_path.append(Packages({name: _along(ways, folder) for name, folder in packages.items()}))
    return len(ways)


def load_ahead(packages: Sequence[str], *, everything: bool) -> None:
    for name in [*FREQUENT, *(WITHOUT_PATHS if everything else ())]:
        _load(name)
    if everything:
        _load_time_zones()
        for name in sorted(sys.stdlib_module_names.difference(SKIPPED)):
            _load(name)
    for name in packages:
        _load_package(name, everything=everything)
    _fill_caches()


def readable(packages: Mapping[str, str]) -> Iterator[str]:
    """The files and folders that a child may read: Python's own, the packages, and what both stand on."""
    yield from SYSTEM_FILES
    for entry in os.scandir(STANDARD):
        if entry.name not in LEFT_OUT_FOLDERS:
            yield entry.path
    for name, folder in packages.items():
        yield from (os.path.join(folder, found) for found in (name, f"{name}.py", f"{name}.libs"))
    libraries = _mapped_libraries()
    yield from libraries
    for folder in {os.path.dirname(path) for path in libraries if os.path.basename(path).startswith("libc.so")}:
        yield from (folder, f"/usr{folder}")  # where /lib and /usr/lib are not one, libraries are in both
    yield from _time_zone_folders()


def _load(name: str) -> None:
    with contextlib.suppress(ImportError, OSError):  # not built into this Python
        importlib.import_module(name)


def _load_package(name: str, *, everything: bool) -> None:
    _load(name)
    module = sys.modules.get(name)
    if everything and module is not None and hasattr(module, "__path__"):
        for found in pkgutil.walk_packages(module.__path__, f"{name}.", onerror=lambda _: None):
            if not found.name.endswith("__main__"):
                _load(found.name)


def _load_time_zones() -> None:
    import zoneinfo  # noqa: PLC0415 -- not built into every Python

    for name in zoneinfo.available_timezones():
        with contextlib.suppress(OSError, ValueError):
            _ZONES.append(zoneinfo.ZoneInfo(name))


def _fill_caches() -> None:
    """Finders remember what is in their folders; a child may read what is in there, and not list it."""
    for entry in sys.path:
        finder = sys.path_importer_cache.get(entry)
        if finder is not None:
            finder.find_spec("no_module_has_this_name")


def _ways_through(folders: Sequence[str]) -> list[str]:
    ways = []
    for place, folder in enumerate(folders[: descriptors.MAX_FOLDERS], descriptors.FOLDERS):
        descriptors.put(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), place)
        ways.append(f"/proc/self/fd/{place}")
    return ways


def _along(ways: Mapping[str, str], path: str) -> str:
    for folder, way in ways.items():
        if path == folder or path.startswith(f"{folder}/"):
            return way + path[len(folder) :]
    return path


def _is_hidden(folder: str) -> bool:
    """Whether somebody else could not go there."""
    above = os.path.realpath(folder)
    while above != "/":
        if not os.stat(above).st_mode & 0o001:
            return True
        above = os.path.dirname(above)
    return False


def _mapped_libraries() -> set[str]:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.rstrip("\n").split(maxsplit=5)[5] for line in maps if " /" in line}
    return {path for path in paths if ".so" in os.path.basename(path)}


def _time_zone_folders() -> tuple[str, ...]:
    import zoneinfo  # noqa: PLC0415 -- loaded ahead by now, or not there

    return zoneinfo.TZPATH
