"""A small assembler for classic BPF, the language of seccomp filters. Knows nothing of what is allowed."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

Instruction = tuple[int, int, int, int]
"""code, jump if true, jump if false, operand: a `struct sock_filter`."""

NUMBER, ARCHITECTURE = 0, 4
"""Offsets into `struct seccomp_data`."""
WORD = 0xFFFFFFFF
TO_THE_END = 255
"""Of an alternative: a jump whose length is not known yet."""


@dataclass(frozen=True)
class Is:
    """A condition on an argument of a system call: `argument & mask == value`.

    The kernel reads most arguments as 32 bits, and so does this; `wide` asks that the other half be zero too.
    """

    argument: int
    value: int
    mask: int = WORD
    wide: bool = False


def load(offset: int) -> Instruction:
    return (0x20, 0, 0, offset)


def answer(action: int) -> Instruction:
    return (0x06, 0, 0, action)


def skip_unless_equal(value: int, skipped: int) -> Instruction:
    return (0x15, 0, skipped, value)


def keep_bits(mask: int) -> Instruction:
    return (0x54, 0, 0, mask)


def when(number: int, then: Sequence[Instruction]) -> list[Instruction]:
    """`then`, for the system call `number`, which is what is loaded; it has to end in an answer."""
    return [skip_unless_equal(number, len(then)), *then]


def unless(value: int, then: Sequence[Instruction]) -> list[Instruction]:
    """`then`, if anything but `value` is loaded."""
    return [(0x15, len(then), 0, value), *then]


def from_on(value: int, then: Sequence[Instruction]) -> list[Instruction]:
    """`then`, if `value` or more is loaded."""
    return [(0x35, 0, len(then), value), *then]


def any_of(alternatives: Sequence[Sequence[Is]], allow: int, otherwise: int) -> list[Instruction]:
    """`allow`, if every condition of one alternative holds."""
    program: list[Instruction] = []
    for conditions in alternatives:
        program += _all_of(conditions, allow)
    return [*program, answer(otherwise)]


def packed(program: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _all_of(conditions: Sequence[Is], allow: int) -> list[Instruction]:
    program: list[Instruction] = []
    for condition in conditions:
        low = 16 + 8 * condition.argument  # both architectures are little-endian
        program += [load(low), keep_bits(condition.mask), skip_unless_equal(condition.value, TO_THE_END)]
        if condition.wide:
            program += [load(low + 4), skip_unless_equal(0, TO_THE_END)]
    program.append(answer(allow))
    return [
        (code, yes, len(program) - place - 1 if no == TO_THE_END else no, operand)
        for place, (code, yes, no, operand) in enumerate(program)
    ]
