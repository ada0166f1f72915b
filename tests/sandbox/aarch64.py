"""The corpus on an aarch64 machine that QEMU emulates: Debian's kernel and Python for arm64, and the sandbox as it is.

python -m tests.sandbox.aarch64                              as root, as an ordinary user, as in a container
python -m tests.sandbox.aarch64 --play "as-it-is none quick" one setting of `tests/sandbox/play.py`, or several
python -m tests.sandbox.aarch64 --kernel bookworm            with the kernel of another release of Debian

Needs a Debian with `qemu-system-aarch64` (`apt-get install qemu-system-arm`). apt fetches some 100 MB of packages for
arm64 into `--folder`; they are unpacked there and run in the emulated machine only, so this one is not changed. An
instruction takes some twenty times as long as on a real processor: a quarter of an hour to one for all of it.
"""

import argparse
import compileall
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from py_compile import PycInvalidationMode
from typing import BinaryIO

REPOSITORY = Path(__file__).resolve().parents[2]
KERNEL = ("linux-image-cloud-arm64",)
PACKAGES = ("python3.11", "busybox-static", "tzdata")
"""With all that they depend on; most of it is not needed inside."""
NEEDED = (
    "busybox", "libbz2", "libc6", "libcrypt1", "libdb5", "libexpat1", "libffi8", "libgcc-s1", "liblzma5", "libpython3",
    "libsqlite3", "libssl3", "libuuid1", "python3", "tzdata", "zlib1g",
)  # fmt: skip
SETTINGS = (
    "as-it-is landlock all 300",
    "as-it-is none all 300",
    "user landlock all 300",
    "user none quick 300",
    "container landlock quick 300",
    "user-in-container none quick 300",
)
APT = """
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
Acquire::Languages "none";
Dir::State "{folder}";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}";
Dir::Etc::sourcelist "{folder}/none";
Dir::Etc::sourceparts "{folder}/sources";
"""
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /tmp
mount -t securityfs none /sys/kernel/security; chmod 1777 /tmp
ip link set lo up
cd /nova
echo "HERE $(uname -srm); $(python3.11 --version); $(cat /sys/kernel/security/lsm)"
while read -r setting; do
  echo "REPORT $(python3.11 -B -m tests.sandbox.play $setting 2>&1 </dev/null | tail -n 1)"
