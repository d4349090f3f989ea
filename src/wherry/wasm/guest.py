"""One running guest: instantiate a program, call its entry, tell how it ended. One per process.

The guest's stdio are fds 0, 1 and 2 of this process. From `instantiate` on nothing is imported, no file opened and no
thread started but by what WASI calls themselves ask for: the sandbox may be shut before it.
"""

from __future__ import annotations

import ctypes
import os

from wherry.errors import Internal, InvalidArgument, ResourceExhausted
from wherry.record import Record
from wherry.wasm.binding import EXTERN_FUNC, EXTERN_MEMORY, POINTER, UNION, Extern, val_i32
from wherry.wasm.loaded import Program
from wherry.wasm.meter import BASE, MEMORY
from wherry.wasm.wasi import resolve
from wherry.wasm.wasi.errno import WasiError
from wherry.wasm.wasi.host import SocketPolicy
from wherry.wasm.wasi.table import Entry, WorkingDirectory, folder, stdio

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from wherry.wasm.threads import Shared

TRAP_EXIT_CODE = 134
FUEL_EXIT_CODE = 152
"""128 + SIGXCPU: as of a process that has had its CPU time."""
_NO_FUEL = "all fuel consumed"
_WARM_RUNS = 20
_UNLIMITED = -1
_MEMORY = b"memory"


class Preopen(Record):
    """A folder the guest finds open: ``fd`` is this process's descriptor of it (opened for reading), ``guest_path`` its
    name inside."""

    guest_path: bytes
    fd: int
    writable: bool


class GuestConfig(Record):
    """``listeners`` are descriptors of TCP sockets that listen; they become fds 3, 4, ..., as with wasmtime, and the
    variable LISTEN_FDS, if ``environ`` has none, says how many. ``preopens`` follow them. ``entry`` is the export
    called; ``memory_limit`` bytes of linear memory; ``sockets`` what sockets may do, None for no sockets.

    ``fuel`` are the units it may use, of a module compiled for that.

    ``cwd`` is the working directory, an absolute path. If it is not "/" it needs a preopen "/" and lies below it, even
    in a volume, and becomes one more preopen, the last, called "."; and the variable PWD, if ``environ`` has none.
    ``refused`` host functions (see wasm/grants.py) answer NOTCAPABLE.
    """

    args: tuple[bytes, ...]
    environ: tuple[bytes, ...]
    preopens: tuple[Preopen, ...]
    entry: str = "_start"
    memory_limit: int | None = None
    cwd: str = "/"
    listeners: tuple[int, ...] = ()
    sockets: SocketPolicy | None = None
    fuel: int = 0
    refused: tuple[str, ...] = ()


class Process:
    """What a module's and a component's guest have in common: a store, an fd table, a way to end."""

    def __init__(
        self,
        program: Program,
        config: GuestConfig,
        on_exit: Callable[[int], NoReturn],
        opened: Sequence[Entry],
    ) -> None:
        """``opened`` are the descriptors that it finds: see `open_descriptors`."""
        # By position: a field that is asked for by its name is a page of a child's own.
        args, environ, _, entry, memory_limit, cwd, listeners, sockets, fuel, _ = config
        self._program = program
        self._args: tuple[bytes, ...] = args
        self._entry: str = entry
        self._memory_limit: int | None = memory_limit
        self._on_exit = on_exit
        self._library = library = program.library
        self._store: int = library.store_new(program.engine, None, None)
        self._context: int = library.store_context(self._store)
        self._failure = ""
        if memory_limit is not None:
            limits = [_UNLIMITED] * 4
            library.store_limiter(self._store, memory_limit, *limits)
        if program.tank is not None:
            program.tank.fill(self._context, fuel)
        self._host = host = program.host
        host.args = args
        host.environ = environ if cwd == "/" and not listeners else _environ(config)
        host.exit = self.exit
        host.sockets = sockets
        host.table.begin(opened)
        self._stderr = opened[2]

    def close(self) -> None:
        """Free the store. A process that ends need not."""
        self._host.memory.begin(_no_memory)
        self._library.store_delete(self._store)

    def _told(self, failure: str) -> int:
        """The exit code of a guest that failed, once what happened is told."""
        tank = self._program.tank
        if tank is not None and _NO_FUEL in failure:
            self._report(f"wherry: out of fuel: all {tank.limit} units are used\n")
            return FUEL_EXIT_CODE
        self._report(trap_message(failure))
        return TRAP_EXIT_CODE

    def exit(self, code: int) -> NoReturn:
        """End the process with that code."""
        self._count()
        self._on_exit(code)

    def _count(self) -> None:
        if self._program.tank is not None:
            self._program.tank.look()

    def _report(self, text: str) -> None:
        if self._stderr.fd < 0:
            return  # the guest has closed it: its number may be another file's by now
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._stderr.fd, data) :]
        except OSError:
            return  # nobody reads it any more; the exit code tells enough


