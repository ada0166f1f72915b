"""The seccomp filter, gone through by a model of the kernel's: for both architectures, for every number there is."""

import re
import struct
from pathlib import Path

import pytest

from src.sandbox.inside.walls import bpf
from src.sandbox.inside.walls.seccomp import (
    ALLOW,
    AUDIT_ARCHITECTURES,
    BY_ARGUMENT,
    KILL,
    NO_SUCH_CALL,
    PATHS,
    PLAIN,
    REFUSE,
    WITH_NETWORK,
    WITH_PATHS,
    program,
)
from src.sandbox.inside.walls.syscalls import ARCHITECTURES, NUMBERS

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(code: list[bpf.Instruction], machine: str, number: int, *arguments: int) -> int:
    """What the kernel would answer."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, AUDIT_ARCHITECTURES[machine], 0, *padded)
    place, loaded = 0, 0
    while True:
        kind, yes, no, operand = code[place]
        place += 1
        if kind == 0x06:
            return operand
        if kind == 0x20:
            (loaded,) = struct.unpack_from("=I", data, operand)
        elif kind == 0x54:
            loaded &= operand
        else:
            place += yes if (loaded == operand if kind == 0x15 else loaded >= operand) else no


def number_of(name: str, machine: str) -> int | None:
    return NUMBERS[name][ARCHITECTURES.index(machine)]


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize("paths", [True, False])
@pytest.mark.parametrize("network", [True, False])
def test_no_number_is_allowed_but_those_that_are_named(machine: str, paths: bool, network: bool) -> None:
    code = program(machine, paths=paths, network=network)
    plain = {number_of(name, machine) for name in PLAIN + (PATHS if paths else [])}
    bounded = {**BY_ARGUMENT, **(WITH_PATHS if paths else {}), **(WITH_NETWORK if network else {})}
    may_be = plain | {number_of(name, machine) for name in bounded}

    allowed = {number for number in range(1024) if verdict(code, machine, number) == ALLOW}

    assert plain - {None} <= allowed <= may_be
    assert len(code) < 1024


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_another_architecture_or_table_ends_the_process(machine: str) -> None:
    code = program(machine, paths=True, network=True)
    other = next(each for each in ARCHITECTURES if each != machine)

    assert verdict(code, other, 0) == KILL
    assert verdict(code, machine, 0x40000000) == KILL


@pytest.mark.parametrize("machine", ARCHITECTURES)
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("clone", (0x3D0F00,), ALLOW),  # what glibc starts a thread with
        ("clone", (0x3D0F00 | 0x400000,), ALLOW),  # what musl starts one with
        ("clone", (0x3D0F00 & ~0x400,), REFUSE),  # with descriptors of its own
        ("clone", (0x3D0F00 | 0x10000000,), REFUSE),  # in a namespace of its own
        ("clone", (17,), REFUSE),
        ("clone", (0x10000000 | 0x10000,), REFUSE),
        ("clone3", (0, 88), NO_SUCH_CALL),
        ("kill", (1, 9), REFUSE),
        ("kill", (0xFFFFFFFF, 9), REFUSE),
        ("prlimit64", (0, 7, 0, 1), ALLOW),
        ("prlimit64", (0, 7, 1 << 40, 0), REFUSE),
        ("openat", (0, 0, 0o2000000), ALLOW),
        ("openat", (0, 0, 1), REFUSE),
        ("openat", (0, 0, 0o100), REFUSE),
        ("fcntl", (3, 8, 1), REFUSE),  # F_SETOWN
        ("fcntl", (3, 10, 9), REFUSE),  # F_SETSIG
        ("fcntl", (3, 1030, 1), ALLOW),
        ("ioctl", (0, 0x5412), REFUSE),  # TIOCSTI
        ("socket", (2, 1, 0), ALLOW),
        ("socket", (2, 0o2000001, 6), ALLOW),
        ("socket", (2, 1, 262), REFUSE),
        ("socket", (1, 1, 0), REFUSE),
        ("socket", (16, 3, 0), REFUSE),
        ("socket", (2, 3, 1), REFUSE),
        ("sendto", (3, 0, 0, 0x20000000), REFUSE),
        ("sendmsg", (3, 0, 0x20000000), REFUSE),
        ("setsockopt", (3, 1, 26), REFUSE),
        ("setsockopt", (3, 6, 1), ALLOW),
        ("sendto", (3, 0, 1, 0x1), REFUSE),
        ("sendto", (3, 0, 1, 0x4000), ALLOW),
        ("recvfrom", (3, 0, 1, 0x1), REFUSE),
        ("recvfrom", (3, 0, 1, 0x102), ALLOW),
        ("recvmsg", (3, 0, 0x1), REFUSE),
        ("close_range", (5, 9, 0), ALLOW),
        ("close_range", (5, 9, 2), REFUSE),
        ("mmap", (0, 4096, 3, 0x22), ALLOW),
        ("mmap", (0, 4096, 1, 0x1), ALLOW),
        ("mmap", (0, 4096, 5, 0x812), ALLOW),  # of a library
        ("mmap", (0, 4096, 3, 0x21), REFUSE),
        ("mmap", (0, 4096, 3, 0x23), REFUSE),
        ("mmap", (0, 4096, 3, 0x40022), REFUSE),
        ("prctl", (15,), ALLOW),
        ("prctl", (22,), REFUSE),
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (1, 2, 0), REFUSE),
    ],
)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], answer: int) -> None:
    number = number_of(name, machine)
    assert number is not None

    assert verdict(program(machine, paths=True, network=True), machine, number, *arguments) == answer


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = HEADERS[machine]
    if not header.is_file():
        pytest.skip(f"{header} is not installed")
    text = header.read_text()
    there = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)}
    if machine == "aarch64":
        there["newfstatat"] = there["fstatat"]  # its name where a long has 64 bits

    told = {name: number_of(name, machine) for name in NUMBERS}

    assert {name: number for name, number in told.items() if there.get(name) != number} == {}
