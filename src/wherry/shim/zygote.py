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

from wherry.errors import FailedPrecondition, Internal, ResourceExhausted, WherryError
from wherry.linux import clone, heaps, memory, signals
from wherry.linux.steps import DESCRIPTORS, MESSAGE, MOST_DESCRIPTORS, VALUE, Area
from wherry.record import Record
from wherry.shim import child, report
from wherry.shim.birth import BESIDE, BIRTH, CONCEIVE, FUEL, REHEARSE, REQUEST, WARM, Instructions, Requested, unpack
from wherry.suppress import suppress
from wherry.wasm.library import LIBRARY_NAME, library_path
from wherry.wasm.program import Program, Runtime

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

    from wherry.shim.httpd.front import Front

LINE = 3
"""The descriptor of a zygote's line to its server."""
_CLONE_CGROUP = 80
"""The offset of the cgroup's descriptor in clone3(2)'s structure."""
_LEADER = DESCRIPTORS + VALUE.size * 3
"""Where the descriptor lies that comes with a request for a further process: see orders.py."""
_REHEARSALS = 20
"""Times: the interpreter looks closer at what was done eight times, or gone back to sixteen times."""


class Zygote(Record):
    """A zygote as its server knows it: its process, the line to it, and the area that is at the same place in both."""

    pid: int
    line: _socket.socket
    area: Area

    def bury(self) -> None:
        """It is dead: let go of it."""
        self.line.close()
        os.waitpid(self.pid, 0)


