"""A component in the child that runs it: loaded and linked before the sandbox is shut, instantiated and run after."""

from __future__ import annotations

import ctypes
import os

from wherry.errors import DataLoss, InvalidArgument
from wherry.wasm.cache import open_trusted
from wherry.wasm.component.binding import FUNC_SIZE, Functions
from wherry.wasm.component.counted import SOMEWHERE, memories
from wherry.wasm.component.host import Linked
from wherry.wasm.component.state import State
from wherry.wasm.component.values import SIZE
from wherry.wasm.grants import matches
from wherry.wasm.guest import GuestConfig, Process, open_descriptors
from wherry.wasm.loaded import Program
from wherry.wasm.meter import BASE, MEMORY
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_RUN = "wasi:cli/run@"
HANDLER = "wasi:http/incoming-handler@"
"""What a component exports that answers HTTP."""
_POLICYS = ("wasi:sockets/*", "wasi:http/outgoing-handler*")
"""Of what is refused: here it is the policy's to refuse what leads out, and to let in what may come in."""


class Component:
    """A loaded component with its imports linked: the ``component`` of its `Program`."""

    def __init__(self, program: Program, compiled_path: str) -> None:
        """DataLoss: this engine can't use the file, compile it again; NotFound, PermissionDenied: as `open_trusted`.

        ``run`` and ``handler`` are the places of its exports, 0 for one that it has not."""
        self._program = program
        library = program.library
        self.functions = Functions(library)
        self.state = State(program.host)
        tank = program.tank
        self.linked = Linked(
            library,
            self.functions,
            program.engine,
            program.space,
            self.state,
            program.meter.words,
            tank.look if tank is not None else None,
        )
        self.linked.define(program.info["host"])
        self.linker = self.linked.linker
        self.handle = self._load(compiled_path)
        self.run = self._find(_RUN, "run")
        self.handler = self._find(HANDLER, "handle")
        # Opened while there is a /proc: what the component has of memory is told nowhere else.
        self.maps = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)

    def _load(self, compiled_path: str) -> int:
        library = self._program.library
        handle = ctypes.c_void_p()
        fd = open_trusted(compiled_path)
        try:
            # The very file that was found trustworthy, not whatever has its name by now.
            path = f"/proc/self/fd/{fd}".encode()
            error = self.functions.deserialize_file(self._program.engine, path, ctypes.byref(handle))
        finally:
            os.close(fd)
        if error:
            message = " ".join(library.take_error(error).split())
            raise DataLoss(f"compiled module {compiled_path} can't be used: {message}; compile it again")
        assert handle.value is not None
        return handle.value

    def _find(self, interface: str, function: str) -> int:
        """The place of an exported interface's function, 0 if there is none."""
        exports = (str(item["name"]) for item in self._program.info["exports"])
        name = next((name for name in exports if name.startswith(interface)), interface).encode()
        find = self.functions.get_export_index
        instance = find(self.handle, None, name, len(name))
        found: int | None = find(self.handle, instance, function.encode(), len(function)) if instance else None
        return found or 0


def _policy(config: GuestConfig) -> SocketPolicy | None:
    """What its sockets may do, without what is not granted."""
    if config.sockets is None:
        return None
    listen = frozenset() if matches(config.refused, "sock_bind") else config.sockets.listen
    return SocketPolicy(listen, config.sockets.outbound and not matches(config.refused, "sock_connect"))


class ComponentGuest(Process):
    """A component with its store."""

    def __init__(
        self,
        program: Program,
        config: GuestConfig,
        on_exit: Callable[[int], NoReturn],
        *,
        stdio_fds: tuple[int, int, int] = (0, 1, 2),
    ) -> None:
        super().__init__(program, config, on_exit, open_descriptors(config, stdio_fds))
        assert program.component is not None
        self._component = program.component
        self._component.state.cwd = config.cwd
        self._component.state.refused = tuple(name for name in config.refused if name not in _POLICYS)
        self._host.sockets = _policy(config)
        self._function = ctypes.create_string_buffer(FUNC_SIZE)

    def instantiate(self) -> None:
        """Instantiate: cores' start functions run. What goes wrong is kept, and `run` reports it. InvalidArgument: it
        is no program."""
        if not self._component.run:
            raise InvalidArgument("the component answers HTTP and is no program: it exports no wasi:cli/run")
        self._instantiate(self._component.run)

    def _instantiate(self, place: int) -> None:
        component, functions = self._component, self._component.functions
        self._program.meter.words[BASE] = SOMEWHERE
        instance = ctypes.create_string_buffer(16)
        error = functions.linker_instantiate(component.linker, self._context, component.handle, instance)
        self._failure = self._library.take_error(error) if error else ""
        if not error and not functions.instance_get_func(instance, self._context, place, self._function):
            self._failure = "the component's export is no function"

    def run(self) -> int:
        """Call wasi:cli/run: 0 when it answers ok, 1 for its error. A trap: its message and wasm backtrace go to fd 2,
        and 134 is returned; 152 where it was for want of fuel."""
        code = 0
        if not self._failure:
            code = self._call()
        self._count()
        return self._told(self._failure) if self._failure else code

    def _count(self) -> None:
        super()._count()
        self._measure()

    def _measure(self) -> None:
        self._program.meter.words[MEMORY] = memories(_lines(self._component.maps))

    def _call(self) -> int:
        answer = ctypes.create_string_buffer(SIZE)
        error = self._component.functions.func_call(self._function, self._context, None, 0, answer, 1)
        self._failure = self._library.take_error(error) if error else ""
        return 0 if self._failure or answer.raw[8] else 1


def _lines(maps: int) -> list[str]:
    """The map of this process; nothing if it was cloned after the file was opened, by exec: that was another's then."""
    parts, at = [], 0
    try:
        while part := os.pread(maps, 1 << 16, at):
            parts.append(part)
            at += len(part)
    except ProcessLookupError:
        return []
    return b"".join(parts).decode("ascii", "replace").splitlines()
