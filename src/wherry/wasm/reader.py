"""Reading WebAssembly's binary encoding from hostile bytes: LEB128, names, vectors, sections. No meaning is known here.

https://webassembly.github.io/spec/core/binary/conventions.html
"""

from collections.abc import Iterator

_U32_BYTES = 5
_U64_BYTES = 10


class Malformed(Exception):
    """The bytes are not what the format asks for; ``str()`` says what is wrong and at which byte of the file."""


class Truncated(Malformed):
    """They end too early."""


class Reader:
    """A place in ``data`` between ``position`` and ``end``; ``section`` names that range in messages."""

    __slots__ = ("data", "end", "position", "section")

    def __init__(self, data: bytes, position: int, end: int, section: str) -> None:
        self.data = data
        self.position = position
        self.end = end
        self.section = section

    def fault(self, message: str) -> Malformed:
        return Malformed(f"is malformed at byte {self.position} (section {self.section}): {message}")

    def byte(self) -> int:
        position = self.position
        if position >= self.end:
            raise self._short(position)
        self.position = position + 1
        return self.data[position]

    def peek(self) -> int:
        if self.position >= self.end:
            raise self._short(self.position)
        return self.data[self.position]

    def take(self, size: int) -> bytes:
        start = self.position
        if start + size > self.end:
            raise self._short(start)
        self.position = start + size
        return self.data[start : self.position]

    def _short(self, position: int) -> Malformed:
        if self.end >= len(self.data):
            return Truncated(f"is truncated at byte {len(self.data)} (section {self.section})")
        return Malformed(f"is malformed at byte {position} (section {self.section}): it ends too early")

    def u32(self) -> int:
        return self._unsigned(32, _U32_BYTES)

    def u64(self) -> int:
        return self._unsigned(64, _U64_BYTES)

    def _unsigned(self, bits: int, most: int) -> int:
        value = 0
        for index in range(most):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >> bits:
                    break
                return value
        raise self.fault(f"a number of more than {bits} bits")

    def s33(self) -> int:
        """A signed 33-bit number, as heap types are written."""
        value = 0
        for index in range(_U32_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value - (1 << (7 * index + 7)) if byte & 0x40 else value
        raise self.fault("a number of more than 33 bits")

    def name(self) -> str:
        size = self.u32()
        data = self.take(size)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.fault("a name that is not UTF-8") from None

    def count(self) -> int:
        """A vector's length. Each item takes a byte at least: more of them than bytes is a lie, told at once."""
        count = self.u32()
        if count > self.end - self.position:
            raise self._short(self.end)
        return count

    def done(self) -> bool:
        return self.position >= self.end

    def finish(self) -> None:
        """The section must end here."""
        if self.position != self.end:
            raise self.fault(f"{self.end - self.position} bytes too many")


def sections(data: bytes, start: int, names: tuple[str, ...], end: int | None = None) -> Iterator[tuple[int, Reader]]:
    """The sections from byte ``start`` on, up to ``end``: their ids (places in ``names``) and a reader of each one's
    content."""
    outer = Reader(data, start, len(data) if end is None else end, "header")
    while not outer.done():
        at = outer.position
        number = outer.byte()
        if number >= len(names):
            outer.position = at
            raise outer.fault(f"unknown section {number}")
        outer.section = names[number]
        size = outer.u32()
        begin = outer.position
        outer.take(size)
        yield number, Reader(data, begin, begin + size, names[number])
