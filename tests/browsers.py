"""The browser of the tests: a Chromium that is there. Standard library only, for `dev.py` asks as well."""

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser")
MENDS = "apt-get update && apt-get install -y --no-install-recommends chromium"
NO_BROWSER = (
    f"No browser for the tests. `python3 dev.py test` installs one as root on Debian; `{MENDS}` does as well; "
    "or set BROWSER_PATH to a Chromium."
)
FLAGS = [
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class BrowserError(RuntimeError):
    """There is none; the message says what to do."""


def find_browser() -> Path:
    """Raises BrowserError."""
    if given := os.environ.get("BROWSER_PATH"):
        if not os.access(given, os.X_OK):
            raise BrowserError(f"BROWSER_PATH names {given}, which cannot be run.")
        return Path(given)
    for name in NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise BrowserError(NO_BROWSER)


def describe_browser() -> str:
    try:
        return str(find_browser())
    except BrowserError as error:
        return str(error)
