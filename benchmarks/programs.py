"""The guests and the native program they are compared with, made afresh in a run's own folder."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks import proc
from wherry.errors import FailedPrecondition

_HERE = os.path.dirname(os.path.abspath(__file__))
_SERVER = os.path.join(os.path.dirname(_HERE), "examples", "http", "server.c")
_PAGE = os.path.join(os.path.dirname(_HERE), "examples", "wagi", "hello.c")
_ZIG = (sys.executable, "-m", "ziglang", "cc", "-target", f"{os.uname().machine}-linux-musl", "-static")
_SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths: one C program twice, as a module and as a static native executable; a module that only waits; one that
    serves HTTP with preview 1's sockets; one that times calls of WASI; a native one that pours bytes; and a page by
    CGI, as a module, native, and native without glibc ("" where there is no zig)."""

    hello: str
    native: str
    idle: str
    server: str
    wasi_calls: str
    pour: str
    page: str
    native_page: str
    small_page: str


def source(name: str) -> str:
    """The path of one of the programs' sources."""
    return os.path.join(_SOURCES, name)


def make(folder: str, environ: Mapping[str, str]) -> Programs:
    """Compile them into ``folder``. FailedPrecondition: a compiler is missing or failed."""
    names = ("hello.wasm", "hello", "idle.wasm", "server.wasm", "wasi_calls.wasm", "pour", "page.wasm", "page")
    zig = find_spec("ziglang") is not None
    paths = [os.path.join(folder, name) for name in names]
    paths.append(os.path.join(folder, "small") if zig else "")
    made = Programs(*paths)
    hello = source("hello.c")
    _compile(hello, made.hello, environ)
    _compile(_PAGE, made.page, environ)
    for path, output in ((hello, made.native), (source("pour.c"), made.pour), (_PAGE, made.native_page)):
        what = f"compiling {os.path.basename(path)} natively"
        proc.run([*_native_compiler(environ), "-O2", "-s", path, "-o", output], environ, what)
    if zig:
        proc.run([*_ZIG, "-O2", "-s", _PAGE, "-o", made.small_page], environ, "compiling a page natively with musl")
    _compile(_SERVER, made.server, environ, "--", "-DPREVIEW1")
    _compile(source("wasi_calls.c"), made.wasi_calls, environ)
    _assemble(source("idle.wat"), made.idle)
    return made


def _compile(path: str, module: str, environ: Mapping[str, str], *flags: str) -> None:
    proc.run([*wherry(), "compile", path, "-o", module, *flags], environ, f"compiling {os.path.basename(path)} to WASM")


def wherry() -> list[str]:
    """The CLI as it is installed beside this Python, else as a module of it."""
    beside = os.path.join(os.path.dirname(sys.executable), "wherry")
    return [beside] if os.access(beside, os.X_OK) else [sys.executable, "-P", "-m", "wherry.cli"]


def _native_compiler(environ: Mapping[str, str]) -> list[str]:
    """A C compiler and what makes it link statically."""
    for name in ("gcc", "cc", "clang"):
        found = shutil.which(name, path=environ.get("PATH"))
        if found:
            return [found, "-static"]
    if find_spec("ziglang") is not None:
        return [*_ZIG]
    raise FailedPrecondition("no C compiler for the native program: apt-get install gcc, or pip install 'wherry[cc]'")


def _assemble(source: str, output: str) -> None:
    from wasmtime import wat2wasm

    with open(source, encoding="utf-8") as text, open(output, "wb") as module:
        module.write(wat2wasm(text.read()))
