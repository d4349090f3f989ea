"""The host's functions for one component: found by the plan that the compiler made, and linked.

Everything that is imported or made executable is so before the sandbox is shut: see program.py.
"""

from __future__ import annotations

import ctypes

from wherry.errors import Internal
from wherry.wasm.binding import Library
from wherry.wasm.component import cli, io
from wherry.wasm.component.binding import Callback, Destructor, Functions
from wherry.wasm.component.counted import word
from wherry.wasm.component.state import State, StreamError, number_of
from wherry.wasm.component.values import SIZE, Codec, Failed, Resources
from wherry.wasm.grants import matches
from wherry.wasm.wasi.errno import Trap, WasiError

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wherry.wasm.component.state import Table

    Plan = Mapping[str, tuple[str, Mapping[str, str], Mapping[str, tuple[Any, Any]]]]


class Linked:
    """A linker with what one component imports, and what must be kept alive with it."""

    def __init__(
        self,
        library: Library,
        functions: Functions,
        engine: int,
        space: memoryview,
        state: State,
        counts: memoryview,
        look: Callable[[], object] | None = None,
    ) -> None:
        """``counts`` are a meter's words; ``look`` is called before each function."""
        self._library = library
        self._functions = functions
        self._space = space
        self._state = state
        self._counts = counts
        self._look = look
        self.resources = Resources()
        self.codec = Codec(library, functions, space, self.resources)
        self._destructor = Destructor(self._drop)
        self._kept: list[Any] = []
        self.linker: int = functions.linker_new(engine)

    def define(self, plan: Plan) -> None:
        """Add all of it. Internal: libwasmtime does not take it."""
        root = self._functions.linker_root(self.linker)
        for imported, (interface, resources, functions) in plan.items():
            into = ctypes.c_void_p()
            name = imported.encode()
            self._check(
                self._functions.linker_instance_add_instance(root, name, len(name), ctypes.byref(into)), imported
            )
            for resource, identity in resources.items():
                self._define_resource(into, resource, identity)
            table = _table(interface)
            for function, (params, result) in functions.items():
                self._define_function(into, f"{interface}.{function}", table[function], params, result)
            self._functions.linker_instance_delete(into)
        self._functions.linker_instance_delete(root)

    def _check(self, error: int | None, name: str) -> None:
        if error:
            raise Internal(f"{name} can't be defined: {self._library.take_error(error)}")

    def _define_resource(self, into: ctypes.c_void_p, resource: str, identity: str) -> None:
        kind = self._functions.resource_type_new_host(self.resources.type_number(identity))
        name = resource.encode()
        add = self._functions.linker_instance_add_resource
        self._check(add(into, name, len(name), kind, self._destructor, None, None), resource)

    def _define_function(
        self, into: ctypes.c_void_p, full: str, function: Callable[..., Any], params: Any, result: Any
    ) -> None:
        entry = self._callback(full, function, params, result)
        self._kept.append(entry)
        name = full.partition(".")[2].encode()
        self._check(self._functions.linker_instance_add_func(into, name, len(name), entry, None, None), full)

    def _callback(self, full: str, function: Callable[..., Any], params: Any, result: Any) -> Any:
        codec, state = self.codec, self._state
        lifts = [(codec.lift(kind), SIZE * number) for number, kind in enumerate(params)]
        interface = full.partition(".")[0]
        answer = self._answer(interface, result)
        counts, at, look = self._counts, word(interface), self._look

        def run(
            _env: int, context: int, _type: int, values: int, _count: int, results: int, _results: int
        ) -> int | None:
            try:
                counts[at] += 1
                if look is not None:
                    look()
                codec.context = context
                if state.refused and matches(state.refused, full):
                    raise Trap("it is not granted to this container (--cap-drop)")
                arguments = [lift(values + offset) for lift, offset in lifts]
                answer(lambda: function(state, *arguments), results)
            except Trap as trap:
                return self._error(f"{full}: {trap}")
            except BaseException as error:  # noqa: BLE001 - anything that escapes would be taken for an error's address
                return self._error(f"{full}: fault of the host: {type(error).__name__}: {error}")
            return None

        return Callback(run)

    def _answer(self, interface: str, result: Any) -> Callable[[Callable[[], Any], int], None]:
        """What calls a function and lowers what it answers."""
        if result is None:
            return lambda call, _at: call()
        if result[0] != "result":
            lower = self.codec.lower(result)
            return lambda call, at: lower(call(), at)
        lower_ok, lower_error = self.codec.lower_result(result)
        codes = _error_codes(interface)

        def answer(call: Callable[[], Any], at: int) -> None:
            try:
                value = call()
            except Failed as failed:
                lower_error(failed.value, at)
            except (OSError, WasiError) as error:
                lower_error(codes(number_of(error)), at)
            else:
                lower_ok(value, at)

        return answer

    def _error(self, message: str) -> int:
        error: int = self._functions.error_new(message.replace("\0", " ").encode("utf-8", "replace"))
        return error

    def _drop(self, _env: int, _context: int, number: int) -> int | None:
        try:
            dropped = getattr(self.resources.drop(number), "dropped", None)
            if dropped is not None:
                dropped()
        except Trap as trap:
            return self._error(str(trap))
        except BaseException as error:  # noqa: BLE001 - as above
            return self._error(f"fault of the host: {type(error).__name__}: {error}")
        return None


def _table(interface: str) -> Table:
    """The functions of an interface. Those of files and of sockets are loaded for who imports them."""
    for tables in (io.INTERFACES, cli.INTERFACES):
        if interface in tables:
            return tables[interface]
    if interface.startswith("wasi:filesystem/"):
        from wherry.wasm.component import filesystem

        return filesystem.INTERFACES[interface]
    if interface.startswith("wasi:sockets/"):
        from wherry.wasm.component import sockets

        return sockets.INTERFACES[interface]
    if interface == "wasi:http/types":
        from wherry.wasm.component.http import types

        return types.TYPES
    if interface == "wasi:http/outgoing-handler":
        from wherry.wasm.component.http import client

        return client.interface()
    return {}


def _error_codes(interface: str) -> Callable[[int], Any]:
    """From preview 1's errno to the error of an interface's functions."""
    if interface.startswith("wasi:filesystem/"):
        from wherry.wasm.component.codes import file_code

        return file_code
    if interface.startswith("wasi:sockets/"):
        from wherry.wasm.component.codes import socket_code

        return socket_code
    return lambda errno: ("last-operation-failed", StreamError(errno, "I/O error"))
