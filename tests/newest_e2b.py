"""The tests of code in rented machines, with the newest package of E2B that there is, against a peer on loopback.

python -m tests.newest_e2b [pytest arguments]
"""

import os
import subprocess
import sys
import tempfile

from tests.newest_broker import ROOT

TESTS = ["tests/sandbox/test_e2b.py"]
VERSION = "from importlib.metadata import version; print('e2b', version('e2b'))"


def main(arguments: list[str]) -> int:
    """It lies, with all that it needs, before what is installed here."""
    with tempfile.TemporaryDirectory(prefix="nova-newest-") as folder:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "e2b"], check=True)
        environment = os.environ | {"PYTHONPATH": folder}
        subprocess.run([sys.executable, "-c", VERSION], check=True, env=environment)
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", *TESTS, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
