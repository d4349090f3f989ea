"""wasi:cli, wasi:clocks and wasi:random: what a program is given, its way out, time and randomness.

https://github.com/WebAssembly/wasi-cli/blob/v0.2.0/imports.md
"""

from __future__ import annotations

import os
import time

from wherry.wasm.component.io import InputStream, OutputStream
from wherry.wasm.component.polling import Pollable
from wherry.wasm.component.state import State
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from wherry.wasm.component.state import Table

_NANO = 1_000_000_000
_MOST_RANDOM = 1 << 22
"""Bytes in one call."""
_STDIN, _STDOUT, _STDERR = range(3)


def _environment(state: State) -> list[tuple[str, str]]:
    words = [word.decode("utf-8", "replace").partition("=") for word in state.host.environ]
    return [(name, value) for name, _, value in words]


def _arguments(state: State) -> list[str]:
    return [word.decode("utf-8", "replace") for word in state.host.args]


def _exit(state: State, ok: bool) -> None:
    state.host.exit(0 if ok else 1)


def _exit_with_code(state: State, code: int) -> None:
    state.host.exit(code)


def _stdin(state: State) -> InputStream:
    return InputStream(state.host.table.get(_STDIN))


def _output(number: int, state: State) -> OutputStream:
    return OutputStream(state.host.table.get(number))


def _terminal(number: int, state: State) -> object | None:
    """Nothing can be asked of a terminal: that there is one is all that is told."""
    return object() if os.isatty(state.host.table.get(number).fd) else None


def _datetime(nanoseconds: int) -> tuple[int, int]:
    return divmod(nanoseconds, _NANO)


def _resolution(clock: int) -> int:
    return max(1, round(time.clock_getres(clock) * 1e9))


def _random(_state: State, size: int) -> bytes:
    if size > _MOST_RANDOM:
        raise Trap(f"random: {size} bytes at once, at most {_MOST_RANDOM} are given")
    return os.urandom(size)


def _random_u64(_state: State) -> int:
    return int.from_bytes(os.urandom(8), "little")


INTERFACES: dict[str, Table] = {
    "wasi:cli/environment": {
        "get-environment": _environment,
        "get-arguments": _arguments,
        "initial-cwd": lambda state: state.cwd,
    },
    "wasi:cli/exit": {"exit": _exit, "exit-with-code": _exit_with_code},
    "wasi:cli/stdin": {"get-stdin": _stdin},
    "wasi:cli/stdout": {"get-stdout": lambda state: _output(_STDOUT, state)},
    "wasi:cli/stderr": {"get-stderr": lambda state: _output(_STDERR, state)},
    "wasi:cli/terminal-stdin": {"get-terminal-stdin": lambda state: _terminal(_STDIN, state)},
    "wasi:cli/terminal-stdout": {"get-terminal-stdout": lambda state: _terminal(_STDOUT, state)},
    "wasi:cli/terminal-stderr": {"get-terminal-stderr": lambda state: _terminal(_STDERR, state)},
    "wasi:clocks/monotonic-clock": {
        "now": lambda _state: time.monotonic_ns(),
        "resolution": lambda _state: _resolution(time.CLOCK_MONOTONIC),
        "subscribe-instant": lambda _state, when: Pollable(deadline=when),
        "subscribe-duration": lambda _state, length: Pollable(deadline=time.monotonic_ns() + length),
    },
    "wasi:clocks/wall-clock": {
        "now": lambda _state: _datetime(time.time_ns()),
        "resolution": lambda _state: _datetime(_resolution(time.CLOCK_REALTIME)),
    },
    "wasi:random/random": {"get-random-bytes": _random, "get-random-u64": _random_u64},
    "wasi:random/insecure": {"get-insecure-random-bytes": _random, "get-insecure-random-u64": _random_u64},
    "wasi:random/insecure-seed": {"insecure-seed": lambda state: (_random_u64(state), _random_u64(state))},
}
