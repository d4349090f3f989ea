"""Calling WASI functions without a guest: a memory of bytes, a table with a preopened folder, errnos by name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wherry.wasm.imports import offered
from wherry.wasm.wasi import abi, errno
from wherry.wasm.wasi.host import Host
from wherry.wasm.wasi.memory import Memory
from wherry.wasm.wasi.table import WorkingDirectory, folder, stdio

NAMES = {number: name for name, number in errno.NUMBERS.items()}
ROOT = 3
OUT = 0  # where results are written
SCRATCH = 0x100  # where arguments are placed
SIZE = 0x10000


class Caller:
    """Calls by name; bytes and strings among the arguments become a pointer and a length."""

    def __init__(self, stdio_fds: tuple[int, int, int] = (0, 1, 2)) -> None:
        self.data = bytearray(SIZE)
        self.host = Host(Memory(lambda: memoryview(self.data)))
        for fd in stdio_fds:
            self.host.table.add(stdio(fd))

    def __call__(self, name: str, *arguments: Any) -> str:
        """The errno's name, as `callbacks.py` would answer it."""
        at = SCRATCH
        placed: list[int] = []
        for argument in arguments:
            if isinstance(argument, str | bytes):
                data = os.fsencode(argument)
                self.data[at : at + len(data)] = data
                placed += (at, len(data))
                at += len(data) + 1
            else:
                placed.append(argument)
        functions = offered("wasi_snapshot_preview1", name)
        function = next(function for function in functions if len(function.params) == len(placed))
        try:
            number = function.call(self.host, *placed)
            return NAMES.get(number, str(number))
        except errno.WasiError as error:
            return NAMES[error.errno]
        except OSError as error:
            return NAMES[errno.from_linux(error.errno)]

    def u32(self, at: int = OUT) -> int:
        return int.from_bytes(self.data[at : at + 4], "little")

    def u64(self, at: int = OUT) -> int:
        return int.from_bytes(self.data[at : at + 8], "little")

    def open(self, path: str, oflags: int = 0, rights: int = abi.RIGHTS_ALL, fdflags: int = 0, fd: int = ROOT) -> str:
        """path_open with symlinks followed; the new fd is at OUT."""
        return self("path_open", fd, 1, path, oflags, rights, rights, fdflags, OUT)

    def opened(self, path: str, oflags: int = 0, rights: int = abi.RIGHTS_ALL, fdflags: int = 0) -> int:
        assert self.open(path, oflags, rights, fdflags) == "SUCCESS"
        return self.u32()

    def iovecs(self, *ranges: tuple[int, int], at: int = 0x8000) -> tuple[int, int]:
        """Place iovecs; returns their pointer and count."""
        for index, (pointer, size) in enumerate(ranges):
            abi.IOVEC.pack_into(self.data, at + 8 * index, pointer, size)
        return at, len(ranges)

    def write(self, fd: int, data: bytes) -> str:
        self.data[0x9000 : 0x9000 + len(data)] = data
        return self("fd_write", fd, *self.iovecs((0x9000, len(data))), OUT)

    def read(self, fd: int, size: int) -> bytes:
        assert self("fd_read", fd, *self.iovecs((0x9000, size)), OUT) == "SUCCESS"
        return bytes(self.data[0x9000 : 0x9000 + self.u32()])


@contextmanager
def caller(root: Path, *, writable: bool = True, cwd: str = "") -> Iterator[Caller]:
    """A caller with ``root`` preopened as "/", and as a fourth descriptor the working directory ``cwd``."""
    made = Caller()
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    made.host.table.add(folder(fd, b"/", writable=writable))
    if cwd:
        inside = os.open(root / cwd, os.O_RDONLY | os.O_DIRECTORY)
        made.host.table.add(folder(inside, b".", writable=writable, cwd=WorkingDirectory(fd, cwd.encode())))
    try:
        yield made
    finally:
        for entry in made.host.table.entries.values():
            if entry.fd > 2:
                os.close(entry.fd)
