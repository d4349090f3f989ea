"""Compiling a module, in a process of its own: ``python -m wherry.wasm.compile --cache DIR --library PATH FILE``.

It prints JSON lines: ``{"progress": TEXT}`` while it takes long, at last ``{"digest", "path", "info"}`` or
``{"error": {"kind", "message"}}`` (and exits 1). ``--warmup`` stands for a FILE: the zygote's warm-up guest. An open
file can be given as ``/proc/self/fd/N``, with ``--name`` for the messages. With ``--binary N`` nothing is compiled:
the module's binary is written to the open file N, and ``{"binary": SIZE}`` printed.

Why a process: cranelift starts threads, and nothing may be forked from a process that has compiled; what it takes of
memory goes with it; and a compiler that crashes on hostile input takes nobody along.
"""

import argparse
import ctypes
import json
import marshal
import os
import re
import resource
import stat
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from wherry.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    WherryError,
)
from wherry.wasm import engine, module, warmup
from wherry.wasm.binding import ByteVec, Library
from wherry.wasm.cache import Cache, info_path, open_trusted
from wherry.wasm.component import compiling, wit
from wherry.wasm.environment import new_cache
from wherry.wasm.wasi import sock_table, thread  # noqa: F401 - checking a module asks for it, too late to be found then

Confine = Callable[[str], None]
MAX_MODULE_SIZE = 1 << 30
_NUMBERED = re.compile(r"\d+: ")
_MOST_MEMORY = 6 << 30  # bytes: a module of 75 MB takes 2 GiB
_OFFERED = wit.load()  # now: once shut in, this process reads no file of the package
_LONG = 1 << 20  # bytes of module from which compiling takes long enough to be announced


def trusting(folder: str) -> None:
    """Confine nothing: for tests, and who has confined the process already."""


def read_module(path: str, name: str) -> bytes:
    """The file's bytes. NotFound; InvalidArgument: no regular file, or over 1 GiB; PermissionDenied."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"{name}: no such file") from None
    except OSError as error:
        raise PermissionDenied(f"{name} can't be read: {error.strerror}") from None
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise InvalidArgument(f"{name} is not a WebAssembly module: it is not a regular file")
    with open(fd, "rb") as file:
        if status.st_size > MAX_MODULE_SIZE:
            raise InvalidArgument(f"{name} has {status.st_size} bytes: at most {MAX_MODULE_SIZE} are taken")
        return file.read(MAX_MODULE_SIZE)


def compile_module(
    data: bytes,
    name: str,
    library_path: str,
    cache: Cache,
    progress: Callable[[str], None],
    *,
    fuel: bool = False,
    confine: Confine = trusting,
) -> dict[str, Any]:
    """Compile unless that was done before; returns what is printed. ``cache`` is one of modules with ``fuel`` or
    without, as it says. InvalidArgument: it can't run here."""
    cache.prepare()
    digest_hex = sha256(data).hexdigest()
    found = cache.find(digest_hex)
    if found is None:
        library = Library(library_path)
        confine(cache.folder)
        binary = to_binary(library, data, name)
        info = module.inspect(binary, name)
        module.check_runnable(info, name)
        told = info.to_json()
        if len(binary) >= _LONG:
            progress(f"compiling {name} ({len(binary) / 1e6:.1f} MB)")
        made = engine.new_engine(library, compiling=True, fuel=fuel)
        if info.kind == "component":
            (compiled, *more), told["plan"] = _compile_component(library, made, binary, name)
        else:
            compiled, more = _compile(library, made, binary, name), []
        found = cache.store(digest_hex, compiled, marshal.dumps(told), tuple(more))
    fd = open_trusted(info_path(found))
    with open(fd, "rb") as file:
        known = marshal.load(file)
    known.pop("plan", None)  # the child's alone
    return {"digest": f"sha256:{digest_hex}", "path": found, "info": known}


def write_binary(data: bytes, name: str, library: Library, target: int) -> dict[str, Any]:
    """Write the module's binary to the open file ``target``; returns what is printed. InvalidArgument; OSError."""
    binary = to_binary(library, data, name)
    with open(target, "wb", buffering=0, closefd=False) as file:
        left = memoryview(binary)
        while left:
            left = left[file.write(left) :]
    return {"binary": len(binary)}


