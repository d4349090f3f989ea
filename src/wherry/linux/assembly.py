"""Making lists of system calls that steps.py carries out: first as values, `Call`, then as bytes.

A list says in one place, in order, and for tests to see, what a process will do; and in words what each call is for:
the process that makes it tells a number and an errno, and `told` makes a sentence of that.
"""

from __future__ import annotations

import os
from struct import Struct

from wherry.errors import FailedPrecondition
from wherry.linux.steps import DESCRIPTORS, MESSAGE, STEP, VALUE, Area, Refused
from wherry.linux.syscalls import NUMBERS
from wherry.record import Record

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AT_FDCWD = -100

_POINTER = Struct("=Q")
_ALIGNED = 8


class Given(Record):
    """What the call of that name gave, or a descriptor that came with the message."""

    name: str


class Block(Record):
    """A structure in memory. ``pointers`` are offsets in it and what lies at the addresses to be put there; ``given``
    offsets and names of results, of 4 bytes."""

    data: bytes
    pointers: tuple[tuple[int, bytes], ...] = ()
    given: tuple[tuple[int, str], ...] = ()


class Call(Record):
    """One system call, by its name. ``args``: numbers; texts, without the NUL that ends them, and structures, by their
    address; results of earlier calls. ``doing`` and ``what`` are for the message when it fails; ``fine`` is the errno
    that is as good as success; ``gives`` a name for its result.
    """

    doing: str
    name: str
    args: tuple[int | bytes | Block | Given | None, ...]
    what: str = ""
    fine: int = 0
    gives: str = ""


class Assembled(Record):
    """Bytes to be received into an area behind a head of the size that was said: where in the area each list lies,
    where the data, and where what is given."""

    body: bytes
    spans: tuple[tuple[int, int], ...]
    data: tuple[int, ...]
    homes: Mapping[str, int]


def assemble(
    address: int,
    head: int,
    lists: Sequence[Sequence[Call]],
    *,
    received: Sequence[str] = (),
    data: Sequence[bytes | Block] = (),
    first: int = 0,
) -> Assembled:
    """Lists for the area at ``address``. ``received`` are names of the message's descriptors, in their order; the calls
    are numbered from ``first``. ValueError: a list that can't be carried out."""
    work = _Assembly(address, MESSAGE + head, [call for one in lists for call in one], received)
    offsets = tuple(work.pool.place(item) for item in data)
    steps = work.encode(first)
    spans, at = [], MESSAGE + head
    for one in lists:
        spans.append((at, at + STEP.size * len(one)))
        at = spans[-1][1]
    return Assembled(steps + bytes(work.pool.data), tuple(spans), offsets, work.homes)


class _Pool:
    """What addresses point to."""

    def __init__(self, address: int, start: int) -> None:
        self.data = bytearray()
        self.wanted: dict[str, list[int]] = {}
        self._address = address
        self._start = start
        self._placed: dict[bytes | Block, int] = {}

    def place(self, item: bytes | Block) -> int:
        """The offset in the area where it lies. What is the same lies there once."""
        if item not in self._placed:
            self._placed[item] = self._lay(item)
        return self._placed[item]

    def _lay(self, item: bytes | Block) -> int:
        if isinstance(item, bytes):
            return self._append(item + b"\0")
        filled = bytearray(item.data)
        for offset, target in item.pointers:
            _POINTER.pack_into(filled, offset, self._address + self.place(target))
        at = self._append(bytes(filled))
        for offset, name in item.given:
            self.wanted.setdefault(name, []).append(at + offset)
        return at

    def reserve(self) -> int:
        """Room for a value."""
        return self._append(bytes(VALUE.size))

    def _append(self, data: bytes) -> int:
        at = self._start + len(self.data)
        self.data += data + bytes(-len(data) % _ALIGNED)
        return at


class _Assembly:
    def __init__(self, address: int, start: int, calls: Sequence[Call], received: Sequence[str]) -> None:
        self.pool = _Pool(address, start + STEP.size * len(calls))
        self.homes = {name: DESCRIPTORS + VALUE.size * index for index, name in enumerate(received)}
        self._address = address
        self._start = start
        self._calls = calls
        self._known = set(received)

    def encode(self, first: int) -> bytes:
        """All calls; whoever uses a result finds it where it is put, so there is one place for each."""
        for index, call in enumerate(self._calls):
            self._want(call, self._start + STEP.size * index)
        for name in [call.gives for call in self._calls if call.gives]:
            places = self.pool.wanted.pop(name, [])
            if len(places) > 1 or name in self.homes:
                raise ValueError(f"{name} is needed or given in two places: copy it by a call")
            self.homes[name] = places[0] if places else self.pool.reserve()
        if self.pool.wanted:
            raise ValueError(f"{', '.join(self.pool.wanted)} lies where it came with the message: copy it by a call")
        return b"".join(self._encoded(call, first + index) for index, call in enumerate(self._calls))

    def _want(self, call: Call, at: int) -> None:
        for place, argument in enumerate(call.args):
            if isinstance(argument, (bytes, Block)):
                self.pool.place(argument)
            elif isinstance(argument, Given) and place:
                self.pool.wanted.setdefault(argument.name, []).append(at + 8 * (1 + place))
        names = {argument.name for argument in call.args if isinstance(argument, Given)}
        names |= {name for argument in call.args if isinstance(argument, Block) for _, name in argument.given}
        if not names <= self._known:
            raise ValueError(f"{call.name} needs what is not given before it: {', '.join(names - self._known)}")
        self._known.add(call.gives)

    def _encoded(self, call: Call, number: int) -> bytes:
        source = self.homes[call.args[0].name] if call.args and isinstance(call.args[0], Given) else 0
        numbers = [self._number(argument) for argument in call.args]
        target = self.homes[call.gives] if call.gives else 0
        numbers += [0] * (6 - len(numbers))
        return STEP.pack(NUMBERS[call.name], *numbers, call.fine, source, target, number)

    def _number(self, argument: int | bytes | Block | Given | None) -> int:
        if argument is None or isinstance(argument, Given):
            return 0
        return argument if isinstance(argument, int) else self._address + self.pool.place(argument)


def told(call: Call, error: int) -> FailedPrecondition:
    """That ``call`` failed, in words."""
    where = f" {call.what}:" if call.what else ""
    return FailedPrecondition(f"cannot {call.doing}:{where} {os.strerror(error)}")


def perform(calls: Sequence[Call]) -> None:
    """Make the calls here and now, in this process. OSError names what failed."""
    area = Area()
    try:
        made = assemble(area.address, 0, [calls])
        area[MESSAGE : MESSAGE + len(made.body)] = made.body
        area.carry_out(*made.spans[0])
    except Refused as refused:
        call = calls[refused.number]
        raise OSError(refused.errno, os.strerror(refused.errno or 0), call.what or call.doing) from None
    finally:
        area.close()