def fork(search: Sequence[str], area: Area) -> Zygote:
    """Fork a zygote. ``search`` are the packages' folders; ``area`` is what it and its children receive messages in."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return Zygote(pid, ours, area)
    try:
        clone.set_name("wherry-zygote")
        clone.prctl(clone.PR_SET_PDEATHSIG, signals.SIGKILL)
        os.dup2(theirs.detach(), LINE)
        clone.close_range(LINE + 1)
        _Zygote(area, search).run()
    # Whatever it is, this process must not go on as a second server.
    except BaseException as error:  # noqa: BLE001
        os.write(2, f"the zygote ended: {report.as_wherry_error('serve', error)}\n".encode(errors="replace"))
    finally:
        os._exit(1)


class _Zygote:
    """What it writes to between two clones is no longer shared with those that were cloned before: so it does little,
    and by the same code as they."""

    def __init__(self, area: Area, search: Sequence[str]) -> None:
        gc.disable()
        self._area = area
        self._library = library_path(search)
        self._runtime = Runtime(self._library, page=area.page)
        self._rehearsal: child.Birth | None = None
        self._mine: Program | None = None
        """A child's program, if it was loaded before the child went where the file can't be reached."""
        _settle()

    def run(self) -> None:
        """Serve until the server is gone."""
        area = self._area
        receive, carry_out, put, view, head = area.receive, area.carry_out, area.put, area.view, REQUEST.unpack_from
        born = self._born
        while receive(LINE):
            # By position, and in this one function: each further object that is used is a page that is shared no more.
            fields = head(view, MESSAGE)
            kind, path, path_end, cloning, into, told, tell, tell_end, release, release_end, how, _, arrive, end = (
                fields
            )
            if kind != CONCEIVE:
                self._warm(os.fsdecode(bytes(area[path:path_end])), arrive) if kind == WARM else _rest()
                continue
            try:
                if path or into:
                    self._prepare(Requested(*fields))
                if not (pid := clone.clone_with(area.address + cloning)):
                    if how & BESIDE:
                        self._go_between(Requested(*fields))
                    child.wait_to_live(area, arrive, end, self._rehearsal if how & REHEARSE else None, born)
                put(told, pid)
                carry_out(tell, tell_end)
            except OSError as error:
                report.failure(child.ends(area)[0], "", _refusal(error))
            except WherryError as error:
                report.failure(child.ends(area)[0], "load the module", error)
            finally:
                carry_out(release, release_end)
        os._exit(0)

    def _warm(self, path: str, birth: int) -> None:
        area = self._area
        try:
            self._runtime.warm(path)
            for _ in range(_REHEARSALS):
                child.rehearse(area, self._born(birth))
            _settle()
            heaps.fill_holes()
            born = self._born(birth)
            child.rehearse(area, born)
            self._rehearsal = (0, 0, 0, 0, *born[4:])  # without calls: a child has other ones where these lie
        except (WherryError, OSError) as error:  # starts are slower then, and nothing else
            os.write(2, f"cannot warm up: {error}\n".encode(errors="replace"))

    def _prepare(self, request: Requested) -> None:
        """What most children don't need, for there was one for the same module before, and they have no limits."""
        area = self._area
        if request.path and not request.how & FUEL:
            self._runtime.load(_module(area, request))
        if request.into:
            area.put(request.clone + _CLONE_CGROUP, area.value(request.into))

    def _go_between(self, request: Requested) -> NoReturn:
        """It joins the leader's namespaces: only a child of somebody who has joined a pid namespace is in it."""
        area, doing = self._area, [child.LOADING]
        report_fd = child.ends(area)[0]
        try:
            self._mine = self._own(_module(area, request), fuel=bool(request.how & FUEL))
            report.gone_between(report_fd, os.getpid())  # first: see process.py, which hears it no more later
            doing[0] = child.JOINING
            clone.setns(area.value(_LEADER), request.join)
            pid = clone.clone(clone.CLONE_PARENT)
            if not pid:
                child.wait_to_live(area, request.arrive, request.arrive_end, None, self._born)
            report.forked(report_fd, pid)
            os._exit(0)
        # As in any child.
        except BaseException as error:  # noqa: BLE001
            child.failed(report_fd, doing, error)
        finally:
            os._exit(1)

    def _born(self, at: int) -> child.Birth:
        """In a child: what it is to be, by the message that begins at an offset."""
        view = self._area.view
        enter, enter_end, shut, shut_end, told, told_end = BIRTH.unpack_from(view, at)
        orders: tuple[Any, ...] = marshal.loads(view[told:told_end])
        # By position: see `Instructions`, which is not made of it. Each function that is called is a page, too.
        module, edition, _, serves, _, _, _, _, _, _, _, _, fuel, _, place = orders
        front = None
        if place:
            program, front = self._serving(Instructions(*orders))
            if (front is not None) != serves:
                raise Internal("the orders and the module disagree on whether this is a server of HTTP")
        else:
            found = self._mine or self._runtime.programs.get(edition)
            # What is not bound yet depends on the child, and one that the server can't vouch for is looked at anew.
            program = found if found is not None and found.instance_pre else self._program(module, fuel)
        return enter, enter_end, shut, shut_end, program, front, orders

    def _program(self, module: str, fuel: int) -> Program:
        return self._mine or self._own(module, fuel=bool(fuel))

    def _serving(self, orders: Instructions) -> tuple[Program, Front | None]:
        """In a container that serves HTTP."""
        sandbox, command = unpack(orders.place)
        cache = os.path.dirname(orders.module)
        if orders.serves:
            # Few containers do, the others shall not pay for it; and who joins one can't: the package is out of reach.
            from wherry.shim import handlers

            if sandbox.http and sandbox.http[1] == "wagi":
                front = handlers.wagi(sandbox, self._library, self._area.page, cache)
                return front.program, front
        program = self._program(orders.module, orders.fuel)
        if sandbox.http and program.component is not None:
            program.component.state.hosts = sandbox.http[0][-1]
        return program, handlers.proxy(sandbox, program, command.args[0], cache) if orders.serves else None

    def _own(self, module: str, *, fuel: bool) -> Program:
        """In a child: its program, with all that it takes from files which a change of root puts out of reach."""
        if fuel:
            # It belongs to another engine of wasmtime's, which few children need.
            self._runtime = Runtime(self._library, fuel=True, page=self._area.page)
        program = self._runtime.load(module)
        self._runtime.complete(program)
        return program


def _refusal(error: OSError) -> WherryError:
    kind = ResourceExhausted if error.errno in (errno.EAGAIN, errno.ENOMEM) else FailedPrecondition
    return kind(f"cannot clone the container's process: {os.strerror(error.errno or 0)}")


def _module(area: Area, request: Requested) -> str:
    return os.fsdecode(bytes(area[request.path : request.path_end]))


def send(line: _socket.socket, message: bytes, descriptors: Sequence[int]) -> None:
    """Send a message with descriptors, for an `Area` at the other end. OSError."""
    assert len(descriptors) <= MOST_DESCRIPTORS
    packed = b"".join(map(VALUE.pack, descriptors))
    line.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)] if descriptors else [])


def _rest() -> None:
    """Give back what was needed once."""
    with suppress(OSError):  # it stays as large as it is
        memory.give_back_files()


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
