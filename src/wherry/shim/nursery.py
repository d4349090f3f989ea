"""Where the server gets children from: it asks the zygote for one, tells it what it is to be, and sees it as a Process.

A few spare children are kept: cloned, in fresh namespaces and warmed while nothing else is to be done. That is most of
what a container's creation takes, and alike for all that ask for the same namespaces and no cgroup of their own.
"""

from __future__ import annotations

import _socket
import os
import time

from wherry.errors import FailedPrecondition, Unavailable, WherryError
from wherry.linux import cgroups, clone, landlock, mountinfo
from wherry.record import Record
from wherry.shim import heard, orders, passage, zygote
from wherry.shim.birth import Command, Sandbox
from wherry.shim.networks import Networks
from wherry.shim.orders import Conception, Order
from wherry.shim.passage import Facts, Owner
from wherry.shim.process import Process, reap_later
from wherry.shim.reactor import Reactor
from wherry.shim.sandbox import without_network
from wherry.shim.stdio import Stdio
from wherry.shim.usage import Page
from wherry.shim.zygote import Zygote
from wherry.suppress import suppress
from wherry.wasm.cache import find_edition
from wherry.wasm.program import MOST_PROGRAMS, Traits, traits_of

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable

_JOINED = (
    clone.CLONE_NEWNS | clone.CLONE_NEWPID | clone.CLONE_NEWIPC | clone.CLONE_NEWUTS | clone.CLONE_NEWNET
    | clone.CLONE_NEWCGROUP
)  # fmt: skip
_MOST_SPARES = 1
_MOST_TRAITS = 1024
"""Modules whose traits are remembered: some hundred bytes each."""
_KEPT_FOR = 10.0
"""Seconds after the last container was made."""
_REFILL_AFTER = 0.01
"""Seconds: long enough for the container that took a spare to be started before the next one is cloned."""


class Newborn(Record):
    """A process to be: its place, its command, its compiled module, its stdio, the page of
    its meter, and who hears of it."""

    name: str
    sandbox: Sandbox
    command: Command
    module: str
    stdio: Stdio
    page: Page
    on_ready: Callable[[Process, WherryError | None], None]
    on_exit: Callable[[Process], None]

    @property
    def preloaded(self) -> str:
        """The compiled module that the zygote shall hold, or "": one that counts its fuel, or answers HTTP, the child
        loads itself."""
        return "" if self.sandbox.fuel or self.sandbox.http else self.module


class _Lines(Record):
    """The server's ends of a child's two pipes and of the line its birth goes by; and what it was ordered first."""

    report: int
    start: int
    birth: _socket.socket
    arrival: Order

    def close(self) -> None:
        """Let the child go: it ends when it finds its line closed."""
        self.birth.close()
        os.close(self.report)
        os.close(self.start)


class _Spare(Record):
    """``mounts`` is what it sees of the host: where nobody shares them on, later mounts do not reach it."""

    flags: int
    modules: frozenset[str]
    lines: _Lines
    mounts: mountinfo.Table


