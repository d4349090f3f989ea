"""Functions that components offer, called from outside: by the host, or by another component.

https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md#canon-lift
"""

from __future__ import annotations

import ctypes

from wherry.wasm.component.flat import signature
from wherry.wasm.component.lifting import Lifting
from wherry.wasm.component.lowering import Lowering
from wherry.wasm.component.realm import slots
from wherry.wasm.wasi.errno import Trap

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wherry.wasm.component.realm import Caller, Realm


class Call:
    """One such function. ``function`` and ``after`` are the addresses of the cores' functions, 0 before they are known;
    ``after`` is called when the result is no longer needed. ``defined_here`` says of a resource type whether it is the
    component's own."""

    def __init__(
        self,
        caller: Caller,
        realm: Realm,
        params: Sequence[Any],
        result: Any,
        own_types: frozenset[int],
    ) -> None:
        self.params = params
        self.result = result
        self.function = 0
        self.after = 0
        self._caller = caller
        self._realm = realm
        self._own_types = own_types
        self._borrowed: list[int] = []
        taken, given = signature(tuple(params), result, lowered=False)
        self._lower = Lowering(realm, self._borrow).lower_all(params)
        self._lift = None if result is None else Lifting(realm).lift_result(result)
        self._taken, self._given = slots(taken), slots(given)
        self._count = max(len(taken), len(given), 1)
        self._has_result = bool(given)

    def _borrow(self, kind: str | int, thing: Any) -> int:
        """What a borrowed resource is lowered to: for the component whose type it is, its own representation."""
        if kind in self._own_types:
            number: int = thing
            return number
        handle = self._realm.handles.add(kind, thing, own=False)
        self._borrowed.append(handle)
        return handle

    def __call__(self, arguments: Sequence[Any]) -> Any:
        """Trap: it trapped, with libwasmtime's whole account, or broke a rule."""
        instance = self._realm.instance
        if not instance.may_enter:
            raise Trap("a component is called while it calls")
        instance.may_enter = False
        self._borrowed = []
        values = ctypes.create_string_buffer(16 * self._count)
        at = ctypes.addressof(values)
        self._taken.pack_into(values, 0, *self._lower(arguments))
        self._run(self.function, at)
        value = None if self._lift is None else self._lift(self._given.unpack_from(values))
        if any(handle in self._realm.handles.held for handle in self._borrowed):
            raise Trap("what the function borrowed is not dropped at its end")
        if self.after:
            instance.may_leave = False
            self._run(self.after, at)
            instance.may_leave = True
        instance.may_enter = True
        return value

    def _run(self, function: int, at: int) -> None:
        failure = self._caller.call(function, at, self._count)
        if failure:
            raise Trap(failure)
