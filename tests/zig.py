"""The tests' C programs as WASI modules, mostly by the compiler that the extra [cc] brings."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_TIMEOUT = 600
"""Seconds: a first use builds the C library."""


def compile_wasm(source: Path, target: Path, *flags: str) -> Path:
    """``target``, which is there whole or not at all; ``flags`` beside those that all have, since for others zig would
    build another C library first. AssertionError with what the compiler said."""
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-Os", "-s"]
    return _compile([*zig, *flags], source, target)


def compile_with_names(source: Path, target: Path) -> Path:
    """As `compile_wasm`, by Debian's clang: its modules have their functions' names, and say who made them."""
    return _compile(["clang", "--target=wasm32-wasi", "-Os"], source, target)


def _compile(command: Sequence[str], source: Path, target: Path) -> Path:
    made = target.with_name(f".{target.name}.{os.getpid()}")
    done = subprocess.run([*command, "-o", made, source], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    assert done.returncode == 0, f"{command[0]} cannot compile {source}: {done.stderr}"
    made.rename(target)
    return target
