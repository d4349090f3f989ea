"""A seccomp filter as BPF, made of named system calls. Installing one is seccomp.py's; which calls a guest needs is
said elsewhere.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import errno
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wherry.linux.syscalls import MACHINE, NUMBERS

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LD_W_ABS = 0x20
_JEQ = 0x15
_JGE = 0x35
_JSET = 0x45
_JA = 0x05
_RET = 0x06

_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_RET_KILL_PROCESS = 0x80000000

_Instruction = tuple[int, int, int, int]
_ALLOW: _Instruction = (_RET, 0, 0, _RET_ALLOW)
_REFUSE: _Instruction = (_RET, 0, 0, _RET_ERRNO | errno.EPERM)

PACKED = struct.Struct("HBBI")
_LEAF = 3
_OFFSET_NR = 0
_OFFSET_ARCH = 4
_OFFSET_ARGS = 16


@dataclass(frozen=True, slots=True)
class OneOf:
    """Allowed when the low 32 bits of argument ``index`` equal one of ``values``."""

    index: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoneOfBits:
    """Allowed when argument ``index`` has none of the bits of ``mask``."""

    index: int
    mask: int


@dataclass(frozen=True, slots=True)
class Every:
    """Allowed when all of ``conditions`` are met."""

    conditions: tuple[OneOf | NoneOfBits, ...]


Condition = OneOf | NoneOfBits | Every


def assemble(
    allowed: Iterable[str],
    conditions: Mapping[str, Condition],
    *,
    refused: Mapping[str, int],
    numbers: Mapping[str, int] = NUMBERS,
    machine: str = MACHINE,
) -> bytes:
    """The filter's BPF: ``allowed`` pass, ``conditions`` pass as they say, ``refused`` fail with their own errno, all
    others with EPERM. Calls of another architecture kill the process. Pure."""
    program: list[_Instruction] = [
        (_LD_W_ABS, 0, 0, _OFFSET_ARCH),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RET, 0, 0, _RET_KILL_PROCESS),
        (_LD_W_ABS, 0, 0, _OFFSET_NR),
    ]
    if machine == "x86_64":
        program += [(_JGE, 0, 1, _X32_BIT), _REFUSE]
    bodies: dict[int, list[_Instruction]] = {numbers[name]: [_ALLOW] for name in allowed if name in numbers}
    for name, number in refused.items():
        if name in numbers:
            bodies[numbers[name]] = [(_RET, 0, 0, _RET_ERRNO | number)]
    for name, condition in conditions.items():
        if name in numbers:
            bodies[numbers[name]] = _condition(condition)
    program += _tree(sorted(bodies.items()))
    return b"".join(PACKED.pack(*instruction) for instruction in program)


def _tree(bodies: list[tuple[int, list[_Instruction]]]) -> list[_Instruction]:
    """A binary search over the numbers: the kernel runs the filter for every number there is when it is installed,
    which with a list of comparisons takes a third of a millisecond."""
    if len(bodies) <= _LEAF:
        leaf: list[_Instruction] = []
        for number, body in bodies:
            leaf += [(_JEQ, 0, len(body), number), *body]
        return [*leaf, _REFUSE]
    middle = len(bodies) // 2
    left, right = _tree(bodies[:middle]), _tree(bodies[middle:])
    # Conditional jumps reach 255 instructions only, so a far one takes an unconditional jump as well.
    return [(_JGE, 0, 1, bodies[middle][0]), (_JA, 0, 0, len(left)), *left, *right]


def _condition(condition: Condition) -> list[_Instruction]:
    if isinstance(condition, Every):  # each falls through to the next one's first instruction
        return [step for part in condition.conditions for step in _condition(part)[:-1]] + [_ALLOW]
    load = (_LD_W_ABS, 0, 0, _OFFSET_ARGS + 8 * condition.index)
    if isinstance(condition, NoneOfBits):
        return [load, (_JSET, 0, 1, condition.mask), _REFUSE, _ALLOW]
    count = len(condition.values)
    tests = [(_JEQ, count - index, 0, value) for index, value in enumerate(condition.values)]
    return [load, *tests, _REFUSE, _ALLOW]
