"""What a component's host functions work on: preview 1's host, for its descriptors, policy, arguments and way out; and
the errors that its streams end with."""

from __future__ import annotations

from wherry.wasm.component.values import Failed
from wherry.wasm.wasi.errno import WasiError, from_linux
from wherry.wasm.wasi.host import Host

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Table = Mapping[str, Callable[..., Any]]
    """Functions of an interface by name; the first argument is the state."""


class State:
    """``cwd`` is the working directory; ``refused`` what is not granted, as grants.refused has it; ``hosts`` whom
    wasi:http may ask, all if there are none; ``idle`` is called before the guest waits for anything."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.cwd = "/"
        self.refused: tuple[str, ...] = ()
        self.hosts: tuple[str, ...] = ()
        self.idle: Callable[[], None] = do_nothing


def do_nothing() -> None:
    """Nothing is held back that a wait would hold up."""


class StreamError:
    """What ``wasi:io/error`` stands for: preview 1's errno of what went wrong, and its words."""

    def __init__(self, errno: int, text: str) -> None:
        self.errno = errno
        self.text = text


def number_of(error: OSError | WasiError) -> int:
    """Preview 1's errno of it."""
    return error.errno if isinstance(error, WasiError) else from_linux(error.errno)


def stream_failure(error: OSError | WasiError) -> Failed:
    """A stream's end by an error. A reader that is gone closes the stream; so do sockets shut down."""
    text = str(error) if isinstance(error, WasiError) else (error.strerror or "I/O error")
    if isinstance(error, (BrokenPipeError, ConnectionResetError)):
        return Failed(("closed", None))
    return Failed(("last-operation-failed", StreamError(number_of(error), text)))


CLOSED = ("closed", None)
"""The stream-error of a stream that has ended."""