class Guest(Process):
    """A module's program with its store, linear memory and fd table."""

    def __init__(
        self,
        program: Program,
        config: GuestConfig,
        on_exit: Callable[[int], NoReturn],
        *,
        opened: Sequence[Entry] | None = None,
    ) -> None:
        """Make the store. ``on_exit`` gets the code of ``proc_exit`` (0-255): it reports and ends the process.
        ``opened`` are its descriptors; by default this process's stdio and what ``config`` has."""
        # Not by super(), which takes an object more.
        Process.__init__(self, program, config, on_exit, open_descriptors(config) if opened is None else opened)
        self._memory = 0
        self._results = 0
        host = self._host
        host.memory.begin(self._locate)
        if program.shared is not None:
            host.spawn = program.shared.spawn
        refused = config[-1]
        if refused:
            host.refuse(refused)

    def instantiate(self) -> None:
        """Instantiate (runs the module's start section if it has one: see `Program.runs_at_instantiation`).

        InvalidArgument: no such entry, or one that can't be run; ResourceExhausted: the memory limit is too small. A
        trap in the start section is kept, and `run` reports it.
        """
        program = self._program
        entry = self._entry
        self._results = program.entries[entry] if entry in program.entries else program.check_entry(self.name, entry)
        if program.shared is not None:
            program.shared.prepare(self._context, self._memory_limit, self.name, self._fail)
        room = program.room
        error = self._library.instance_pre_instantiate(program.instance_pre, self._context, room.instance, room.trap)
        self._failure = failure = self._failed(error)
        if failure and not program.runs_at_instantiation:
            message = " ".join(failure.split())
            if "memory" in message:
                raise ResourceExhausted(f"{self.name} does not fit into its memory limit: {message}")
            raise Internal(f"{self.name} can't be instantiated: {message}")
        if not failure and not self._memory:
            self._memory = self._export(_MEMORY, room.memory, EXTERN_MEMORY)
            if program.shared is not None:
                program.shared.adopt(Extern.from_address(room.memory))
        program.meter.words[BASE] = self._base()

    def run(self) -> int:
        """Call the entry; 0 when it returns. A trap: its message and wasm backtrace go to fd 2, and 134 is
        returned; 152 where it was for want of fuel."""
        if not self._failure and self._entry not in ("_start", "_initialize"):
            # A library's constructors: https://github.com/WebAssembly/WASI/blob/main/legacy/application-abi.md
            self._call(b"_initialize", 0)
        code = 0
        if not self._failure:
            code = self._call(self._entry.encode(), self._results)
        if self._failure:
            code = self._told(self._failure)
        self._count()
        return code

    def _fail(self, failure: str) -> NoReturn:
        self.exit(self._told(failure))

    @property
    def name(self) -> str:
        """The module's, for messages."""
        return os.fsdecode(self._args[0]) if self._args else "the module"

    @property
    def entries(self) -> dict[int, Entry]:
        """What its descriptors stand for, by number, now."""
        return self._host.table.entries

    def linear_memory(self) -> int:
        """Bytes of linear memory: now, and at most so far, for it never shrinks."""
        if self._program.shared is not None:
            return self._program.shared.size()
        if not self._memory:
            return 0
        size: int = self._library.memory_data_size(self._context, self._memory)
        return size

    def _base(self) -> int:
        """Where linear memory begins in this process, 0 without one."""
        if self._program.shared is not None:
            return self._program.shared.base()
        return self._library.memory_data(self._context, self._memory) or 0 if self._memory else 0

    def _count(self) -> None:
        self._program.meter.words[MEMORY] = self.linear_memory()
        super()._count()

    def _call(self, name: bytes, results: int) -> int:
        room = self._program.room
        function = self._export(name, room.function, EXTERN_FUNC)
        if not function:
            return 0
        error = self._library.func_call(self._context, function, None, 0, room.answer, results, room.trap)
        self._failure = self._failed(error)
        return val_i32(self._program.space, room.answer) & 0xFF if results and not self._failure else 0

    def _failed(self, error: int | None) -> str:
        """How a call of the library failed, "" if it did not."""
        space, at = self._program.space, self._program.room.trap
        trap = POINTER.unpack_from(space, at)[0]
        if not trap:
            return self._library.take_error(error) if error else ""
        POINTER.pack_into(space, at, 0)
        return self._library.take_trap(trap)

    def _export(self, name: bytes, at: int, kind: int) -> int:
        """The address of what is exported, once that is put into the `Extern` at an address; 0: there is none, or of
        another kind."""
        program = self._program
        found = self._library.instance_export_get(self._context, program.room.instance, name, len(name), at)
        return at + UNION if found and program.space[at] == kind else 0

    def _locate(self) -> memoryview:
        """The linear memory as it is now; nothing if the guest has none."""
        if self._program.shared is not None:
            return self._shared_memory(self._program.shared)
        if not self._memory:
            self._memory = self._callers_memory()
            if not self._memory:
                return memoryview(bytearray())
        item = self._memory
        base: int = self._library.memory_data(self._context, item) or 0
        size: int = self._library.memory_data_size(self._context, item)
        self._program.meter.words[MEMORY] = size
        return self._program.space[base : base + size]

    def _callers_memory(self) -> int:
        """A start section runs before the instance is known: then only the caller can be asked."""
        item = self._callers()
        return ctypes.addressof(item) + UNION if item is not None and item.kind == EXTERN_MEMORY else 0

    def _callers(self) -> Extern | None:
        item = Extern.from_address(self._program.room.memory)
        found = self._library.caller_export_get(self._host.caller, _MEMORY, len(_MEMORY), ctypes.byref(item))
        return item if found else None

    def _shared_memory(self, shared: Shared) -> memoryview:
        view = shared.view()
        if not view:  # the module's own, in its start section
            shared.adopt(self._callers())
            view = shared.view()
        self._program.meter.words[MEMORY] = len(view)
        return view


