"""What serves a group: reactor, listener, service and nursery put together, and when it ends."""

from __future__ import annotations

import _socket
import os

from wherry.errors import WherryError
from wherry.linux import cgroups, memory
from wherry.record import Record
from wherry.shim.group import Group
from wherry.shim.listener import Listener
from wherry.shim.modules import Modules
from wherry.shim.nursery import Nursery
from wherry.shim.publisher import Publisher
from wherry.shim.reactor import Reactor
from wherry.shim.service import TaskService
from wherry.shim.zygote import Zygote
from wherry.suppress import suppress

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_IDLE_CHECK = 60.0
"""Seconds: with no container and nobody connected for one to two of these, the server ends."""
_REST_AFTER = 2.0
"""Seconds: when nothing happened for as long, nobody minds that what comes next takes 0.1 ms more."""


class Config(Record):
    """``search`` are the folders of wherry's and wasmtime's packages; ``publish`` is where events go (a socket's path),
    those of ``topics`` or, without any, all; compiled modules are kept in ``cache``; ``group`` is the group's folder;
    ``filters`` are policy.py's system call filters.
    """

    search: Sequence[str]
    namespace: str
    publish: str
    topics: frozenset[str]
    cache: str
    group: str
    filters: tuple[bytes, ...]


class Server:
    """One group's server; ``present`` is its zygote, ``start_zygote`` makes another."""

    def __init__(
        self,
        config: Config,
        listening: int,
        present: Zygote,
        start_zygote: Callable[[], Zygote],
    ) -> None:
        self._reactor = Reactor()
        self._group = Group(config.group)
        self._modules = Modules(self._reactor, config.search, config.cache)
        self._nursery = Nursery(self._reactor, present, start_zygote, config.filters)
        self._service = TaskService(
            self._reactor,
            self._modules,
            self._nursery,
            Publisher(self._reactor, config.publish, config.namespace, config.topics),
            cgroups.discover(),
            self._group,
            self._shutdown,
        )
        accepting = _socket.socket(fileno=listening)
        os.set_inheritable(listening, False)
        self._listener = Listener(self._reactor, accepting, self._service.dispatch)
        self._was_idle = False
        self._reactor.later(_IDLE_CHECK, self._check_idle)

    def run(self) -> None:
        """Serve until Shutdown finds nothing left, or nobody cares any more."""
        self._modules.find_warmup(self._warm)
        self._reactor.when_quiet(_REST_AFTER, self._rest)
        self._reactor.run()

    def _warm(self, module: str, error: WherryError | None) -> None:
        if error is None:
            self._nursery.warm(module)
        else:  # starts are slower then, and nothing else
            os.write(2, f"cannot warm up: {error}\n".encode(errors="replace"))

    def _rest(self) -> None:
        """Shrink to what is needed for waiting: see RATIONALE.md, "What does an idle shim give back?"."""
        self._nursery.rest()
        with suppress(OSError):  # it stays as large as it is
            memory.give_back_files()

    def _shutdown(self) -> None:
        if not self._service.containers and not self._group.expecting() and self._group.remove(os.getpid()):
            self._reactor.stop()

    def _check_idle(self) -> None:
        idle = not self._service.containers and not self._listener.connections
        if idle and self._was_idle:
            self._shutdown()
        self._was_idle = idle
        self._reactor.later(_IDLE_CHECK, self._check_idle)
