"""From a module's file to compiled code: looked up in the cache, or made by a throwaway process.

Nothing is compiled in this process: a child forked from one that did could hang (see RATIONALE.md, "Why a zygote?").
"""

from __future__ import annotations

import os
import sys

from wherry import errors
from wherry.errors import FailedPrecondition, Internal, Unavailable, WherryError
from wherry.linux.files import open_regular
from wherry.oci.jsontext import parse
from wherry.shim.reactor import Reactor
from wherry.suppress import suppress
from wherry.wasm import warmup
from wherry.wasm.environment import new_cache
from wherry.wasm.library import library_path
from wherry.wasm.sha256 import sha256

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Done = Callable[[str, WherryError | None], None]
    """Hears the compiled module's path, or what was wrong."""

_Identity = tuple[int, int, int, int, int]
_MOST_OUTPUT = 1 << 20
_MOST_KNOWN = 4096
"""Files whose compiled modules are remembered; what others were compiled to lies in the cache."""
_HASHED_HERE = 4 << 20
"""Bytes of a module."""
_COMPILER = (
    "import sys;sys.path[:0]=sys.argv.pop(1).split(':');from wherry.shim.compiler import main;"
    "sys.exit(main(sys.argv[1:]))"
)


class Modules:
    """Compiled modules by the identity of the module's file."""

    def __init__(self, reactor: Reactor, search: Sequence[str], folder: str) -> None:
        """``search`` are the folders of wherry's and wasmtime's packages; compiled modules are kept in ``folder``."""
        self._reactor = reactor
        self._search = list(search)
        self._library = library_path(search)
        self._caches = {fuel: new_cache(folder, self._library, fuel=fuel) for fuel in (False, True)}
        self._compiled: dict[tuple[_Identity, bool], str] = {}

    def find(self, path: str, done: Done, *, fuel: bool = False) -> None:
        """Call ``done`` with what the module at host ``path`` was compiled to: at once if that was done before. With
        ``fuel``: to code that counts its steps."""
        try:
            identity = _identity(path)
            key = identity, fuel
            known = self._compiled.get(key)
            # A large one is hashed by the compiler, which looks in the cache too: here everybody would wait for it.
            if known is None and identity[2] <= _HASHED_HERE:
                known = self._caches[fuel].find(_digest(path))
        except OSError as error:
            done("", FailedPrecondition(f"cannot read module {path}: {error.strerror}"))
            return
        except WherryError as error:
            done("", error)
            return
        if known is not None:
            self._remember(key, known)
            done(known, None)
            return

        def compiled(answer: str | WherryError) -> None:
            if isinstance(answer, WherryError):
                done("", answer)
            else:
                self._remember(key, answer)
                done(answer, None)

        self._compile(["--fuel", path] if fuel else [path], compiled)

    def _remember(self, key: tuple[_Identity, bool], compiled: str) -> None:
        self._compiled[key] = compiled
        if len(self._compiled) > _MOST_KNOWN:
            del self._compiled[next(iter(self._compiled))]

    def forget(self, compiled: str) -> None:
        """A compiled module turned out to be damaged, or swept away: the next `find` makes it anew."""
        self._compiled = {key: path for key, path in self._compiled.items() if path != compiled}
        with suppress(OSError):
            os.unlink(compiled)

    def find_warmup(self, done: Done) -> None:
        """The same for the guest that the zygote warms itself with."""
        known = self._caches[False].find(sha256(warmup.TEXT).hexdigest())
        if known is not None:
            done(known, None)
        else:
            self._compile(["--warmup"], lambda answer: done(*_split(answer)))

    def _compile(self, options: list[str], then: Callable[[str | WherryError], None]) -> None:
        """Run the compiler beside this process and read the last line of JSON it prints."""
        try:
            pid, reading = self._start_compiler(options)
        except OSError as error:
            then(Unavailable(f"cannot run the compiler: {error.strerror}"))
            return
        output = bytearray()

        def ready() -> None:
            data = os.read(reading, 1 << 16)
            output.extend(data[: _MOST_OUTPUT - len(output)])
            if not data:
                self._reactor.remove(reading)
                os.close(reading)
                os.waitpid(pid, 0)
                then(_answer(bytes(output)))

        self._reactor.add(reading, ready)

    def _start_compiler(self, options: list[str]) -> tuple[int, int]:
        """Its process id, and where to read what it prints. OSError; then nothing is left."""
        command = [sys.executable, "-I", "-S", "-c", _COMPILER, ":".join(self._search),
                   "--cache", self._caches[False].folder, "--library", self._library, *options]  # fmt: skip
        reading, writing = os.pipe2(os.O_CLOEXEC)
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
        ]
        try:
            pid = os.posix_spawn(sys.executable, command, {}, file_actions=files, setsigmask=())
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return pid, reading


def _digest(path: str) -> str:
    digest = sha256()
    left = _HASHED_HERE  # it may be growing
    with open(open_regular(path), "rb", buffering=0) as file:
        while left > 0 and (chunk := file.read(1 << 18)):
            digest.update(chunk)
            left -= len(chunk)
    return str(digest.hexdigest())


def _identity(path: str) -> _Identity:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _split(answer: str | WherryError) -> tuple[str, WherryError | None]:
    return ("", answer) if isinstance(answer, WherryError) else (answer, None)


def _answer(output: bytes) -> str | WherryError:
    lines = output.splitlines()
    try:
        document = parse(lines[-1]) if lines else {}
        if "error" not in document:
            return str(document["path"])
        kind = getattr(errors, document["error"]["kind"], Internal)
        error = kind(document["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return Internal("the compiler died without a word: out of memory?")
    return error if isinstance(error, WherryError) else Internal(str(error))
