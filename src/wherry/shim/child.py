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
from wherry.linux.steps import DESCRIPTORS, Area, Refused
from wherry.record import Record
from wherry.shim import report
from wherry.shim.birth import KEPT_CAPABILITIES, Instructions
from wherry.wasm.guest import Guest, GuestConfig, Preopen
from wherry.wasm.program import Program, new_guest, rehearse
from wherry.wasm.wasi.host import SocketPolicy

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from wherry.shim.httpd.front import Front
    from wherry.wasm.component.program import ComponentGuest

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
    return _ENDS.unpack_from(area[:], DESCRIPTORS)


class Birth(Record):
    """What it becomes: its orders and its program; where in the area the calls lie that bring it into its container and
    that shut it in; and the server of HTTP that it is to be, if it is one."""

    orders: Instructions
    program: Program
    enter: tuple[int, int]
    shut: tuple[int, int]
    front: Front | None = None


class Doing:
    """What is being done, for the error message; "" once the guest is on its own."""

    __slots__ = ("step",)

    def __init__(self) -> None:
        self.step = "start"


def wait_to_live(
    area: Area, arrive: int, arrive_end: int, warmup: Program | None, receive: Callable[[int], Birth | None]
) -> NoReturn:
    """Do all that is alike for every container, wait to be told by the line whose this is to be, and be a process of
    it: never returns."""
    report_fd, start, line = ends(area)

    def be(doing: Doing) -> None:
        area.carry_out(arrive, arrive_end)
        if warmup is not None:
            doing.step = "rehearse"
            rehearse(warmup)
        doing.step = "load the module"
        birth = receive(line)
        if birth is None:
            os._exit(0)
        area.carry_out(*birth.enter)
        if birth.front is not None:
            _be_a_server(area, report_fd, start, birth, doing, birth.front)
        _be_a_guest(area, report_fd, start, birth, doing)

    telling(report_fd, be)


def telling(report_fd: int, be: Callable[[Doing], None]) -> NoReturn:
    """Whatever happens in ``be``, the parent hears of it, and the process ends here."""
    doing = Doing()
    try:
        be(doing)
    except Refused as refused:
        report.refused(report_fd, refused.number, refused.errno or 0)
    # A fault of ours must not unwind into the zygote's own loop in this child.
    except BaseException as error:  # noqa: BLE001
        _fail(report_fd, doing.step, error)
    finally:
        os._exit(1)


def _be_a_guest(area: Area, report_fd: int, start: int, birth: Birth, doing: Doing) -> NoReturn:
    end = _ending(report_fd, alone=not birth.orders.spawns)
    end(_live(area, report_fd, start, birth, doing, end).run())


def _live(
    area: Area, report_fd: int, start: int, birth: Birth, doing: Doing, end: Callable[[int], NoReturn]
) -> Guest | ComponentGuest:
    """Shut the sandbox, then make what must not be trusted, and wait until it is to be run."""
    doing.step = "listen"
    guest_config = _guest_config(area, birth.orders, _listeners(birth.orders))
    area.carry_out(*birth.shut)
    doing.step = "instantiate the module"
    guest = new_guest(birth.program, guest_config, end)
    if not birth.program.runs_at_instantiation:
        guest.instantiate()
    report.ready(report_fd)
    _await_start(start)
    doing.step = ""
    if birth.program.runs_at_instantiation:
        guest.instantiate()
    return guest


def practise(area: Area, birth: Birth) -> None:
    """In a zygote: a child's way from its orders to its guest's end, which is one that can be trusted.

    The interpreter keeps what it finds out on a way that is gone for the first times: where the attributes of a type
    are, of which types a line's values have been. Each child would write all that down for itself.
    """
    start, report_fd = os.pipe2(os.O_CLOEXEC)  # that it is ready is what it is told to start by
    area.carry_out(*birth.enter)
    guest = _live(area, report_fd, start, birth, Doing(), _ending(report_fd, alone=True))
    os.close(report_fd)
    if guest.run():
        raise Internal("the warm-up guest trapped")
    guest.close()


def _be_a_server(area: Area, report_fd: int, start: int, birth: Birth, doing: Doing, front: Front) -> NoReturn:
    """The same for a process whose guests come and go: see httpd/front.py."""
    doing.step = "listen"
    front.listen()
    end = _ending(report_fd, alone=True)
    doing.step = "open the volumes"
    front.open(_guest_config(area, birth.orders, ()))
    area.carry_out(*birth.shut)
    doing.step = "shut the sandbox"
    front.shut()
    report.ready(report_fd)
    _await_start(start)
    doing.step = ""
    front.serve()
    end(0)


def _fail(report_fd: int, step: str, error: BaseException) -> NoReturn:
    """Before Start the parent hears of it and refuses the task; after it, whoever reads stderr does."""
    if step:
        report.failure(report_fd, step, error)
        os._exit(1)
    os.write(2, f"wherry: {report.as_wherry_error('run the module', error)}\n".encode(errors="replace"))
    _ending(report_fd, alone=False)(_CANNOT_RUN)


def _ending(report_fd: int, *, alone: bool) -> Callable[[int], NoReturn]:
    """What ends the process. It stays a moment, if its one thread is ``alone``: others would go on with the guest."""

    def end(code: int) -> NoReturn:
        # Reported first: taking the namespaces down delays wait() by milliseconds.
        report.ended(report_fd, code)
        if alone:
            select.select((), (), (), report.LINGER)
        os._exit(code)

    return end


def _await_start(fd: int) -> None:
    if not os.read(fd, 1):
        os._exit(128 + signals.SIGKILL)
    os.close(fd)


def _listeners(orders: Instructions) -> tuple[int, ...]:
    """For a program that can't make any: one for each TCP port it may be reached at, by number."""
    if not orders.listen:
        return ()
    from wherry.wasm.wasi.socket import listen_at  # loaded with the program

    return tuple(listen_at(port) for port in orders.listen)


def _guest_config(area: Area, orders: Instructions, listeners: tuple[int, ...]) -> GuestConfig:
    return GuestConfig(  # by position and all of them: a value by name is made by more code
        orders.args,
        orders.env,
        tuple([Preopen(path, area.value(at), writable) for path, at, writable in orders.folders]),
        orders.entry,
        orders.memory or None,
        orders.cwd,
        listeners,
        None if orders.sockets is None else SocketPolicy(*orders.sockets),
        orders.fuel,
        orders.refused,
    )