def to_binary(library: Library, data: bytes, name: str) -> bytes:
    """The binary of a module that may be WebAssembly text. InvalidArgument: it is wrong text."""
    if not module.is_text(data):
        return data
    vec = ByteVec()
    error = library.wat2wasm(data, len(data), ctypes.byref(vec))
    if error:
        raise InvalidArgument(f"{name} is not WebAssembly text: {_first_line(library.take_error(error))}")
    return library.take_bytes(vec)


def _compile(library: Library, made: int, binary: bytes, name: str, what: str = "module") -> bytes:
    compiled = ctypes.c_void_p()
    error = library.module_new(made, binary, len(binary), ctypes.byref(compiled))
    if error:
        raise InvalidArgument(f"{name} is not a valid {what}: {_cause(library.take_error(error))}")
    vec = ByteVec()
    error = library.module_serialize(compiled, ctypes.byref(vec))
    library.module_delete(compiled)
    if error:
        raise Internal(f"{name} can't be serialized: {_cause(library.take_error(error))}")
    return library.take_bytes(vec)


def _compile_component(library: Library, made: int, binary: bytes, name: str) -> tuple[list[bytes], dict[str, Any]]:
    """The code of its cores, and what is to be done with them: see component/compiling.py."""
    try:
        parts = compiling.make(library, made, binary, _OFFERED, name)
    except ValueError as error:
        raise InvalidArgument(f"{name} is not a valid component: {_cause(str(error))}") from None
    return [_compile(library, made, core, name, "component") for core in parts.cores], parts.plan


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0].strip()


def _cause(message: str) -> str:
    """The innermost cause of a libwasmtime error, on one line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return (
        _NUMBERED.sub("", lines[-1], 1).removeprefix("Invalid input WebAssembly code ") if lines else "no reason given"
    )


def _bound_memory() -> None:
    """No module takes more than this to compile; and if that is too much for the machine, the kernel shall end this
    process, not the engine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > _MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, hard))
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        return  # without /proc: the kernel chooses by itself


def main(arguments: Sequence[str] | None = None, *, confine: Confine = trusting) -> int:
    """Run with command-line ``arguments``, by default the process's own. Returns the exit code. ``confine`` shuts the
    process in, but for a folder, before the module's bytes are looked into."""
    options = _options(arguments)
    _bound_memory()
    try:
        name = options.name or ("warmup" if options.warmup else os.path.basename(options.file))
        data = warmup.TEXT if options.warmup else read_module(options.file, name)
        _print(_done(options, data, name, confine))
    except MemoryError:
        return _refuse(ResourceExhausted(f"{name} takes more memory to compile than {_MOST_MEMORY >> 30} GiB"))
    except (WherryError, OSError) as error:
        return _refuse(error)
    return 0


def _done(options: argparse.Namespace, data: bytes, name: str, confine: Confine) -> dict[str, Any]:
    """Do what is asked for; returns what is printed in the end."""
    if options.binary is not None:
        library = Library(options.library)
        confine(options.cache)
        return write_binary(data, name, library, options.binary)
    return compile_module(
        data,
        name,
        options.library,
        new_cache(options.cache, options.library, fuel=options.fuel),
        lambda text: _print({"progress": text}),
        fuel=options.fuel,
        confine=confine,
    )


def _refuse(error: WherryError | OSError) -> int:
    if isinstance(error, OSError):
        # Not the module's own file, which is read with care, but the cache's folder or the library.
        error = FailedPrecondition(f"modules can't be compiled: {error.filename}: {error.strerror}")
    _print({"error": {"kind": type(error).__name__, "message": str(error)}})
    return 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m wherry.wasm.compile")
    parser.add_argument("--cache", required=True, help="folder of compiled modules")
    parser.add_argument("--library", required=True, help="libwasmtime")
    parser.add_argument("--name", help="what to call the module in messages (default: the file's name)")
    parser.add_argument("--warmup", action="store_true", help="compile the zygote's warm-up guest")
    parser.add_argument("--fuel", action="store_true", help="have it count its steps")
    parser.add_argument("--binary", type=int, metavar="N", help="compile nothing: write the binary to this open file")
    parser.add_argument("file", nargs="?", help="the module, binary or text")
    options = parser.parse_args(arguments)
    if (options.file is None) != options.warmup:
        parser.error("give either FILE or --warmup")
    return options


def _print(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
