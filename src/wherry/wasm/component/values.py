"""The host's values and a guest's, by the canonical ABI: read (lifted) from raw values and its memory into Python, or
written (lowered) there, by the types of wit.py. For each type functions are made once, when the component is linked.

In Python an enum is its case's name, flags a tuple of names, a record or tuple a tuple, a variant a case's name and its
payload, an option the value or None, or where the value is an option itself a tuple of it; a list of bytes ``bytes``, a
char a text of one, a resource the host's object, or a number where it is a guest's own. A result without values
is True or False, another one whether it is ok and its value; but a function's result of kind ``result`` is what it
returns, or the `Failed` that it raises.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md
"""

from __future__ import annotations

from struct import Struct, pack, unpack

from wherry.wasm.component import flat as layouts

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Type = tuple[Any, ...]

FORMATS = {"bool": "B", "s8": "b", "u8": "B", "s16": "h", "u16": "H", "s32": "i", "u32": "I", "s64": "q", "u64": "Q",
           "f32": "f", "f64": "d", "char": "I"}  # fmt: skip
"""How plain types lie in memory."""
SIGNED = {"s8": 8, "s16": 16, "s32": 32, "s64": 64}
PAIR = Struct("<II")
"""A pointer and a length."""
TAGS = {1: Struct("<B"), 2: Struct("<H"), 4: Struct("<I")}
"""Numbers of cases, flags and handles, by their size."""
_FLOATS = {"f": "f", "F": "d"}


class Failed(Exception):
    """A function's result is its error, ``value``."""

    def __init__(self, value: Any) -> None:
        super().__init__(str(value))
        self.value = value


def wrappers(kind: Type) -> list[Callable[[Any], Any]]:
    """For each case of a variant: from its payload to the value in Python."""
    word = kind[0]
    if word == "option":
        nested = kind[1][0] == "option"
        return [lambda _: None, (lambda payload: (payload,)) if nested else lambda payload: payload]
    if word == "result":
        if kind[1:] == (None, None):
            return [lambda _: True, lambda _: False]
        return [lambda payload: (True, payload), lambda payload: (False, payload)]
    if word == "enum":
        return [lambda _, name=name: name for name in kind[1]]  # type: ignore[misc]  # mypy knows no such lambda
    return [lambda payload, name=name: (name, payload) for name, _ in kind[1]]  # type: ignore[misc]  # as above


def unwrapper(kind: Type) -> Callable[[Any], tuple[int, Any]]:
    """From the value in Python to the case's number and its payload."""
    word = kind[0]
    if word == "option":
        if kind[1][0] == "option":
            return lambda value: (0, None) if value is None else (1, value[0])
        return lambda value: (0, None) if value is None else (1, value)
    if word == "result":
        if kind[1:] == (None, None):
            return lambda value: (0 if value else 1, None)
        return lambda value: (0 if value[0] else 1, value[1])
    numbers = {name: number for number, (name, _) in enumerate(layouts.cases(kind))}
    if word == "enum":
        return lambda value: (numbers[value], None)
    return lambda value: (numbers[value[0]], value[1])


def converted(have: str, want: str, value: Any) -> Any:
    """A flat value, of another letter because of the variant that it is in, as its own: and the other way about."""
    if have == want:
        return value
    if (have, want) == ("I", "i"):
        return value & 0xFFFFFFFF
    if want in "fF":
        size = 4 if want == "f" else 8
        return unpack("<" + _FLOATS[want], pack("<Q", value)[:size])[0]
    if have in "fF":
        return int.from_bytes(pack("<" + _FLOATS[have], value), "little")
    return value
