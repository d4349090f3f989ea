"""The life of a task's process from its clone to its end: carry its orders out, wait for Start, run.

Everything here happens in the child. What its orders are, and so the order of the sandbox's layers, is passage.py's. It
tells its parent how it goes by a pipe: see report.py for the words.
"""

from __future__ import annotations

import os
import resource
import select
from struct import Struct

from wherry.errors import Internal
from wherry.linux import capabilities, clone, signals
from wherry.linux.steps import DESCRIPTORS, MESSAGE, Area, Refused
from wherry.record import unchecked
from wherry.shim import report
from wherry.shim.birth import KEPT_CAPABILITIES
from wherry.wasm.guest import GuestConfig, Preopen
from wherry.wasm.program import Program, new_guest
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from wherry.shim.httpd.front import Front
    from wherry.wasm.component.program import ComponentGuest
    from wherry.wasm.guest import Guest

    Birth = tuple[int, int, int, int, Program, Front | None, tuple[Any, ...]]
    """What it becomes: where in the area the calls lie that bring it into its container and that shut it in; its
    program; the server of HTTP that it is to be, if it is one; and what else it is told."""

_CANNOT_RUN = 126
_NO_CORE = 1
"""Bytes: less than a core has, and unlike 0 it keeps the kernel from a core_pattern that is a program, too: core(5)."""


