"""A component in the child that runs it: loaded and linked before the sandbox is shut, instantiated and run after."""

from __future__ import annotations

import ctypes

from wherry.errors import InvalidArgument
from wherry.wasm.binding import Extern
from wherry.wasm.component import cores
from wherry.wasm.component.binding import Functions
from wherry.wasm.component.calls import Call
from wherry.wasm.component.cores import Cores
from wherry.wasm.component.counted import SOMEWHERE
from wherry.wasm.component.host import Canonical
from wherry.wasm.component.realm import Caller, Instance, Realm, cause
from wherry.wasm.component.state import State
from wherry.wasm.grants import matches
from wherry.wasm.guest import GuestConfig, Process, open_descriptors
from wherry.wasm.loaded import Program
from wherry.wasm.meter import BASE, MEMORY
from wherry.wasm.wasi.errno import Trap
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

HANDLER = "wasi:http/incoming-handler@"
"""What a component exports that answers HTTP."""
_POLICYS = ("wasi:sockets/*", "wasi:http/outgoing-handler*")
"""Of what is refused: here it is the policy's to refuse what leads out, and to let in what may come in."""


class Destructor:
    """Of a resource type of the component's own: the number of the instance that it belongs to, and the address of its
    function, 0 for none."""

    __slots__ = ("function", "owner")

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.function = 0


class Component:
    """A loaded component with its imports linked: the ``component`` of its `Program`."""

    def __init__(self, program: Program, compiled_path: str) -> None:
        """DataLoss: this engine can't use the files, compile it again; NotFound, PermissionDenied: as `open_trusted`.

        ``run`` and ``handler`` are its exports, None for one that it has not."""
        self._program = program
        plan = program.info["plan"]
        library = program.library
        functions = Functions(library)
        self.state = State(program.host)
        self.caller = Caller(library, functions, program.space)
        self._instances = [Instance() for _ in range(plan["instances"])]
        self._realms = [
            Realm(self.caller, self._instances[number], encoding, self._note)
            for number, _, _, encoding in plan["options"]
        ]
        self._resources = [Destructor(owner) for owner, _ in plan["resources"]]
        self._calls = [self._call(*lift) for lift in plan["lifts"]]
        self.run = self._entry(plan["run"])
        self.handler = self._entry(plan["handler"])
        tank = program.tank
        canonical = Canonical(
            library,
            program.space,
            self.state,
            program.meter.words,
            tank.look if tank is not None else None,
            self._instances,
            self._realms,
            self._calls,
            self._destroy,
        )
        entries = [canonical.entry(function) for function in plan["canons"]]
        modules = cores.load(library, program.engine, compiled_path, plan["modules"])
        self._cores = Cores(library, functions, program.engine, plan, modules, entries, self._made)
        self._memories = plan["memories"]
        self._awaited = self._awaits(plan)
        self._kept: list[Extern] = []

    def _entry(self, number: int | None) -> Call | None:
        return None if number is None else self._calls[number]

    def _call(self, _function: Any, instance: int, option: int, _after: Any, params: Any, result: Any) -> Call:
        own = frozenset(number for number, resource in enumerate(self._resources) if resource.owner == instance)
        return Call(self.caller, self._realms[option], params, result, own)

    def instantiate(self, context: int) -> str:
        """Make its instances in the store ``context``. "", or how that failed."""
        self.forget()
        self.caller.context = context
        return self._cores.instantiate(context)

    def forget(self) -> None:
        """The guest is gone, with all that it held."""
        for instance in self._instances:
            instance.reset()
        for realm in self._realms:
            realm.forget()
        self._kept.clear()

    def _awaits(self, plan: Mapping[str, Any]) -> list[list[tuple[object, str, Any]]]:
        """For each step what is known once its instance is there: an object, its attribute, and the ref."""
        found: list[list[tuple[object, str, Any]]] = [[] for _ in plan["steps"]]
        wanted: list[tuple[object, str, Any]] = []
        for realm, (_, memory, realloc, _) in zip(self._realms, plan["options"], strict=True):
            wanted += [(realm, "memory_item", memory), (realm, "realloc_item", realloc)]
        for call, (function, _, _, after, _, _) in zip(self._calls, plan["lifts"], strict=True):
            wanted += [(call, "function", function), (call, "after", after)]
        for resource, (_, function) in zip(self._resources, plan["resources"], strict=True):
            wanted.append((resource, "function", function))
        for item in wanted:
            ref = item[2]
            if ref is not None:
                found[ref[1] if ref[0] == "step" else -1].append(item)
        return found

    def _made(self, step: int) -> None:
        """An instance is there: whatever is waited for of it is known now."""
        for thing, attribute, ref in self._awaited[step]:
            setattr(thing, attribute, self._item(ref))

    def _item(self, ref: Any) -> int:
        """The address of a core's function or memory."""
        found = self._cores.export(ref)
        self._kept.append(found)
        return found.item()

    def _destroy(self, kind: int, representation: int) -> None:
        """A resource of the component's own is dropped. Trap: its destructor trapped."""
        function = self._resources[kind].function
        if function:
            values = ctypes.create_string_buffer(representation.to_bytes(16, "little"), 16)
            failure = self.caller.call(function, ctypes.addressof(values), 1)
            if failure:
                raise Trap(f"the destructor failed: {cause(failure)}")

    def _note(self, size: int) -> None:
        words = self._program.meter.words
        words[MEMORY] = max(words[MEMORY], size)

    def memory(self) -> int:
        """Bytes of all its linear memories."""
        library, context = self._program.library, self.caller.context
        sizes = {}
        for ref in self._memories:
            found = self._cores.export(("step", *ref))  # which the address lies in
            item = found.item()
            sizes[library.memory_data(context, item) or 0] = library.memory_data_size(context, item)
        return sum(sizes.values())


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

    def instantiate(self) -> None:
        """Instantiate: cores' start functions run. What goes wrong is kept, and `run` reports it. InvalidArgument: it
        is no program."""
        if self._component.run is None:
            raise InvalidArgument("the component answers HTTP and is no program: it exports no wasi:cli/run")
        self._instantiate()

    def _instantiate(self) -> None:
        self._program.meter.words[BASE] = SOMEWHERE
        self._failure = self._component.instantiate(self._context)

    def run(self) -> int:
        """Call wasi:cli/run: 0 when it answers ok, 1 for its error. A trap: its message and wasm backtrace go to fd 2,
        and 134 is returned; 152 where it was for want of fuel."""
        code = 0
        if not self._failure:
            assert self._component.run is not None
            code = 0 if self._called(self._component.run) else 1
        self._count()
        return self._told(self._failure) if self._failure else code

    def _called(self, function: Call, *arguments: Any) -> Any:
        """What it answers. A trap is kept."""
        try:
            return function(arguments)
        except Trap as trap:
            self._failure = str(trap)
        return None

    def _count(self) -> None:
        super()._count()
        self._measure()

    def _measure(self) -> None:
        self._program.meter.words[MEMORY] = self._component.memory()
