"""The canonical functions that a component's cores import: the host's, by the plan that the compiler made; those of its
own resources; and those that lead from one component within it to another.

Everything that is imported or made executable is so before the sandbox is shut: see program.py.
"""

from __future__ import annotations

from struct import Struct

from wherry.wasm.binding import Callback
from wherry.wasm.callbacks import new_trap
from wherry.wasm.component import cli, io
from wherry.wasm.component.calls import Call
from wherry.wasm.component.counted import word
from wherry.wasm.component.flat import layout
from wherry.wasm.component.lifting import Lifting
from wherry.wasm.component.lowering import Lowering
from wherry.wasm.component.realm import cause, slots
from wherry.wasm.component.state import State, StreamError, number_of
from wherry.wasm.component.values import Failed
from wherry.wasm.grants import matches
from wherry.wasm.wasi.errno import Trap, WasiError

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry.wasm.binding import Library
    from wherry.wasm.component.realm import Instance, Realm
    from wherry.wasm.component.state import Table

    Run = Callable[[Sequence[Any], int], None]
    """A canonical function: of its raw values, and the address where its result goes."""

_RESULTS = {"i": Struct("<I"), "I": Struct("<Q"), "f": Struct("<f"), "F": Struct("<d")}
_HANDLE = _RESULTS["i"]


class Canonical:
    """Makes canonical functions; ``counts`` are a meter's words; ``look`` is called before each function of the host's.
    ``realms`` are the plan's options, ``resources`` its own types' instances and destructors, ``calls`` its lifts."""

    def __init__(
        self,
        library: Library,
        space: memoryview,
        state: State,
        counts: memoryview,
        look: Callable[[], object] | None,
        instances: Sequence[Instance],
        realms: Sequence[Realm],
        calls: Sequence[Call],
        destroy: Callable[[int, int], None],
    ) -> None:
        """``destroy`` ends a resource of the guest's own: its type's number, and its representation."""
        self._library = library
        self._space = space
        self._state = state
        self._counts = counts
        self._look = look
        self._instances = instances
        self._realms = realms
        self._lifting = [Lifting(realm) for realm in realms]
        self._lowering = [Lowering(realm) for realm in realms]
        self._calls = calls
        self._destroy = destroy

    def entry(self, function: tuple[Any, ...]) -> Any:
        """A C function for one of the plan's. Keep it as long as it may be called."""
        kind, params, _, instance, *rest = function
        run = getattr(self, f"_{kind}")(instance, *rest, function)
        told = f"{rest[1]}.{rest[2]}" if kind == "host" else _TOLD[kind]
        return self._guarded(told, slots(params).unpack_from, self._instances[instance], run)

    def _guarded(self, told: str, read: Callable[..., Sequence[Any]], instance: Instance, run: Run) -> Any:
        space, library = self._space, self._library

        def guarded(_env: int, _caller: int, values: int, _count: int) -> int | None:
            try:
                if not instance.may_leave:
                    raise Trap("it is called while the component may not be left")
                run(read(space, values), values)
            except Trap as trap:
                return new_trap(library, f"{told}: {trap}")
            except BaseException as error:  # noqa: BLE001 - anything that escapes would be taken for a trap's address
                return new_trap(library, f"{told}: fault of the host: {type(error).__name__}: {error}")
            return None

        return Callback(guarded)

    def _host(
        self, _instance: int, option: int, interface: str, name: str, types: Any, function: tuple[Any, ...]
    ) -> Run:
        params, result = types
        state, full = self._state, f"{interface}.{name}"
        call = _table(interface)[name]
        lift, answer = self._lifting[option].lift_all(params), self._answer(option, interface, result, function[2])
        counts, at, look = self._counts, word(interface), self._look

        def run(raw: Sequence[Any], into: int) -> None:
            counts[at] += 1
            if look is not None:
                look()
            if state.refused and matches(state.refused, full):
                raise Trap("it is not granted to this container (--cap-drop)")
            answer(call, lift(raw), raw, into)

        return run

    def _answer(self, option: int, interface: str, result: Any, letters: str) -> Callable[..., None]:
        """What calls a function of the host's with its arguments and lowers what it answers."""
        state = self._state
        if result is None:

            def nothing(call: Callable[..., Any], arguments: list[Any], _raw: Sequence[Any], _into: int) -> None:
                call(state, *arguments)

            return nothing
        put = self._put(option, result, letters)
        if result[0] != "result":

            def plain(call: Callable[..., Any], arguments: list[Any], raw: Sequence[Any], into: int) -> None:
                put(call(state, *arguments), raw, into)

            return plain
        codes, is_bare = _error_codes(interface), result[1:] == (None, None)

        def either(call: Callable[..., Any], arguments: list[Any], raw: Sequence[Any], into: int) -> None:
            try:
                value: Any = (True, call(state, *arguments))
            except Failed as failed:
                value = (False, failed.value)
            except (OSError, WasiError) as error:
                value = (False, codes(number_of(error)))
            put(value[0] if is_bare else value, raw, into)

        return either

    def _put(self, option: int, result: Any, letters: str) -> Callable[..., None]:
        """What lowers a result: to where a raw value goes, or to memory, where the last of the raw values says."""
        realm = self._realms[option]
        if letters:
            lower, write, space = self._lowering[option].lower(result), _RESULTS[letters].pack_into, self._space
            return lambda value, _raw, into: write(space, into, *lower(value))
        store, (size, alignment) = self._lowering[option].store(result), layout(result)

        def put(value: Any, raw: Sequence[Any], _into: int) -> None:
            realm.check(raw[-1], size, alignment)
            store(value, raw[-1])

        return put

    def _lift(self, _instance: int, option: int, lifted: int, function: tuple[Any, ...]) -> Run:
        """A function of another component's."""
        realm, call = self._realms[option], self._calls[lifted]
        lift = Lifting(realm, lending=True).lift_all(call.params)
        put = None
        if call.result is not None:
            put = self._put(option, call.result, function[2])

        def run(raw: Sequence[Any], into: int) -> None:
            lent, realm.lent = realm.lent, []
            try:
                value = call(lift(raw))
            except Trap as trap:
                raise Trap(cause(str(trap))) from None
            finally:
                for handle in realm.lent:
                    handle.lends -= 1
                realm.lent = lent
            if put is not None:
                put(value, raw, into)

        return run

    def _new(self, instance: int, identity: int, _function: tuple[Any, ...]) -> Run:
        handles, space = self._instances[instance].handles, self._space

        def run(raw: Sequence[Any], into: int) -> None:
            _HANDLE.pack_into(space, into, handles.add(identity, raw[0]))

        return run

    def _rep(self, instance: int, identity: int, _function: tuple[Any, ...]) -> Run:
        handles, space = self._instances[instance].handles, self._space

        def run(raw: Sequence[Any], into: int) -> None:
            _HANDLE.pack_into(space, into, handles.get(raw[0], identity).thing)

        return run

    def _drop(self, instance: int, identity: str | int, _function: tuple[Any, ...]) -> Run:
        handles, destroy = self._instances[instance].handles, self._destroy

        def run(raw: Sequence[Any], _into: int) -> None:
            handle = handles.remove(raw[0], identity)
            if not handle.own:
                return
            if isinstance(identity, int):
                destroy(identity, handle.thing)
                return
            dropped = getattr(handle.thing, "dropped", None)
            if dropped is not None:
                dropped()

        return run


_TOLD = {"new": "resource.new", "rep": "resource.rep", "drop": "resource.drop", "lift": "a call between components"}


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
