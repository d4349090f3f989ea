"""wasi:io: streams over descriptors; waiting is polling.py's.

https://github.com/WebAssembly/wasi-io/blob/v0.2.0/imports.md
"""

from __future__ import annotations

import os
import select

from wherry.wasm.component.polling import Pollable, wait
from wherry.wasm.component.state import CLOSED, State, StreamError, stream_failure
from wherry.wasm.component.values import Failed
from wherry.wasm.wasi import abi
from wherry.wasm.wasi.errno import BADF, Trap, WasiError
from wherry.wasm.wasi.table import Entry

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.component.state import Table

CHUNK = 1 << 16
"""Bytes: the most that one call reads, and that a stream says it takes."""
_SPLICE = 1 << 16


class InputStream:
    """Reads a guest's descriptor, one after the other: a pipe, terminal or socket. ``owner`` is what closes it once
    nobody refers to it any more."""

    def __init__(self, entry: Entry, owner: object = None) -> None:
        self.entry = entry
        self._owner = owner

    def pollable(self) -> Pollable:
        return Pollable(self.entry.fd, select.POLLIN)

    def receive(self, size: int) -> bytes:
        return os.read(self.entry.fd, size)

    def read(self, size: int, *, block: bool) -> bytes:
        """Up to ``size`` bytes; b"" if there are none now. Failed: the end, or an error."""
        if size == 0:
            return b""
        try:
            if self.entry.fd < 0:
                raise WasiError(BADF)
            if not block and not wait((self.pollable(),), block=False):
                return b""
            data = self._received(min(size, CHUNK), block=block)
        except BlockingIOError:
            return b""
        except (OSError, WasiError) as error:
            raise stream_failure(error) from None
        if not data:
            raise Failed(CLOSED)
        return data

    def _received(self, size: int, *, block: bool) -> bytes:
        """Most descriptors wait by themselves when they are read."""
        while True:
            try:
                return self.receive(size)
            except BlockingIOError:
                if not block:
                    raise
                wait((self.pollable(),), block=True)


class FileInput(InputStream):
    """Reads a file from a place of its own on."""

    def __init__(self, entry: Entry, offset: int, owner: object = None) -> None:
        super().__init__(entry, owner)
        self._offset = offset

    def pollable(self) -> Pollable:
        return Pollable()

    def receive(self, size: int) -> bytes:
        data = os.pread(self.entry.fd, size, self._offset)
        self._offset += len(data)
        return data


class OutputStream:
    """Writes a guest's descriptor. What a descriptor that does not block did not take is kept, and nothing more is
    taken until it has gone."""

    def __init__(self, entry: Entry, owner: object = None) -> None:
        self.entry = entry
        self._owner = owner
        self._kept = b""

    def pollable(self) -> Pollable:
        return Pollable(self.entry.fd, select.POLLOUT)

    def send(self, data: bytes) -> int:
        return os.write(self.entry.fd, data)

    def room(self) -> int:
        """Bytes that `write` takes now; 0 if none."""
        self.push(block=False)
        return CHUNK if not self._kept and wait((self.pollable(),), block=False) else 0

    def write(self, data: bytes) -> None:
        self._kept += data
        self.push(block=False)

    def push(self, *, block: bool) -> None:
        """Write what is kept; with ``block``, all of it. Failed: the stream has ended."""
        try:
            while self._kept:
                if self.entry.fd < 0:
                    raise WasiError(BADF)
                try:
                    self._kept = self._kept[self.send(self._kept) :]
                except BlockingIOError:
                    if not block:
                        return
                    wait((self.pollable(),), block=True)
        except (OSError, WasiError) as error:
            self._kept = b""
            raise stream_failure(error) from None


class FileOutput(OutputStream):
    """Writes a file from a place of its own on, or at its end wherever that is."""

    def __init__(self, entry: Entry, offset: int, owner: object = None, *, append: bool = False) -> None:
        super().__init__(entry, owner)
        self._offset = offset
        self._flags = os.RWF_APPEND if append else 0

    def pollable(self) -> Pollable:
        return Pollable()

    def send(self, data: bytes) -> int:
        size = os.pwritev(self.entry.fd, [data], self._offset, self._flags)
        self._offset += size
        return size


def input_of(entry: Entry, offset: int, owner: object) -> InputStream:
    """A stream from ``offset`` on, where the file has such places."""
    if entry.filetype() == abi.REGULAR_FILE:
        return FileInput(entry, offset, owner)
    return InputStream(entry, owner)


def output_of(entry: Entry, offset: int, owner: object, *, append: bool = False) -> OutputStream:
    """The same for writing."""
    if entry.filetype() == abi.REGULAR_FILE:
        return FileOutput(entry, offset, owner, append=append)
    return OutputStream(entry, owner)


def _poll(state: State, pollables: list[Pollable]) -> list[int]:
    if not pollables:
        raise Trap("poll: nothing to wait for")
    state.idle()
    return wait(pollables, block=True)


def _block(state: State, pollable: Pollable) -> None:
    state.idle()
    wait((pollable,), block=True)


def _write_and_flush(_state: State, stream: OutputStream, data: bytes) -> None:
    stream.push(block=True)
    stream.write(data)
    stream.push(block=True)


def _splice(target: OutputStream, source: InputStream, size: int, *, block: bool) -> int:
    if block:
        target.push(block=True)
        wait((target.pollable(),), block=True)
    room = target.room()
    if not room:
        return 0
    data = source.read(min(size, room, _SPLICE), block=block)
    target.write(data)
    return len(data)


_IN, _OUT = "[method]input-stream", "[method]output-stream"
INTERFACES: dict[str, Table] = {
    "wasi:io/error": {"[method]error.to-debug-string": lambda _state, error: _words(error)},
    "wasi:io/poll": {
        "[method]pollable.ready": lambda _state, pollable: bool(wait((pollable,), block=False)),
        "[method]pollable.block": _block,
        "poll": _poll,
    },
    "wasi:io/streams": {
        f"{_IN}.read": lambda _state, stream, size: stream.read(size, block=False),
        f"{_IN}.blocking-read": lambda _state, stream, size: stream.read(size, block=True),
        f"{_IN}.skip": lambda _state, stream, size: len(stream.read(size, block=False)),
        f"{_IN}.blocking-skip": lambda _state, stream, size: len(stream.read(size, block=True)),
        f"{_IN}.subscribe": lambda _state, stream: stream.pollable(),
        f"{_OUT}.check-write": lambda _state, stream: stream.room(),
        f"{_OUT}.write": lambda _state, stream, data: stream.write(data),
        f"{_OUT}.blocking-write-and-flush": _write_and_flush,
        f"{_OUT}.flush": lambda _state, stream: stream.push(block=False),
        f"{_OUT}.blocking-flush": lambda _state, stream: stream.push(block=True),
        f"{_OUT}.subscribe": lambda _state, stream: stream.pollable(),
        f"{_OUT}.write-zeroes": lambda _state, stream, size: stream.write(bytes(_some(size))),
        f"{_OUT}.blocking-write-zeroes-and-flush": lambda state, stream, size: _write_and_flush(
            state, stream, bytes(_some(size))
        ),
        f"{_OUT}.splice": lambda _state, target, source, size: _splice(target, source, size, block=False),
        f"{_OUT}.blocking-splice": lambda _state, target, source, size: _splice(target, source, size, block=True),
    },
}


def _some(size: int) -> int:
    if size > CHUNK:
        raise Trap(f"write-zeroes: {size} bytes, but {CHUNK} were allowed")
    return size


def _words(error: StreamError) -> str:
    return error.text
