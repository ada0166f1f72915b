"""The tests that need a broker, on the newest Celery, kombu and redis-py that there are instead of the locked ones.

python -m tests.newest_broker [pytest arguments]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = [
    "tests/workers",
    "tests/runtime/test_broker.py",
    "tests/end_to_end/test_switch.py",
    "tests/end_to_end/test_deaths.py",
]
VERSIONS = "from importlib.metadata import version; print(*(f'{n} {version(n)}' for n in ('celery', 'kombu', 'redis')))"


def main(arguments: list[str]) -> int:
    """They lie before the locked ones on the path of the tests, and of every process that the tests start."""
    with tempfile.TemporaryDirectory(prefix="nova-newest-") as folder:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", folder, "celery[redis]"]
        subprocess.run(install, check=True)
        environment = os.environ | {"PYTHONPATH": folder}
        subprocess.run([sys.executable, "-c", VERSIONS], check=True, env=environment)
        command = [sys.executable, "-m", "pytest", "-q", *TESTS, *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
