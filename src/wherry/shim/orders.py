"""The messages by which the server orders children: to the zygote, and to the child itself. Who reads them is zygote.py
and child.py; what they have a child do is passage.py's.
"""

from __future__ import annotations

import errno
import marshal
import os

from wherry.errors import Internal, InvalidArgument, WherryError
from wherry.linux import assembly, clone
from wherry.linux.assembly import AT_FDCWD, Assembled, Block, Call, Given, assemble
from wherry.linux.steps import MESSAGE, MESSAGE_LIMIT
from wherry.record import Record
from wherry.shim import birth, passage
from wherry.shim.birth import (
    BESIDE,
    BIRTH,
    CONCEIVE,
    FUEL,
    REHEARSE,
    REQUEST,
    REST,
    WARM,
    Command,
    Instructions,
    Requested,
    Sandbox,
)
from wherry.shim.passage import Facts, Owner
from wherry.shim.report import FORKED
from wherry.shim.zygote import LINE
from wherry.wasm.cache import find_edition

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.wasm.program import Traits

FIRST = 1000
"""The number of the first call of a birth: those of an arrival have lower ones."""


class Conception(Record):
    """A request for a child. ``flags`` are CLONE_NEW*; ``module`` a compiled module to have loaded by then, or ""; with
    ``fuel`` that is left to the child.

    With it come the child's ends of its two pipes and of the line its birth comes by; then, as it says, the pidfd of
    the process to be cloned ``beside`` and the cgroup to be cloned ``into``.
    """

    flags: int
    module: str
    rehearse: bool
    beside: bool
    into: bool
    fuel: bool = False


class Order(Record):
    """A message, and the calls in it by the numbers they are told by."""

    message: bytes
    calls: tuple[Call, ...]


def warm(module: str, address: int) -> bytes:
    """The message that has the compiled warm-up guest run: now, also as the guest of a child that the zygote plays,
    and in every child that rehearses. ``address`` is the zygote's area's."""
    path, doing, root = os.fsencode(module), "rehearse", Given(passage.folder_name(0))
    enter = Call(doing, "openat", (AT_FDCWD, b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0), gives=root.name)
    heads = REQUEST.size + BIRTH.size
    made = assemble(address, heads, ((enter,), (Call(doing, "close", (root,)),)), data=(path,))
    told = Instructions(
        module=module,
        edition=find_edition(module),
        spawns=False,
        serves=False,
        listen=(),
        args=(b"warmup",),
        env=(b"PATH=/",),
        folders=((b"/", made.homes[root.name], False),),
        entry="rehearse",
        memory=0,
        cwd="/",
        sockets=None,
        fuel=0,
        refused=(),
        place=b"",
    )
    start, birth = made.data[0], MESSAGE + REQUEST.size
    requested = REQUEST.pack(WARM, start, start + len(path), *[0] * 9, birth, 0)  # see `Requested`
    return requested + _birth(made, told, heads)


def _birth(made: Assembled, told: Instructions, heads: int) -> bytes:
    """What a child is told, from its head on: the last of ``heads`` bytes that lie before the body."""
    words, at = marshal.dumps(tuple(told)), MESSAGE + heads + len(made.body)
    return BIRTH.pack(*made.spans[0], *made.spans[1], at, at + len(words)) + made.body + words


def rest() -> bytes:
    """The message that has the zygote give back what it does not need while it waits."""
    return REQUEST.pack(*Requested(REST, *[0] * 13))