def _no_memory() -> memoryview:
    return memoryview(b"")


def trap_message(failure: str) -> str:
    """libwasmtime's account of a trap, reordered: the cause on the first line, then the backtrace.

    It comes as ``error while executing at wasm backtrace:``, frames, ``Caused by:``, one or more causes.
    """
    account, _, caused = failure.partition("Caused by:")
    head, *trace = account.rstrip().splitlines() or [""]
    trace = [line for line in trace if line and not line.startswith("note:")]
    causes = [_unnumbered(line.strip()) for line in caused.splitlines() if line.strip()] or [head]
    reason = causes[-1].removeprefix("wasm trap: ")
    detail = f" ({'; '.join(causes[:-1])})" if len(causes) > 1 else ""
    return "\n".join((f"wasm trap: {reason}{detail}", *(("wasm backtrace:", *trace) if trace else ()), ""))


def _unnumbered(cause: str) -> str:
    number, colon, rest = cause.partition(": ")
    return rest if colon and number.isdigit() else cause


def _environ(config: GuestConfig) -> tuple[bytes, ...]:
    """Go takes its working directory from PWD; who looks for listeners asks how many there are (sd_listen_fds(3))."""
    if config.cwd == "/" and not config.listeners:
        return config.environ
    added = [
        (b"PWD=", os.fsencode(config.cwd) if config.cwd != "/" else b""),
        (b"LISTEN_FDS=", str(len(config.listeners)).encode() if config.listeners else b""),
    ]
    return config.environ + tuple(
        name + value for name, value in added if value and not any(word.startswith(name) for word in config.environ)
    )


def open_descriptors(config: GuestConfig, stdio_fds: tuple[int, int, int] = (0, 1, 2)) -> list[Entry]:
    """What a guest finds open, by number. InvalidArgument: there is no such working directory."""
    _, _, preopens, _, _, cwd, listeners, *_ = config  # and no comprehensions: see `Process`
    stdin, stdout, stderr = stdio_fds
    opened = [stdio(stdin), stdio(stdout), stdio(stderr)]
    if listeners:
        from wherry.wasm.wasi.socket import listener  # a guest without sockets shall not pay for them

        opened += [listener(fd) for fd in listeners]
    for path, fd, writable in preopens:
        opened.append(folder(fd, path, writable=writable))
    if cwd != "/" and cwd.strip("/"):
        opened.append(_working_directory(config))
    return opened


def _working_directory(config: GuestConfig) -> Entry:
    root = next((preopen.fd for preopen in config.preopens if preopen.guest_path == b"/"), None)
    path = os.fsencode(config.cwd.strip("/"))
    if root is None:
        raise InvalidArgument(f"the working directory {config.cwd} needs a preopened /")
    try:
        fd = resolve.open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, WasiError) as error:
        reason = "not a directory" if isinstance(error, NotADirectoryError) else "no such file or directory"
        raise InvalidArgument(f'chdir to cwd ("{config.cwd}") failed: {reason}') from None
    # A path through it may be the root's or a volume's: what is read-only there is so by its mount.
    writable = any(preopen.writable for preopen in config.preopens)
    return folder(fd, b".", writable=writable, cwd=WorkingDirectory(root, path))


def warm(program: Program) -> None:
    """Run the warm-up guest in this process a few times, all of it; its stdio is /dev/null, its root the process's
    own."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    config = GuestConfig((b"warmup",), (b"PATH=/",), (Preopen(b"/", root, False),))
    try:
        for _ in range(_WARM_RUNS):
            guest = Guest(program, config, _refuse_exit, opened=open_descriptors(config, (null, null, null)))
            guest.instantiate()
            if guest.run():
                raise Internal("the warm-up guest trapped")
            guest.close()
    finally:
        os.close(null)
        os.close(root)


def _refuse_exit(code: int) -> NoReturn:
    raise Internal(f"the warm-up guest called proc_exit({code})")
