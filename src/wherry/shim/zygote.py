"""The zygote: a process that holds libwasmtime and the loaded modules, and does nothing but clone itself on request.

It is apart from the server, which forks it first thing: what the server writes to would otherwise differ in every
child, and a page that differs is memory of that child's own (see RATIONALE.md, "Why a zygote?"). Its children are the
server's: it clones them as siblings. It ends when the server does.
"""

from __future__ import annotations

import _socket
import errno
import gc
import marshal
import os
import struct

from wherry.errors import FailedPrecondition, ResourceExhausted, WherryError
from wherry.linux import clone, memory, signals
from wherry.record import Record
from wherry.shim import child, report
from wherry.shim.birth import unpack
from wherry.shim.child import Birth, Cradle
from wherry.wasm.library import LIBRARY_NAME, library_path
from wherry.wasm.program import Program, Runtime, rehearse

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

MESSAGE_LIMIT = 1 << 18
"""Bytes of a message to the zygote or to a child that waits for its birth."""
_DESCRIPTORS = 16
_ANCILLARY = _socket.CMSG_SPACE(4 * _DESCRIPTORS)
_INTS = tuple(struct.Struct(f"{count}i") for count in range(_DESCRIPTORS + 1))
_PEEKED = bytearray(1)
_WARM, _CONCEIVE = range(2)


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


class Zygote(Record):
    """A zygote as its server knows it: its process, and the line to it."""

    pid: int
    line: _socket.socket

    def bury(self) -> None:
        """It is dead: let go of it."""
        self.line.close()
        os.waitpid(self.pid, 0)


def fork(search: Sequence[str], filters: tuple[bytes, ...]) -> Zygote:
    """Fork a zygote. ``search`` are the packages' folders, ``filters`` policy.py's."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return Zygote(pid, ours)
    try:
        clone.set_name("wherry-zygote")
        clone.prctl(clone.PR_SET_PDEATHSIG, signals.SIGKILL)
        _close_all_but(theirs.fileno())
        _Zygote(theirs, search, filters).run()
    # Whatever it is, this process must not go on as a second server.
    except BaseException as error:  # noqa: BLE001
        os.write(2, f"the zygote ended: {report.as_wherry_error('serve', error)}\n".encode(errors="replace"))
    finally:
        os._exit(1)


class _Zygote:
    def __init__(self, line: _socket.socket, search: Sequence[str], filters: tuple[bytes, ...]) -> None:
        self._line = line
        self._filters = filters
        self._library = library_path(search)
        self._runtime = Runtime(self._library)
        self._warmup: Program | None = None
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._mine: Program | None = None
        """A child's program, if it was loaded before the child went where the file can't be reached."""
        _settle()

    def run(self) -> None:
        """Serve until the server is gone."""
        while True:
            message, descriptors = receive(self._line)
            if not message:
                os._exit(0)
            # The sender is the process this one was forked from, over a socket that nobody else has.
            kind, *values = marshal.loads(message)
            if kind == _WARM:
                self._warm(*values)
            else:
                self._conceive(Conception(*values), descriptors)

    def _warm(self, path: str) -> None:
        try:
            self._warmup = self._runtime.warm(path)
        except WherryError as error:  # starts are slower then, and nothing else
            os.write(2, f"cannot warm up: {error}\n".encode(errors="replace"))
        _settle()

    def _conceive(self, request: Conception, descriptors: tuple[int, ...]) -> None:
        report_fd, start_fd, line, *rest = descriptors
        leader = rest.pop(0) if request.beside else -1
        into = rest.pop(0) if request.into else -1
        try:
            if request.module and not request.fuel:
                self._runtime.load(request.module)
            foreign = (self._line.fileno(), *descriptors[3:])
            cradle = Cradle(report_fd, start_fd, foreign, self._filters, self._uid != 0, self._uid, self._gid)
            if request.beside:
                self._clone_beside(cradle, request, line, leader, into)
            else:
                self._clone(cradle, request, line, into)
        except OSError as error:
            scarce = error.errno in (errno.EAGAIN, errno.ENOMEM)
            kind = ResourceExhausted if scarce else FailedPrecondition
            report.failure(report_fd, "", kind(f"cannot clone the container's process: {error.strerror}"))
        except WherryError as error:
            report.failure(report_fd, "load the module", error)
        finally:
            for fd in descriptors:
                os.close(fd)

    def _clone(self, cradle: Cradle, request: Conception, line: int, into: int) -> None:
        pid = clone.clone(request.flags | clone.CLONE_PARENT, into)
        if not pid:
            child.wait_to_live(cradle, line, self._rehearse if request.rehearse else _do_nothing, self._receive)
        report.forked(cradle.report, pid)

    def _clone_beside(self, cradle: Cradle, request: Conception, line: int, leader: int, into: int) -> None:
        """By a go-between that joins the leader's namespaces: only a child of somebody who has joined a pid namespace
        is in it."""
        if not clone.clone(clone.CLONE_PARENT, into):
            self._go_between(cradle, request, line, leader)

    def _go_between(self, cradle: Cradle, request: Conception, line: int, leader: int) -> NoReturn:
        def be(doing: child.Doing) -> None:
            doing.step = "load the module"
            self._mine = self._own(request.module, fuel=request.fuel)
            report.gone_between(cradle.report, os.getpid())  # first: see process.py, which hears it no more later
            doing.step = "join the container"
            clone.setns(leader, request.flags)
            pid = clone.clone(clone.CLONE_PARENT)
            if not pid:
                child.wait_to_live_beside(cradle, line, self._receive_beside)
            report.forked(cradle.report, pid)
            os._exit(0)

        child.telling(cradle, be)

    def _rehearse(self) -> None:
        if self._warmup:
            rehearse(self._warmup)

    def _receive_beside(self, line: int) -> Birth | None:
        """In a further child: it is in the container's network already."""
        return self._receive(line, beside=True)

    def _receive(self, line: int, *, beside: bool = False) -> Birth | None:
        """In a child: what it is to be; None when it is not needed any more."""
        control = _socket.socket(fileno=line)
        message, descriptors = receive(control)
        control.close()
        if not message:
            return None
        sandbox, command, module = unpack(message)
        stdin, stdout, stderr, meter, *join = descriptors
        network = join.pop(0) if sandbox.network and not beside else -1
        stdio = stdin, stdout, stderr
        kind = sandbox.http[1] if sandbox.http and not beside else ""
        if kind == "wagi":
            from wherry.shim import handlers  # few containers serve HTTP, the others shall not pay for it

            front = handlers.wagi(sandbox, self._library)
            return Birth(sandbox, command, front.program, stdio, meter, tuple(join), network, front)
        program = self._mine or self._own(module, fuel=bool(sandbox.fuel))
        if sandbox.http and program.component is not None:
            program.component.state.hosts = sandbox.http[0][-1]
        if not beside and (kind or program.answers_http):
            from wherry.shim import handlers  # as above

            front = handlers.proxy(sandbox, program, command.args[0])
            return Birth(sandbox, command, program, stdio, meter, tuple(join), network, front)
        return Birth(sandbox, command, program, stdio, meter, tuple(join), network, None)

    def _own(self, module: str, *, fuel: bool) -> Program:
        """In a child: its program, with all that it takes from files which a change of root puts out of reach."""
        if fuel:
            # It belongs to another engine of wasmtime's, which few children need.
            self._runtime = Runtime(self._library, fuel=True)
        program = self._runtime.load(module)
        self._runtime.complete(program)
        return program


