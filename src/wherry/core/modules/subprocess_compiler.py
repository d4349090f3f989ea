"""The driver of compiling: a throwaway process for each module, results remembered, one process per file at a time.

The process is ``python -m wherry.shim.compiler``; the engine itself never loads libwasmtime.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from hashlib import file_digest
from typing import Any, Final
from weakref import WeakValueDictionary

from wherry import errors
from wherry.core.modules.compiled import CompiledModules
from wherry.core.modules.compiler import CompiledModule
from wherry.linux.files import open_regular
from wherry.oci.digest import Digest
from wherry.wasm.cache import clear_after

_Identity = tuple[int, int, int, int, int, bool]
"""A file as it is, and whether fuel is counted."""

_REMEMBERED: Final = 4096
_LINE_LIMIT: Final = 64 << 20  # a module's info lists all its imports and exports, and a hostile one has many
_KINDS: Final[Mapping[str, type[errors.WherryError]]] = {
    kind.__name__: kind
    for kind in (
        errors.InvalidArgument,
        errors.NotFound,
        errors.PermissionDenied,
        errors.ResourceExhausted,
        errors.FailedPrecondition,
        errors.Unimplemented,
        errors.DataLoss,
    )
}


@dataclass(frozen=True, slots=True)
class CompilerConfig:
    """``cache`` is the folder of compiled modules, ``library`` libwasmtime's path; ``command`` what is run before their
    options; ``timeout`` in seconds, for one module; ``limit`` how many compilations run at a time."""

    cache: str
    library: str
    command: Sequence[str] = (sys.executable, "-m", "wherry.shim.compiler")
    environ: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 600.0
    limit: int = 2


@dataclass(frozen=True, slots=True)
class _Told:
    """What a process said last, how it ended, and the last line of its complaints."""

    answer: dict[str, Any]
    code: int
    complaint: str


class SubprocessCompiler:
    """Compiles by running a process, which keeps the cache; what it said of a file is remembered while the file stays
    as it is (device, inode, size and both times), so that an ordinary create starts no process. Nor does another file
    of the same bytes, of another image, say."""

    def __init__(self, config: CompilerConfig, kept: CompiledModules | None = None) -> None:
        """``kept`` is told what was compiled of what; without it, nobody sweeps the cache."""
        self._config = config
        self._kept = kept
        self._known: dict[_Identity, CompiledModule] = {}
        self._alike: dict[tuple[int, bool], dict[str, CompiledModule]] = {}  # by size and fuel, then by digest
        self._locks: WeakValueDictionary[_Identity, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(config.limit)

    def known(self, path: str, *, fuel: bool = False) -> CompiledModule | None:
        """See the contract."""
        try:
            return self._look(path, fuel)[1]
        except errors.NotFound:
            return None

    async def ensure(
        self, path: str, *, fuel: bool = False, progress: Callable[[str], None] | None = None
    ) -> CompiledModule:
        """See the contract. Also NotFound: no such file; Internal: the compiler died."""
        identity, found = await asyncio.to_thread(self._look, path, fuel)
        if found is not None:
            return found
        lock = self._locks.get(identity)
        if lock is None:
            lock = self._locks[identity] = asyncio.Lock()
        async with lock:
            found = self._known.get(identity)
            if found is None:
                async with self._slots:
                    found = await self._made(path, fuel, progress)
                # A file changed meanwhile has another identity now: this result is perhaps not of what it was.
                if (await asyncio.to_thread(_identify, path, fuel)) == identity:
                    self._remember(identity, found)
            return found

    async def _made(self, path: str, fuel: bool, progress: Callable[[str], None] | None) -> CompiledModule:
        """Compile, or find compiled, and have it kept. What the process finds in the cache may be swept before it can
        be: then once more."""
        if self._kept is None:
            return await self._told(path, fuel, progress)
        with self._kept.making():
            while True:
                found = await self._told(path, fuel, progress)
                if await asyncio.to_thread(self._kept.record, found.path, path, fuel=fuel):
                    return found

    async def _told(self, path: str, fuel: bool, progress: Callable[[str], None] | None) -> CompiledModule:
        found = await asyncio.to_thread(self._same, path, fuel)
        return found or await self._compile(path, fuel, progress)

    def _same(self, path: str, fuel: bool) -> CompiledModule | None:
        """What was made of the same bytes elsewhere. A file that can't be read is the compiler's to complain of."""
        try:
            with open(open_regular(path), "rb") as file:
                alike = self._alike.get((os.fstat(file.fileno()).st_size, fuel))
                found = alike.get(file_digest(file, "sha256").hexdigest()) if alike else None
        except OSError:
            return None
        return found if found is not None and os.path.exists(found.path) else None

    def _look(self, path: str, fuel: bool) -> tuple[_Identity, CompiledModule | None]:
        """The file's identity, and what is known of it if the cache still holds it. Runs in a thread."""
        identity = _identify(path, fuel)
        found = self._known.get(identity)
        if found is not None and not os.path.exists(found.path):  # somebody cleared the cache
            self._known.pop(identity, None)
            return identity, None
        return identity, found

    def _remember(self, identity: _Identity, found: CompiledModule) -> None:
        self._known[identity] = found
        self._alike.setdefault((identity[2], identity[5]), {})[found.digest.hex] = found
        if len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known)))
            self._alike.pop(next(iter(self._alike)))

    async def binary(self, path: str, target: int) -> None:
        """See the contract. Also NotFound: no such file; Internal: the compiler died."""
        async with self._slots:
            told = await self._run(path, ["--binary", str(target)], None, (target,))
        _answered(os.path.basename(path), told, {"binary"})

    async def _compile(self, path: str, fuel: bool, progress: Callable[[str], None] | None) -> CompiledModule:
        told = await self._run(path, ["--fuel"] if fuel else [], progress)
        answer = _answered(os.path.basename(path), told, {"digest", "path", "info"})
        return CompiledModule(Digest.parse(answer["digest"]), str(answer["path"]), answer["info"])

    async def _run(
        self, path: str, more: Sequence[str], progress: Callable[[str], None] | None, files: tuple[int, ...] = ()
    ) -> _Told:
        name = os.path.basename(path)
        config = self._config
        options = ["--cache", config.cache, "--library", config.library, "--name", name]
        command = [*config.command, *options, *more, path]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                env=dict(config.environ),
                stdin=null,
                stdout=pipe,
                stderr=pipe,
                limit=_LINE_LIMIT,
                pass_fds=files,
            )
        except OSError as error:
            raise errors.Internal(f"cannot run the compiler {command[0]}: {error.strerror}") from None
        try:
            async with asyncio.timeout(config.timeout), asyncio.TaskGroup() as group:
                complaints = group.create_task(_tail(child.stderr))
                answer = await _answer(child.stdout, progress)
                code = await child.wait()
        except TimeoutError:
            raise errors.ResourceExhausted(f"{name} took over {config.timeout:g} seconds to compile") from None
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
                with contextlib.suppress(OSError):  # there is no cache yet, or it is not ours to tidy
                    await asyncio.to_thread(clear_after, config.cache, child.pid)
        return _Told(answer, code, complaints.result())