def prepare() -> None:
    """In the server, before it forks the zygote: what every child would do alike and inherits.

    The ending signals get their handlers and are blocked here, so that they cannot take server or zygote and with them
    all containers along; a child has but to unblock them. SIGPIPE stays ignored, as Python has it (the guest gets
    EPIPE); faults belong to wasmtime's own handlers. Capabilities that no guest may ever have leave the bounding set.
    Keys of whoever started this stay behind, and nobody dumps core into a program of the host's.
    """
    if os.geteuid() == 0:
        capabilities.drop_bounding(KEPT_CAPABILITIES)
    capabilities.leave_session_keyring()
    resource.setrlimit(resource.RLIMIT_CORE, (_NO_CORE, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    clone.block_only(*signals.ENDING)
    clone.exit_on(*signals.ENDING)


_ENDS = Struct("=3i")


def ends(area: Area) -> tuple[int, int, int]:
    """A child's ends, as they came with the request for it: of the pipe it reports by, of the pipe it is started by, of
    the line its birth comes by."""
    return _ENDS.unpack_from(area.view, DESCRIPTORS)


# What is being done, for the error message. As numbers, and in a list: each text, and each object of a class, that a
# child uses makes a page its own.
STARTING, REHEARSING, LOADING, LISTENING, OPENING, SHUTTING, INSTANTIATING, JOINING, RUNNING = range(9)
_DOING = (
    "start",
    "rehearse",
    "load the module",
    "listen",
    "open the volumes",
    "shut the sandbox",
    "instantiate the module",
    "join the container",
    "",
)


def wait_to_live(
    area: Area, arrive: int, arrive_end: int, rehearsal: Birth | None, born: Callable[[int], Birth]
) -> NoReturn:
    """Do all that is alike for every container, wait to be told by the line whose this is to be, and be a process of
    it: never returns. ``rehearsal`` is what it does once before, so that it has touched what it will use; ``born``
    makes of a message, at its offset in the area, what the process is to be.

    One function, since each one that a child calls is a page or two.
    """
    doing = [STARTING]
    report_fd, start, line = ends(area)
    try:
        area.carry_out(arrive, arrive_end)
        if rehearsal is not None:
            doing[0] = REHEARSING
            rehearse(area, rehearsal)
        doing[0] = LOADING
        told = area.receive(line)
        os.close(line)
        if not told:
            os._exit(0)
        guest = live(area, report_fd, start, born(MESSAGE), doing)
        guest.exit(guest.run())
    # A fault of ours must not unwind into the zygote's own loop in this child.
    except BaseException as error:  # noqa: BLE001
        failed(report_fd, doing, error)
    finally:
        os._exit(1)


def live(area: Area, report_fd: int, start: int, birth: Birth, doing: list[int]) -> Guest | ComponentGuest:
    """Enter the container, shut the sandbox, then make what must not be trusted, and wait until it is to be run."""
    enter, enter_end, shut, shut_end, program, front, told = birth
    # By position: see `Instructions`, which is not made of it, for what the others are.
    _, _, spawns, serves, listen, args, environ, folders, entry, memory, cwd, sockets, fuel, refused, _ = told
    area.carry_out(enter, enter_end)
    end = _ending(report_fd, alone=serves or not spawns)
    doing[0] = LISTENING
    listeners = () if serves or not listen else _listeners(listen)
    preopens = []
    for path, at, writable in folders:
        preopens.append(unchecked(Preopen, (path, area.value(at), writable)))
    policy = None if sockets is None else SocketPolicy(*sockets)
    words = (args, environ, (*preopens,), entry, memory or None, cwd, listeners, policy, fuel, refused)
    config = unchecked(GuestConfig, words)
    guest = None
    if front is not None:
        _shut_server_in(area, shut, shut_end, config, front, doing)
    else:
        area.carry_out(shut, shut_end)
        doing[0] = INSTANTIATING
        guest = new_guest(program, config, end)
        if not program.runs_at_instantiation:
            guest.instantiate()
    os.write(report_fd, report.READY)
    if not os.read(start, 1):
        os._exit(128 + signals.SIGKILL)
    os.close(start)
    doing[0] = RUNNING
    if front is not None:
        front.serve()
        end(0)
    assert guest is not None
    if program.runs_at_instantiation:
        guest.instantiate()
    return guest


def _shut_server_in(area: Area, shut: int, shut_end: int, config: GuestConfig, front: Front, doing: list[int]) -> None:
    """A process whose guests come and go: see httpd/front.py."""
    front.listen()
    doing[0] = OPENING
    front.open(config)
    area.carry_out(shut, shut_end)
    doing[0] = SHUTTING
    front.shut()


def rehearse(area: Area, birth: Birth) -> None:
    """A child's way from its orders to its guest's end, which is one that can be trusted.

    In a zygote, since the interpreter keeps what it finds out on a way that is gone for the first times: where the
    attributes of a type are, of which types a line's values have been. Each child would write all that down for itself.
    In a child that waits anyway: the pages that it will write to are its own then.
    """
    start, report_fd = os.pipe2(os.O_CLOEXEC)  # that it is ready is what it is told to start by
    guest = live(area, report_fd, start, birth, [STARTING])
    os.close(report_fd)
    if guest.run():
        raise Internal("the warm-up guest trapped")
    guest.close()


def failed(report_fd: int, doing: list[int], error: BaseException) -> NoReturn:
    """Before Start the parent hears of it and refuses the task; after it, whoever reads stderr does."""
    if isinstance(error, Refused):
        report.refused(report_fd, error.number, error.errno or 0)
    elif step := _DOING[doing[0]]:
        report.failure(report_fd, step, error)
    else:
        os.write(2, f"wherry: {report.as_wherry_error('run the module', error)}\n".encode(errors="replace"))
        _ending(report_fd, alone=False)(_CANNOT_RUN)
    os._exit(1)


def _ending(report_fd: int, *, alone: bool) -> Callable[[int], NoReturn]:
    """What ends the process. It stays a moment, if its one thread is ``alone``: others would go on with the guest."""

    def end(code: int) -> NoReturn:
        # Reported first: taking the namespaces down delays wait() by milliseconds.
        report.ended(report_fd, code)
        if alone:
            select.select((), (), (), report.LINGER)
        os._exit(code)

    return end


def _listeners(ports: tuple[int, ...]) -> tuple[int, ...]:
    """For a program that can't make any: one for each TCP port it may be reached at, by number."""
    from wherry.wasm.wasi.socket import listen_at  # loaded with the program

    return tuple(listen_at(port) for port in ports)