done < /settings
poweroff -f
"""
BOOT_SECONDS = 3600


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=Path, help="Kept, with the packages; otherwise a temporary one.")
    options.add_argument("--kernel", default="trixie", help="The release of Debian that it is of; default: trixie.")
    options.add_argument("--play", action="append", help="Instead of the usual settings.")
    given = options.parse_args()
    if shutil.which("qemu-system-aarch64") is None:
        sys.exit("There is no qemu-system-aarch64 here: apt-get install qemu-system-arm")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        kernel = unpack_kernel(fetch(folder / "apt-kernel", KERNEL, given.kernel), folder / "kernel")
        packages = fetch(folder / "apt", PACKAGES, codename())
        root = furnish(packages, folder / "root", given.play or SETTINGS)
        pack(root, folder / "initrd")
        return run(kernel, folder / "initrd", len(given.play or SETTINGS))


def codename() -> str:
    """Of the release of Debian that this is."""
    told = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return told["VERSION_CODENAME"]


def fetch(folder: Path, packages: tuple[str, ...], release: str) -> list[Path]:
    """With a configuration and a state of apt's own, so that this machine does not learn of another architecture."""
    for part in ("lists/partial", "archives/partial", "sources"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "apt.conf").write_text(APT.format(folder=folder))
    for sources in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("debian.*")):
        if sources.exists():
            (folder / "sources" / sources.name).write_text(sources.read_text().replace(codename(), release))
    for command in (["update"], ["install", "--download-only", "--yes", *packages]):
        subprocess.run(
            ["apt-get", "-qq", *command],
            env=os.environ | {"APT_CONFIG": str(folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return sorted((folder / "archives").glob("*.deb"))


def unpack_kernel(packages: list[Path], folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for package in packages:
        if package.name.startswith("linux-image-6"):
            unpack(package, folder)
    return next((folder / "boot").glob("vmlinuz-*"))


def unpack(package: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)


def furnish(packages: list[Path], root: Path, settings: list[str] | tuple[str, ...]) -> Path:
    """All that is in the machine: it has no disk."""
    shutil.rmtree(root, ignore_errors=True)
    for package in packages:
        if package.name.startswith(NEEDED):
            unpack(package, root)
    for rest in ("usr/share/doc", "usr/share/man", "usr/lib/python3.11/test"):
        shutil.rmtree(root / rest, ignore_errors=True)
    for name in ("proc", "sys", "dev", "tmp", "etc", "nova/tests"):
        (root / name).mkdir(parents=True, exist_ok=True)
    install_nova(root)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "settings").write_text("".join(f"{each}\n" for each in settings))
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    return root


def install_nova(root: Path) -> None:
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in ("src", "tests/sandbox"):
        shutil.copytree(REPOSITORY / name, root / "nova" / name, ignore=without_caches)
    (root / "nova/tests/__init__.py").touch()
    if (pypdf := importlib.util.find_spec("pypdf")) and pypdf.origin:
        shutil.copytree(Path(pypdf.origin).parent, root / "usr/lib/python3/dist-packages/pypdf", ignore=without_caches)
    if sys.version_info[:2] == (3, 11):  # what this Python compiles the other one need not
        for code in ("usr/lib/python3.11", "usr/lib/python3/dist-packages", "nova"):
            compileall.compile_dir(
                root / code, quiet=2, stripdir=str(root), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
            )


def pack(root: Path, archive: Path) -> None:
    """As the kernel wants its first files: a cpio archive, `newc`, with everything owned by root."""
    with archive.open("wb") as out:
        for number, path in enumerate([root, *sorted(root.rglob("*"))], start=1):
            name = path.relative_to(root) if path != root else PurePosixPath(".")
            _write_entry(out, number, str(name), path.lstat(), content_of(path))
        _write_entry(out, 0, "TRAILER!!!", None, b"")


def content_of(path: Path) -> bytes:
    if path.is_symlink():
        return os.readlink(path).encode()
    return path.read_bytes() if path.is_file() else b""


def _write_entry(out: BinaryIO, number: int, name: str, found: os.stat_result | None, content: bytes) -> None:
    mode = found.st_mode if found else 0
    if stat.S_ISDIR(mode):
        mode |= 0o755  # what was unpacked below a temporary folder need not stay hidden
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name.encode()) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    for part in (head, content):
        out.write(part + bytes(-len(part) % 4))


def run(kernel: Path, initrd: Path, expected: int) -> int:
    begun = time.monotonic()
    reports, wrong = 0, 0
    for line in told_by_the_machine(kernel, initrd):
        kind, _, told = line.partition(" ")
        if kind not in ("HERE", "REPORT"):
            continue
        print(f"{time.monotonic() - begun:5.0f} s  {told}", flush=True)
        if kind == "REPORT":
            reports += 1
            wrong += not (told.startswith("{") and json.loads(told)["wrong"] == [])
    print(f"{reports} of {expected} settings played, {wrong} of them with something wrong")
    return 0 if reports == expected and not wrong else 1


def told_by_the_machine(kernel: Path, initrd: Path) -> Iterator[str]:
    command = ["nice", "-n", "19", "timeout", str(BOOT_SECONDS), "qemu-system-aarch64", "-M", "virt"]
    command += ["-cpu", "cortex-a72", "-smp", "1", "-m", "1536", "-nographic", "-no-reboot", "-nic", "none"]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyAMA0 quiet panic=-1"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
        assert machine.stdout
        for line in machine.stdout:
            yield line.decode(errors="replace").strip()


if __name__ == "__main__":
    raise SystemExit(main())