class Nursery:
    """Makes processes. ``start_zygote`` makes another zygote if the present one dies."""

    def __init__(
        self, reactor: Reactor, present: Zygote, start_zygote: Callable[[], Zygote], filters: tuple[bytes, ...]
    ) -> None:
        """``filters`` are policy.py's system call filters."""
        self._reactor = reactor
        self._zygote = present
        self._start_zygote = start_zygote
        self._filters = filters
        self._landlock = landlock.abi_version()
        self._owner = Owner(os.geteuid() != 0, os.geteuid(), os.getegid())
        self._traits: dict[str, Traits] = {}
        self._loaded: dict[str, None] = {}
        self._modules: frozenset[str] = frozenset()
        """The same, as the spares that were cloned since hold them."""
        self._warmup = ""
        self._networks = Networks()
        self._mounts = mountinfo.Mounts()
        self._spares: list[_Spare] = []
        self._wanted = 0
        self._refilling = False
        self._dropping = False
        """Whether somebody is about to look if the spares are still wanted: one timer, however many there were."""
        self._wanted_at = 0.0

    def warm(self, module: str) -> None:
        """Have the zygote run the compiled warm-up guest."""
        self._warmup = module
        self._tell_zygote(orders.warm(module, self._zygote.area.address), [])

    def rest(self) -> None:
        """Have the zygote give back what it does not need while it waits."""
        with suppress(OSError):  # it is dead, which the next container finds out
            zygote.send(self._zygote.line, orders.rest(), [])

    def spawn(self, new: Newborn, cgroup: cgroups.Cgroup) -> Process:
        """The first process of a container, in namespaces of its own, and in ``cgroup`` if that has folders."""
        if not self._leaves_no_trace(new):
            network = _open_network(new.sandbox)
            try:
                return self._spawn(new, cgroup, network)
            finally:
                _close(network)
        network = [self._networks.take()]
        try:
            process = self._spawn(Newborn(new.name, without_network(new.sandbox), *new[2:]), cgroup, network)
        except BaseException:
            _close(network)
            raise
        process.when_reaped(lambda: self._networks.give(network[0]))
        return process

    def _leaves_no_trace(self, new: Newborn) -> bool:
        """Whether the network that it asks for is a new one, and is as new when all of it has ended: nobody in it can
        make a socket."""
        sandbox = new.sandbox
        if sandbox.sockets is not None or sandbox.http or sandbox.sysctls or self._user_namespace:
            return False
        own = clone.CLONE_NEWNET | clone.CLONE_NEWPID  # nobody of it outlives the first process of a pid namespace
        return sandbox.flags & own == own and not self._traits_of(new, beside=False).answers_http

    def _spawn(self, new: Newborn, cgroup: cgroups.Cgroup, network: list[int]) -> Process:
        joins = cgroup.join_files()
        order = self._order(new, len(joins), beside=False)
        flags = new.sandbox.flags | self._user_namespace
        spare = None if cgroup.folders else self._take_spare(flags, new)
        self._want(flags)
        if spare is not None:
            if _give_birth(spare.lines, new, order, network):
                return self._process(spare.lines, new, order)
            self._abandon(spare.lines)
        into = [os.open(cgroup.unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)] if cgroup.unified else []
        # To join a cgroup takes milliseconds: beside that a rehearsal is little, and the start is quicker for it.
        request = Conception(flags, new.preloaded, rehearse=bool(cgroup.folders), beside=False, into=bool(into))
        return self._conceive(new, order, request, into, joins, network)

    def spawn_beside(self, new: Newborn, leader: Process, cgroup: cgroups.Cgroup) -> Process:
        """A further process in the container whose first one is ``leader``."""
        joins = cgroup.join_files()
        order = self._order(new, len(joins), beside=True)
        extra = [os.open(cgroup.unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)] if cgroup.unified else []
        try:
            extra.insert(0, os.pidfd_open(leader.pid))
        except BaseException:
            _close(extra)
            raise
        flags = (new.sandbox.flags & _JOINED) | self._user_namespace
        flags |= clone.CLONE_NEWNET if new.sandbox.network else 0
        fuel = bool(new.sandbox.fuel)
        request = Conception(flags, new.module, rehearse=False, beside=True, into=bool(cgroup.unified), fuel=fuel)
        return self._conceive(new, order, request, extra, joins, [])

    def _order(self, new: Newborn, joins: int, *, beside: bool) -> Order:
        """What a child is told to be. InvalidArgument: it is too long; FailedPrecondition: a volume is not there;
        nothing is made before that is known."""
        traits = self._traits_of(new, beside=beside)
        facts = Facts(
            self._owner,
            self._landlock,
            passage.files_among(new.sandbox.volumes),
            self._zygote.area.address,
            self._zygote.area.page,
            joins,
            traits.imports_sockets,
        )
        # One that has changed meanwhile, or can't be trusted, the child looks at itself, and tells why it won't do.
        edition = find_edition(new.preloaded) if new.preloaded else ""
        return orders.bear(
            new.sandbox, new.command, new.module, traits, facts, self._filters, beside=beside, edition=edition
        )

    def _traits_of(self, new: Newborn, *, beside: bool) -> Traits:
        """Those of its modules together. Of what can't be read they are the least: the child finds that out, too, and
        tells why."""
        routes = new.sandbox.http[2] if new.sandbox.http and new.sandbox.http[1] == "wagi" and not beside else ()
        paths = {new.module, *(route[1] for route in routes if route[1])}
        if len(self._traits) > _MOST_TRAITS:
            self._traits.clear()
        with suppress(WherryError):
            for path in paths - self._traits.keys():
                self._traits[path] = traits_of(path)
        known = [self._traits[path] for path in paths if path in self._traits]
        return Traits(*(any(trait) for trait in zip(*known, strict=True))) if known else Traits()

    @property
    def _user_namespace(self) -> int:
        """For a user who is not root, everything lies in a namespace of that user's own."""
        return clone.CLONE_NEWUSER if self._owner.user_namespace else 0

    def _conceive(
        self,
        new: Newborn,
        order: Order,
        request: Conception,
        extra: list[int],
        joins: list[str],
        network: list[int],
    ) -> Process:
        join: list[int] = []
        try:
            for path in joins:
                join.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            lines = self._ask(request, extra)
            if not _give_birth(lines, new, order, [*network, *join]):
                self._abandon(lines)
                raise Unavailable("the zygote died: try again")
        finally:
            _close([*extra, *join])
        return self._process(lines, new, order)

    def _ask(self, request: Conception, extra: list[int]) -> _Lines:
        """Have a child cloned; it says by the report line how that went."""
        order = orders.conceive(request, self._zygote.area.address, self._owner)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        kept: list[int] = []
        given: list[int] = []
        try:
            for mine, its in ((0, 1), (1, 0)):  # the child writes into the report, and reads that it is to start
                pipe = os.pipe2(os.O_CLOEXEC)
                kept.append(pipe[mine])
                given.append(pipe[its])
            self._tell_zygote(order.message, [*given, theirs.fileno(), *extra])
        except BaseException:
            ours.close()
            _close(kept)
            raise
        finally:
            theirs.close()
            _close(given)
        if request.module and not request.fuel:
            self._has_loaded(request.module)
        return _Lines(kept[0], kept[1], ours, order)

    def _has_loaded(self, module: str) -> None:
        """The zygote keeps the last of them, and so many."""
        self._loaded.pop(module, None)
        self._loaded[module] = None
        if len(self._loaded) > MOST_PROGRAMS:
            del self._loaded[next(iter(self._loaded))]
        if module not in self._modules:
            self._modules = frozenset(self._loaded)

    def _tell_zygote(self, message: bytes, descriptors: list[int]) -> None:
        try:
            zygote.send(self._zygote.line, message, descriptors)
        except OSError:  # it is dead; the containers are not, for they are not its children
            self._zygote.bury()
            self._zygote = self._start_zygote()
            self._loaded, self._modules = {}, frozenset()
            if self._warmup:
                zygote.send(self._zygote.line, orders.warm(self._warmup, self._zygote.area.address), [])
            zygote.send(self._zygote.line, message, descriptors)

    def _process(self, lines: _Lines, new: Newborn, order: Order) -> Process:
        lines.birth.close()
        new.stdio.after_clone()
        return Process(
            self._reactor,
            name=new.name,
            stdio=new.stdio,
            page=new.page,
            report_fd=lines.report,
            start_fd=lines.start,
            explain=lambda number, error: orders.fault(lines.arrival, order, number, error),
            on_ready=new.on_ready,
            on_exit=new.on_exit,
        )

    # Spares

    def _take_spare(self, flags: int, new: Newborn) -> _Spare | None:
        folders = [volume.source for volume in new.sandbox.volumes if volume.source]
        for spare in self._spares:
            if spare.flags != flags or (new.preloaded and new.preloaded not in spare.modules):
                continue
            if not folders or not mountinfo.changed(spare.mounts, self._mounts.table(), folders):
                self._spares.remove(spare)
                return spare
        return None

    def _want(self, flags: int) -> None:
        self._wanted = flags
        self._wanted_at = time.monotonic()
        if not self._refilling:
            self._refilling = True
            self._reactor.later(_REFILL_AFTER, self._refill)

    def _refill(self) -> None:
        self._refilling = False
        for spare in [s for s in self._spares if s.flags != self._wanted or s.modules != self._modules]:
            self._spares.remove(spare)
            self._abandon(spare.lines)
        with suppress(WherryError, OSError):  # the next container meets the same, and is told
            while len(self._spares) < _MOST_SPARES:
                seen = self._mounts.table()
                lines = self._ask(Conception(self._wanted, "", rehearse=True, beside=False, into=False), [])
                self._spares.append(_Spare(self._wanted, self._modules, lines, seen))
            if not self._dropping:
                self._dropping = True
                self._reactor.later(_KEPT_FOR, self._drop_if_idle)
        self._networks.prepare()

    def _drop_if_idle(self) -> None:
        """A spare costs megabytes: nobody shall pay for one who has not made a container for a while."""
        rest = self._wanted_at + _KEPT_FOR - time.monotonic()
        if rest > 0:
            self._reactor.later(rest, self._drop_if_idle)
            return
        self._dropping = False
        while self._spares:
            self._abandon(self._spares.pop().lines)
        self._networks.clear()

    def _abandon(self, lines: _Lines) -> None:
        """Let a child go that will be nobody, and wait for its end if it is there."""
        os.set_blocking(lines.report, False)
        with suppress(OSError):
            pid = heard.parse(os.read(lines.report, 64)).pid
            if pid:
                reap_later(self._reactor, pid)
        lines.close()


def _give_birth(lines: _Lines, new: Newborn, order: Order, more: list[int]) -> bool:
    """Tell a child what it is to be; False if it is dead."""
    try:
        zygote.send(lines.birth, order.message, [*new.stdio.child_fds, new.page.fd, *more])
    except OSError:
        return False
    return True


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def _open_network(sandbox: Sandbox) -> list[int]:
    """The network namespace to be joined, if there is one: opened here, for what is mounted after a spare child was
    cloned may not be seen by it. FailedPrecondition."""
    if not sandbox.network:
        return []
    try:
        return [os.open(sandbox.network, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)]
    except OSError as error:
        raise FailedPrecondition(f"cannot join the network {sandbox.network}: {error.strerror}") from None
