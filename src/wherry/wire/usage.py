"""What a WASM task used, as wherry's shim tells it beside containerd's own figures. No I/O.

It is a field with a high number in messages of containerd's (WaitResponse, Metrics): who does not know
it skips it, as protobuf asks.
"""

from __future__ import annotations

from wherry.wire.protobuf import Message, messages, string, uint64

FIELD = 1000
"""The field's number, wherever it is."""


class Calls(Message):
    """How often one function of the host was called."""

    function: str = string(1)
    count: int = uint64(2)


class Usage(Message):
    """``linear_memory`` is the most there was, in bytes; ``fuel`` in units, ``fuel_limit`` 0 if it was not metered.
    ``calls`` has the functions that were called at all."""

    linear_memory: int = uint64(1)
    fuel: int = uint64(2)
    fuel_limit: int = uint64(3)
    calls: tuple[Calls, ...] = messages(4, Calls)
