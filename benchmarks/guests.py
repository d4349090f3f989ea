"""The same module under wherry's WASI and under wasmtime's own, both as plain processes: the hosts are compared."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import proc
from wherry.errors import Internal
from wherry.wasm.library import library_path

_HOSTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hosts")
_SOURCES = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/src"


@dataclass(frozen=True, slots=True)
class Hosted:
    """Commands that run one module, each to be followed by the path of its root folder and its arguments."""

    ours: Sequence[str]
    native: Sequence[str]


def hosted(module: str, folder: str, environ: Mapping[str, str]) -> Hosted:
    """Compile the module for both, into ``folder``. What `proc.run` raises."""
    theirs = os.path.join(folder, os.path.basename(module) + ".native")
    host = os.path.join(_HOSTS, "native.py")
    proc.run(
        [sys.executable, host, "--compile", module, theirs], environ, f"compiling {module} for wasmtime's own host"
    )
    return Hosted(under_wherry(module, folder, environ), (sys.executable, host, theirs))


def under_wherry(module: str, folder: str, environ: Mapping[str, str], *, fuel: bool = False) -> Sequence[str]:
    """Compile the module for wherry; the command that runs it. With ``fuel`` it counts its steps."""
    library = library_path(sys.path)
    options = ["--cache", os.path.join(folder, "compiled"), "--library", library, *(["--fuel"] if fuel else [])]
    command = [sys.executable, "-m", "wherry.wasm.compile", *options, module]
    said = proc.run(command, environ, f"compiling {os.path.basename(module)}")
    compiled = json.loads(said.splitlines()[-1])["path"]
    host = os.path.join(_HOSTS, "ours.py")
    return (sys.executable, "-I", "-S", host, _SOURCES, "fuel" if fuel else "", library, compiled)


def timings(command: Sequence[str], environ: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """What a program that times itself wrote to stderr: a name and numbers a line. Its stdout is a pipe, drained.

    Internal: it failed.
    """
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as drain:
        assert drain.stdin is not None
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=drain.stdin, stderr=subprocess.PIPE, check=False
        )
        drain.stdin.close()
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode:
        raise Internal(f"{command[-1]} ended with {done.returncode}: {said[-300:]}")
    lines = (line.split() for line in said.splitlines())
    return {name: tuple(map(int, numbers)) for name, *numbers in lines}
