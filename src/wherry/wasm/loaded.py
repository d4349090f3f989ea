"""A compiled module, loaded: what the zygote holds of it and every child starts from. Who loads it is program.py."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.suppress import suppress
from wherry.wasm.binding import Library, Room
from wherry.wasm.entry import check_entry
from wherry.wasm.imports import has_shared_memory, imports_sockets, is_component, spawns
from wherry.wasm.meter import Meter
from wherry.wasm.wasi.host import Host

TYPE_CHECKING = False  # see record.py
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wherry.wasm.fuel import Tank
    from wherry.wasm.threads import Shared


class Program:
    """A loaded module with its imports bound to ``host``: cheap to instantiate in any forked child.

    ``info`` is what inspection told when it was compiled (`ModuleInfo.to_json`); ``space`` is the view that guests'
    memories are slices of; ``meter`` counts what the guest does, ``tank`` its fuel if it has any. The rest are
    libwasmtime's handles; the module's are freed with the last reference to this.

    ``instance_pre`` is 0 as long as functions that only this module imports are still to be bound: `Runtime.complete`;
    and with a ``shared`` memory, until there is a guest. A component has none of these handles, but a ``component``
    once it is complete (component/program.py); until then ``path`` is all that is known of it.
    """

    def __init__(
        self,
        library: Library,
        engine: int,
        host: Host,
        space: memoryview,
        meter: Meter,
        module: int,
        instance_pre: int,
        info: Mapping[str, Any],
        tank: Tank | None = None,
        path: str = "",
    ) -> None:
        self.library = library
        self.engine = engine
        self.host = host
        self.space = space
        self.meter = meter
        self.instance_pre = instance_pre
        self.info = info
        self.module = module
        self.room = Room()
        self.runs_at_instantiation = bool(info["start"])
        """The module has a start section: instantiate it only once the task is started."""
        self.imports_sockets = imports_sockets(info)
        self.spawns = spawns(info)
        self.shared: Shared | None = None
        self.component: Any = None
        self.path = path
        self.tank = tank
        self.entries: dict[str, int] = {}
        """Exports that were found fit to be run, and how many results they have: see `check_entry`."""
        with suppress(InvalidArgument):  # whoever runs it is told
            self.check_entry("", "_start")

    @property
    def is_whole(self) -> bool:
        """All that it imports is such as every child shares."""
        extra = self.imports_sockets or self.spawns or has_shared_memory(self.info)
        return not (extra or is_component(self.info))

    def check_entry(self, name: str, entry: str) -> int:
        """How many results the export ``entry`` of the module called ``name`` has, 0 or 1. InvalidArgument: it can't
        be run, the message names those that can."""
        results = self.entries.get(entry)
        if results is None:
            results = self.entries[entry] = check_entry(self.info, name, entry)
        return results

    def __del__(self) -> None:
        if self.instance_pre:
            self.library.instance_pre_delete(self.instance_pre)
        if self.module:
            self.library.module_delete(self.module)