def _do_nothing() -> None:
    """A child that is needed now does not rehearse."""


def send(line: _socket.socket, message: bytes, descriptors: Sequence[int]) -> None:
    """Send a message with descriptors, for `receive` at the other end."""
    packed = _INTS[len(descriptors)].pack(*descriptors)
    line.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)] if descriptors else [])


def receive(line: _socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """The next message and its descriptors, in a buffer of just its size; b"" at the end."""
    size = line.recv_into(_PEEKED, 1, _socket.MSG_PEEK | _socket.MSG_TRUNC)
    message, ancillary, _, _ = line.recvmsg(max(size, 1), _ANCILLARY)
    return message, _INTS[len(ancillary[0][2]) // 4].unpack(ancillary[0][2]) if ancillary else ()


def conceive(request: Conception) -> bytes:
    """The message that asks for a child."""
    return marshal.dumps((_CONCEIVE, *request))


def warm(module: str) -> bytes:
    """The message that has the compiled warm-up guest run: now, and in every child that rehearses."""
    return marshal.dumps((_WARM, module))


def _close_all_but(kept: int) -> None:
    clone.close_range(3, kept - 1)
    clone.close_range(kept + 1)


def _settle() -> None:
    """Keep the collector off everything made so far: it would write to every page of it, in every child. And give back
    the pages of libwasmtime's code that loading and warming up have mapped: children map what they need themselves. And
    let the kernel merge what stays alike in all children, if it does such things: a guest's own memory is not in it."""
    gc.collect()
    gc.freeze()
    merging = memory.is_merging()
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, permissions, *rest = line.split()
            first, last = (int(end, 16) for end in span.split("-"))
            if permissions == "r-xp" and rest[-1].endswith(LIBRARY_NAME):
                memory.give_back(first, last - first)
            elif permissions == "rw-p" and merging:
                memory.offer_to_merge(first, last - first)