def conceive(request: Conception, address: int, owner: Owner) -> Order:
    """The message that asks for a child. ``address`` is the zygote's area's."""
    more = [name for name, is_there in (("leader", request.beside), ("into", request.into)) if is_there]
    names = ["report", "start", "line", *more]
    foreign: list[int | Given] = [LINE, *map(Given, more)]
    arrive = passage.preparation(foreign) if request.beside else passage.arrival(foreign, owner)
    pid = FORKED + bytes(4)
    report = Call("tell", "write", (Given("report"), Block(pid), len(pid)), fine=errno.EPIPE)
    tell = [] if request.beside else [report]  # there it is the go-between that tells
    release = [Call("let go", "close", (Given(name),)) for name in names]
    flags = clone.CLONE_PARENT | (0 if request.beside else request.flags)
    flags |= clone.CLONE_INTO_CGROUP if request.into else 0
    module = os.fsencode(request.module)
    data = (module, Block(clone.CLONE_ARGS.pack(flags, 0, 0)), Block(pid))
    made = assemble(address, REQUEST.size, (tell, release, arrive), received=names, data=data)
    path, cloning, told = made.data
    requested = Requested(
        CONCEIVE,
        path if module else 0,
        path + len(module),
        cloning,
        made.homes["into"] if request.into else 0,
        told + len(FORKED),
        *made.spans[0],
        *made.spans[1],
        REHEARSE * request.rehearse | BESIDE * request.beside | FUEL * request.fuel,
        request.flags if request.beside else 0,
        *made.spans[2],
    )
    return Order(REQUEST.pack(*requested) + made.body, (*tell, *release, *arrive))


def bear(
    sandbox: Sandbox,
    command: Command,
    module: str,
    traits: Traits,
    facts: Facts,
    filters: Sequence[bytes],
    *,
    beside: bool,
    edition: str = "",
) -> Order:
    """The message that tells a child what it is to be. ``module`` is the path of a compiled one, ``filters`` are
    policy.py's, ``edition`` is what the zygote has the module by. InvalidArgument: it is too long."""
    serves = not beside and (bool(sandbox.http) or traits.answers_http)
    filter_ = None if serves else filters[facts.does_sockets(sandbox) + 2 * traits.spawns]
    entry = (passage.entry_beside if beside else passage.entry)(sandbox, command, facts)
    shutting = passage.shutting(sandbox, command, facts, filter_)
    names = passage.received(sandbox, facts, beside=beside)
    made = assemble(facts.address, BIRTH.size, (entry, shutting), received=names, first=FIRST)
    folders = tuple(
        (os.fsencode(path), made.homes[passage.folder_name(index)], writable)
        for index, (path, writable) in enumerate(passage.folders(sandbox, facts))
    )
    first = not beside and not serves
    told = _instructions(sandbox, command, (module, edition), traits, folders, serves=serves, first=first)
    message = _birth(made, told, BIRTH.size)
    if len(message) > MESSAGE_LIMIT:
        raise InvalidArgument("arguments, environment and mounts take over 256 KiB together")
    return Order(message, (*entry, *shutting))


def _instructions(
    sandbox: Sandbox,
    command: Command,
    module: tuple[str, str],
    traits: Traits,
    folders: tuple[tuple[bytes, int, bool], ...],
    *,
    serves: bool,
    first: bool,
) -> Instructions:
    policy = sandbox.sockets
    listen = sorted(policy.listen or ()) if policy is not None and traits.wants_listeners and first else ()
    return Instructions(
        module=module[0],
        edition=module[1],
        spawns=traits.spawns,
        serves=serves,
        listen=tuple(port for port, protocol in listen if protocol == "tcp"),
        args=tuple(map(os.fsencode, command.args)),
        env=tuple(map(os.fsencode, command.env)),
        folders=folders,
        entry=command.entry,
        memory=sandbox.memory,
        cwd=command.cwd if folders else "/",
        sockets=None if policy is None else (policy.listen, policy.outbound),
        fuel=sandbox.fuel,
        refused=sandbox.refused,
        place=birth.pack(sandbox, command) if serves or sandbox.http else b"",
    )


def fault(arrival: Order, born: Order | None, number: int, error: int) -> WherryError:
    """What it means that a child told the ``number`` of a call and its errno."""
    calls, index = (arrival.calls, number) if number < FIRST or born is None else (born.calls, number - FIRST)
    if not 0 <= index < len(calls):
        return Internal(f"a child failed in step {number} of its orders, which has none of that number")
    return assembly.told(calls[index], error)
