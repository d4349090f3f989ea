"""How the canonical ABI lays types out: in memory, and as a core function's parameters and results. Pure.

A flat type is a letter: i is an i32, I an i64, f an f32, F an f64. Types are as wit.py has them.
https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#alignment
"""

from __future__ import annotations

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from typing import Any

    Type = tuple[Any, ...]
    Case = tuple[str, Type | None]

MOST_PARAMS = 16
"""Flat parameters. More go through memory."""
_SIZES = {
    "bool": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "f32": 4, "char": 4, "own": 4, "borrow": 4,
    "s64": 8, "u64": 8, "f64": 8,
}  # fmt: skip
_LETTERS = {"s64": "I", "u64": "I", "f32": "f", "f64": "F"}
_POINTERS = ("string", "list")


def align_to(offset: int, alignment: int) -> int:
    """The next multiple."""
    return -(-offset // alignment) * alignment


def cases(kind: Type) -> tuple[Case, ...]:
    """The cases of whatever is a variant in the end; () for other types."""
    word = kind[0]
    if word == "variant":
        found: tuple[Case, ...] = kind[1]
        return found
    if word == "enum":
        return tuple((name, None) for name in kind[1])
    if word == "option":
        return ("none", None), ("some", kind[1])
    if word == "result":
        return ("ok", kind[1]), ("error", kind[2])
    return ()


def fields(kind: Type) -> tuple[Type, ...] | None:
    """The types of a record's or tuple's fields; None for other types."""
    if kind[0] == "record":
        return tuple(field for _, field in kind[1])
    if kind[0] == "tuple":
        found: tuple[Type, ...] = kind[1]
        return found
    return None


def tag_size(count: int) -> int:
    """Bytes of the number of one of ``count`` cases."""
    return 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4


def _flags_size(count: int) -> int:
    return 1 if count <= 8 else 2 if count <= 16 else 4


def alignment(kind: Type) -> int:
    """Bytes."""
    return layout(kind)[1]


def size(kind: Type) -> int:
    """Bytes, a list's element takes as many."""
    return layout(kind)[0]


def layout(kind: Type) -> tuple[int, int]:
    """Size and alignment, in bytes."""
    word = kind[0]
    if word in _SIZES:
        return _SIZES[word], _SIZES[word]
    if word in _POINTERS:
        return 8, 4
    if word == "flags":
        count = _flags_size(len(kind[1]))
        return count, count
    members = fields(kind)
    if members is not None:
        _, total, most = offsets(members)
        return total, most
    at, most, largest = payload(kind)
    return align_to(at + largest, most), most


def offsets(members: tuple[Type, ...]) -> tuple[tuple[int, ...], int, int]:
    """Where each field lies, the size of all, and the alignment."""
    found, end, most = [], 0, 1
    for kind in members:
        taken, aligned = layout(kind)
        at = align_to(end, aligned)
        found.append(at)
        end, most = at + taken, max(most, aligned)
    return tuple(found), align_to(end, most), most


def payload(kind: Type) -> tuple[int, int, int]:
    """Of a variant: where its payload lies, its alignment, and the size of the largest payload."""
    found = cases(kind)
    tag = tag_size(len(found))
    layouts = [layout(inner) for _, inner in found if inner is not None]
    most = max((aligned for _, aligned in layouts), default=1)
    return align_to(tag, most), max(tag, most), max((taken for taken, _ in layouts), default=0)


def flat(kind: Type) -> str:
    """The letters of a type's flat form."""
    word = kind[0]
    if word in _POINTERS:
        return "ii"
    members = fields(kind)
    if members is not None:
        return "".join(map(flat, members))
    if word in ("variant", "option", "result", "enum"):
        return "i" + joined(kind)
    return _LETTERS.get(word, "i")


def joined(kind: Type) -> str:
    """The letters that the payloads of a variant share."""
    found: list[str] = []
    for _, inner in cases(kind):
        for number, letter in enumerate("" if inner is None else flat(inner)):
            if number == len(found):
                found.append(letter)
            elif found[number] != letter:
                found[number] = "i" if {found[number], letter} == {"i", "f"} else "I"
    return "".join(found)


def signature(params: tuple[Type, ...], result: Type | None, *, lowered: bool) -> tuple[str, str]:
    """The letters of a core function's parameters and results: of one that is ``lowered``, or that is to be lifted."""
    taken = "".join(map(flat, params))
    given = "" if result is None else flat(result)
    if len(taken) > MOST_PARAMS:
        taken = "i"
    if len(given) > 1:
        return (taken + "i", "") if lowered else (taken, "i")
    return taken, given
