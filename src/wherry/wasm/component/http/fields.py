"""``fields``: the header or the trailers of a message.

https://github.com/WebAssembly/wasi-http/blob/v0.2.0/proxy.md#fields
"""

from __future__ import annotations

from wherry.wasm.component.values import Failed
from wherry.wasm.wasi.errno import Trap
from wherry.wire.http1 import has_controls, is_token

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Iterable

    Raw = tuple[tuple[str, str], ...]
    """Names in lower case and values, latin-1, as http1.py has them."""

MOST = 128 << 10
"""Bytes of names and values together."""
FORBIDDEN = frozenset(
    (
        *("connection", "host", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "transfer-encoding", "upgrade"),
    )
)
"""The connection's, not the message's: neither seen nor set by a component."""


class Fields:
    """``entries`` are names in lower case and values. One that belongs to a message is not ``mutable``."""

    def __init__(self, entries: Iterable[tuple[str, bytes]] = (), *, mutable: bool = True) -> None:
        self.entries = list(entries)
        self.mutable = mutable
        self._size = sum(len(name) + len(value) for name, value in self.entries)

    def get(self, name: str) -> list[bytes]:
        name = name.lower()
        return [value for key, value in self.entries if key == name]

    def append(self, name: str, value: bytes) -> None:
        """Failed; Trap: there are too many."""
        self._check(name, (value,))
        self._add(name.lower(), value)

    def set(self, name: str, values: list[bytes]) -> None:
        """Failed; Trap: there are too many."""
        self._check(name, values)
        self._remove(name)
        for value in values:
            self._add(name.lower(), value)

    def delete(self, name: str) -> None:
        """Failed."""
        self._check(name, ())
        self._remove(name)

    def clone(self) -> Fields:
        return Fields(self.entries)

    def freeze(self) -> Fields:
        """It is a message's from now on."""
        self.mutable = False
        return self

    def raw(self) -> Raw:
        return tuple((name, value.decode("latin-1")) for name, value in self.entries)

    @property
    def length(self) -> int:
        """The one content-length there is, -1 for none. ValueError: it is no number, or there are several."""
        found = set(self.get("content-length"))
        if not found:
            return -1
        (text,) = found
        if not text.isdigit() or len(text) > 18:
            raise ValueError("content-length")
        return int(text)

    def _check(self, name: str, values: Iterable[bytes]) -> None:
        if not self.mutable:
            raise Failed(("immutable", None))
        check(name, values)

    def _add(self, name: str, value: bytes) -> None:
        self._size += len(name) + len(value)
        if self._size > MOST:
            raise Trap(f"fields: over {MOST} bytes")
        self.entries.append((name, value))

    def _remove(self, name: str) -> None:
        name = name.lower()
        self._size -= sum(len(key) + len(value) for key, value in self.entries if key == name)
        self.entries = [(key, value) for key, value in self.entries if key != name]


def check(name: str, values: Iterable[bytes]) -> None:
    """Failed: it is no field that a component may set."""
    if not is_token(name) or any(has_controls(value) for value in values):
        raise Failed(("invalid-syntax", None))
    if name.lower() in FORBIDDEN:
        raise Failed(("forbidden", None))


def from_list(entries: list[tuple[str, bytes]]) -> Fields:
    """Failed; Trap: there are too many."""
    made = Fields()
    for name, value in entries:
        made.append(name, value)
    return made


def received(raw: Iterable[tuple[str, str]]) -> Fields:
    """The fields of a message that came, without those that are the connection's."""
    return Fields(
        ((name, value.encode("latin-1")) for name, value in raw if name not in FORBIDDEN),
        mutable=False,
    )
