"""A component without its code: each function of its core modules does nothing but trap. So libwasmtime can look at all
its structure and types without compiling what is compiled a core at a time (see compiling.py). The compiler's.
"""

from __future__ import annotations

from wherry.wasm.binary import SECTIONS as CORE_SECTIONS
from wherry.wasm.component.names import SECTIONS
from wherry.wasm.reader import Reader, sections

_BODY = b"\x03\0\0\x0b"  # its size, no locals, unreachable, end
_LEFT_OUT = tuple(CORE_SECTIONS.index(name) for name in ("custom", "data", "datacount"))
_CODE = CORE_SECTIONS.index("code")
_HEADER = 8


def hollow(data: bytes, start: int = 0, end: int | None = None) -> bytes:
    """The component at that place of ``data``, hollow. Malformed: it is none."""
    found = bytearray(data[start : start + _HEADER])
    for number, reader in sections(data, start + _HEADER, SECTIONS, end):
        section = SECTIONS[number]
        if section == "core module":
            found += _section(number, _core(data, reader))
        elif section == "component":
            found += _section(number, hollow(data, reader.position, reader.end))
        elif section != "custom":
            found += _section(number, data[reader.position : reader.end])
    return bytes(found)


def _core(data: bytes, place: Reader) -> bytes:
    found = bytearray(data[place.position : place.position + _HEADER])
    for number, reader in sections(data, place.position + _HEADER, tuple(CORE_SECTIONS), place.end):
        if number == _CODE:
            count = reader.count()
            found += _section(number, _unsigned(count) + _BODY * count)
        elif number not in _LEFT_OUT:
            found += _section(number, data[reader.position : reader.end])
    return bytes(found)


def _section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + _unsigned(len(content)) + content


def _unsigned(value: int) -> bytes:
    """LEB128."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