def _identify(path: str, fuel: bool) -> _Identity:
    try:
        status = os.stat(path)
    except OSError as error:
        raise errors.NotFound(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, fuel


async def _answer(stdout: asyncio.StreamReader | None, progress: Callable[[str], None] | None) -> dict[str, Any]:
    """The last line the process printed as JSON; progress lines before it are passed on."""
    answer: dict[str, Any] = {}
    assert stdout is not None
    try:
        async for line in stdout:
            value = json.loads(line)
            if not isinstance(value, dict):
                continue
            if "progress" in value:
                if progress is not None:
                    progress(str(value["progress"]))
            else:
                answer = value
    except ValueError:  # not JSON, or a line over the limit: what follows is of no use either
        while await stdout.read(1 << 16):
            pass
        return {}
    return answer


async def _tail(stderr: asyncio.StreamReader | None) -> str:
    kept = b""
    assert stderr is not None
    while data := await stderr.read(4096):
        kept = (kept + data)[-4096:]
    lines = [line.strip() for line in kept.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def _answered(name: str, told: _Told, keys: Set[str]) -> dict[str, Any]:
    """The answer, which has ``keys``; else what is wrong is raised."""
    answer, code, complaint = told.answer, told.code, told.complaint
    failure = answer.get("error")
    if isinstance(failure, dict):
        kind = _KINDS.get(str(failure.get("kind")), errors.Internal)
        raise kind(str(failure.get("message", f"{name} cannot be compiled")))
    if code == 0 and keys <= answer.keys():
        return answer
    # Rust aborts when it is given no more memory.
    if code == -9 or (code == -6 and "memory allocation" in complaint):
        raise errors.ResourceExhausted(f"compiling {name} was killed: it took too much memory, most likely")
    raise errors.Internal(f"the compiler failed on {name} (exit code {code}){': ' + complaint if complaint else ''}")
