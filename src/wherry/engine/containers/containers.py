"""The containers of the Engine API: one method a route, Docker-shaped JSON in and out.

Each finds the container, hands the work to who does it, and shields it: a client that goes away in the middle leaves
no container half started.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from wherry.core.sweeper import Sweeper
from wherry.engine import names, signals
from wherry.engine.attach import AttachOptions, AttachSession, attached
from wherry.engine.background import Background
from wherry.engine.containers import selection, stats, views
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.changes import changes
from wherry.engine.containers.control import Control
from wherry.engine.containers.creation import Creation
from wherry.engine.containers.files import Files
from wherry.engine.containers.folders import Folders
from wherry.engine.containers.launch import Launcher, find_module
from wherry.engine.containers.live import CONDITIONS, Condition, Live
from wherry.engine.containers.logbook import Batch, Logbook, LogQuery
from wherry.engine.containers.membership import Membership
from wherry.engine.containers.probes import Probes
from wherry.engine.containers.recovery import Recovery
from wherry.engine.containers.registry import Registry
from wherry.engine.containers.removal import Removal
from wherry.engine.containers.supervisor import Supervisor
from wherry.engine.containers.top import top
from wherry.engine.containers.twins import Twins
from wherry.engine.containers.usage import usage
from wherry.engine.module_views import ModuleViews
from wherry.engine.networks.networks import Networks
from wherry.engine.networks.registry import NetworkRegistry
from wherry.engine.networks.sandboxes import Sandboxes
from wherry.engine.networks.settings import JOINED
from wherry.engine.record import Record
from wherry.engine.services import EngineConfig, EngineServices, Publisher, RunnableImages
from wherry.engine.spec.wasm import has_fuel
from wherry.engine.states import RUNNING
from wherry.engine.times import ZERO
from wherry.engine.volumes import Volumes
from wherry.errors import Conflict, InvalidArgument, NotFound, WherryError
from wherry.linux.machine import neighbours

Json = dict[str, Any]
JsonList = list[Json]
Filters = Mapping[str, Sequence[str]]
T = TypeVar("T")

__all__ = ["Containers", "LogQuery"]

_STATS_INTERVAL = 1.0
"""Seconds between two samples of `stats`."""
_CLOSE_PATIENCE = 5.0
"""Seconds that writing down what is known of containers may take when the engine stops."""
_LOOKED_AT = 64
"""Containers of which it is remembered what the disk told of them."""
_MODULE_PATIENCE = 2.0
"""Seconds that inspect waits for a module to be compiled; without it, it tells nothing of the module."""


@dataclass(frozen=True, slots=True)
class _OnDisk:
    """What `inspect` tells of a container until it changes, which nobody else changes: its own ``document``, its
    module's places ``inside`` and on the host ("" if there is none), and the ``view`` of it, where that is known
    already."""

    document: Json
    inside: str
    module: str
    view: Json | None


class Containers:
    """``ref`` is a full id, a unique prefix of one, or a name. NotFound: ``No such container: x``.

    Who changes something and is cancelled meanwhile undoes what it began as far as it can: callers see to it that a
    client which goes away cancels no change.

    ``background`` owns what goes on in the background: watching containers, restarting them, carrying their output.
    """

    def __init__(
        self, services: EngineServices, images: RunnableImages, events: Publisher, background: Background
    ) -> None:
        self.services = services
        self.background = background
        self.tell = Announcer(events)
        self._events = events
        self._images = images
        self.registry = Registry(services.containers, services.transactions, background)
        self._views = ModuleViews()
        self._looked: dict[str, tuple[Record, _OnDisk]] = {}
        self._logbook = Logbook(services.logs, services.config.root, services.config.state)
        self.volumes = Volumes(
            services.volumes,
            lambda: (live.record for live in self.registry),
            events,
            services.clock,
            services.new_id,
        )
        self.network_registry = NetworkRegistry(services.networks, services.new_id, services.clock)
        self.sandboxes = sandboxes = Sandboxes(services, self.network_registry, background)
        self._sweeper = Sweeper(self._trim)
        self._folders = folders = Folders(services.config)
        launcher = Launcher(services, sandboxes, folders)
        removal = Removal(services, self.registry, self.volumes, self.tell, self._logbook.close, folders, self._sweeper)
        self.supervisor = Supervisor(
            services.tasks,
            services.clock,
            self.registry,
            launcher,
            sandboxes,
            removal,
            self._logbook,
            self.tell,
            background,
            self._sweeper,
            Probes(services, self.registry, self._address, self.tell, background),
        )
        self._twins = Twins(folders, launcher.undo, self._logbook, background)
        self._creation = Creation(
            services,
            images,
            self.registry,
            self.volumes,
            self.network_registry,
            folders,
            launcher,
            self.supervisor.ahead,
            self._twins,
            self.tell,
        )
        self._files = Files(services, self.supervisor.ahead, self.tell)
        self._control = Control(self.registry, self.supervisor, removal, self.tell)
        self._recovery = Recovery(
            services, self.registry, self.supervisor, sandboxes, removal, folders, self._logbook, background
        )
        self.networks = Networks(
            services,
            self.network_registry,
            sandboxes,
            Membership(self.registry, self.supervisor, sandboxes),
            events,
        )

    def _trim(self, seconds: float) -> bool:
        """What is kept for containers to come goes when it has been kept for that long; whether any is left."""
        left = self._folders.trim(seconds), self.services.snapshots.trim(seconds)
        return any(left)

    def _address(self, record: Record) -> str:
        """Where the engine reaches a running container's servers; "" where it has no network that leads there."""
        mode = str(record.host_config["NetworkMode"])
        if mode == "host":
            return "127.0.0.1"
        owner = mode.removeprefix(JOINED)  # one that joined another's network is where that is
        if owner != mode:
            with contextlib.suppress(NotFound):
                return self._address(self.registry.get(owner).record)
            return ""
        return next((endpoint.address for _, endpoint in self.sandboxes.attached(record.id) if endpoint.address), "")

    async def recover(self) -> None:
        """See `Engine.recover`; once, before anything else."""
        self.background.spawn(self.supervisor.watch_events())
        await self.network_registry.load()
        await self._recovery.recover()
        await self.volumes.recover()

    async def close(self) -> None:
        """The engine stops: let what is being changed come to its end, and go of what was only made ahead.

        Containers that run go on.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_PATIENCE):
                for live in list(self.registry):
                    await self.registry.flush(live)
        await self._twins.close()
        await self.supervisor.ahead.close()
        await self.sandboxes.shut()
        await self._sweeper.close()
        await asyncio.to_thread(self._folders.clear)

    async def create(self, name: str | None, config: Mapping[str, Any], platform: str | None) -> Json:
        """Body of POST /containers/create; returns ``{"Id", "Warnings"}``. InvalidArgument; Conflict: the name is in
        use; NotFound: the image; Unimplemented: something this release does not offer."""
        return await self._creation.create(name, config, platform)

    async def start(self, ref: str) -> None:
        """NotModified when it runs already. Else what the runtime says; the state then has docker's exit code."""
        await self.supervisor.start(self.registry.get(ref), ref)

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """``timeout`` in seconds, -1 is for ever. NotModified when it does not run."""
        await self._control.stop(self.registry.get(ref), ref, timeout, signal)

    async def restart(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop it if it runs, then start it."""
        await self._control.restart(self.registry.get(ref), ref, timeout, signal)

    async def kill(self, ref: str, signal: str | None = None) -> None:
        """Conflict when it does not run; InvalidArgument: no such signal."""
        number = signals.parse(signal) if signal else signals.KILL  # looked at first, as docker does
        await self._control.kill(self.registry.get(ref), ref, number)

    async def pause(self, ref: str) -> None:
        """Conflict when it does not run, or is paused."""
        await self._control.pause(self.registry.get(ref))

    async def unpause(self, ref: str) -> None:
        """Conflict when it is not paused."""
        await self._control.unpause(self.registry.get(ref))

    async def rename(self, ref: str, name: str) -> None:
        """Conflict: the name is in use. InvalidArgument: it is no name, or the present one."""
        live = self.registry.get(ref)
        with _allocating():
            new = names.check(name)
        async with live.lock:
            old = live.record.name
            if new == old:
                raise InvalidArgument("Renaming a container with the same name as its current name")
            with _allocating():
                await self.registry.rename(live, replace(live.record, name=new))
            await self.sandboxes.rename(live.record)
        self.tell(live.record, "rename", oldName=f"/{old}")

    async def update(self, ref: str, body: Mapping[str, Any]) -> Json:
        """Returns ``{"Warnings"}``."""
        return {"Warnings": await self._control.update(self.registry.get(ref), body)}

    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        """Conflict when it runs and is not forced. Its anonymous ``volumes`` go with it if that is wanted."""
        if link:
            raise InvalidArgument("a link goes with its container: there is none to be removed by itself")
        await self._control.remove(self.registry.get(ref), ref, force=force, volumes=volumes)

    async def prune(self, filters: Filters) -> Json:
        """Remove those that do not run; returns ``{"ContainersDeleted", "SpaceReclaimed"}`` (bytes)."""
        wanted = selection.check_prune(filters)
        now = self.services.clock()
        deleted, reclaimed = [], 0
        for live in [live for live in self.registry if selection.prunable(live.record, wanted, now)]:
            size = await self._own_size(live.record)
            try:
                await self._control.remove(live, live.record.id, force=False)
            except (WherryError, OSError):
                # Started or removed by somebody else meanwhile.
                continue
            deleted.append(live.record.id)
            reclaimed += size
        self._events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
        return {"ContainersDeleted": deleted, "SpaceReclaimed": reclaimed}

    async def list(
        self,
        *,
        all: bool = False,  # noqa: A002 - the API's own word for it
        limit: int | None = None,
        size: bool = False,
        filters: Filters | None = None,
    ) -> JsonList:
        """Newest first; only running ones unless ``all``, ``limit`` or a filter on the state says otherwise."""
        wanted = selection.check(filters)
        if "network" in wanted:
            wanted["network"] = self.network_registry.named(wanted["network"])
        if "ancestor" in wanted:
            wanted["ancestor"] = tuple(await self._images.family(wanted["ancestor"]))
        around = selection.Surroundings(self._created(wanted, "before"), self._created(wanted, "since"))
        everything = all or limit or wanted.keys() & {"status", "exited", "before", "since"}
        found = [
            live.record
            for live in self.registry
            if (everything or live.record.state.status in RUNNING) and selection.chosen(live.record, wanted, around)
        ]
        if wanted.keys() & {"publish", "expose"}:
            found = [record for record in found if selection.ports_chosen(self.sandboxes.ports(record), wanted)]
        now = self.services.clock()
        shown = found[: limit or None]
        gone = await asyncio.to_thread(self._renamed, {(record.image_name, record.image_id) for record in shown})
        rows = [
            views.summary(
                record,
                now,
                self.sandboxes.settings(record),
                self.sandboxes.ports(record),
                renamed=(record.image_name, record.image_id) in gone,
            )
            for record in shown
        ]
        if size:
            images: dict[str, int] = {}
            for record, row in zip(found, rows, strict=False):
                row["SizeRw"], row["SizeRootFs"] = await self._sizes(record, images)
        return rows

    def _renamed(self, images: Set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these images, by name and id, that have the name no more. Blocks."""

        def has(name: str, image_id: str) -> bool:
            try:
                return name == image_id or str(self.services.images.get(name).target.digest) == image_id
            except NotFound:
                return False

        return {image for image in images if image[0] and not has(*image)}

    def _created(self, wanted: Filters, key: str) -> int | None:
        values = wanted.get(key)
        return self.registry.get(values[-1]).record.created if values else None

    async def _sizes(self, record: Record, images: dict[str, int]) -> tuple[int, int]:
        """Bytes of its own layer, and with those of its image; ``images`` remembers what images take, by snapshot."""
        try:
            return await asyncio.to_thread(self._measured, record, images)
        except NotFound:
            return 0, 0

    async def _own_size(self, record: Record) -> int:
        try:
            return (await asyncio.to_thread(self.services.snapshots.usage, record.id)).size
        except NotFound:
            return 0

    def _measured(self, record: Record, images: dict[str, int]) -> tuple[int, int]:
        snapshots = self.services.snapshots
        own, image, key = snapshots.usage(record.id).size, 0, snapshots.stat(record.id).parent
        while key:
            if key not in images:
                images[key] = snapshots.usage(key).size
            image, key = image + images[key], snapshots.stat(key).parent
        return own, own + image

    async def inspect(self, ref: str, *, size: bool = False) -> Json:
        """The document of `docker inspect`."""
        live = self.registry.get(ref)
        record = live.record
        there = await self._looked_at(live)
        document = views.inspect(there.document, sorted(live.exec_ids), self.sandboxes.settings(record))
        if record.kind == "wasm":
            document["Wasm"] = {"Module": await self._module(record, there), "Usage": await self._usage(live)}
        if size:
            document["SizeRw"], document["SizeRootFs"] = await self._sizes(record, {})
        return document

    async def _looked_at(self, live: Live) -> "_OnDisk":
        """What the disk told of it since it last changed; dashboards ask time and again."""
        record = live.record
        known = self._looked.get(record.id)
        if known is not None and known[0] is record:
            return known[1]
        there = await asyncio.to_thread(self._on_disk, record)
        if there.view is not None or record.kind != "wasm":
            self._looked[record.id] = record, there
            if len(self._looked) > _LOOKED_AT:
                del self._looked[next(iter(self._looked))]
        return there

    def _on_disk(self, record: Record) -> "_OnDisk":
        """Blocks."""
        try:
            layers = self.services.snapshots.layers(record.id)
        except NotFound:
            layers = ()
        inside, path, view = "", "", None
        if record.kind == "wasm":
            with contextlib.suppress(WherryError):
                inside, path = find_module(record, layers)
                known = self.services.compiler.known(path, fuel=has_fuel(record))
                view = None if known is None else self._views.view(inside, known)
        document = views.lasting(
            record,
            log_path=self._logbook.path(record),
            driver=self.services.snapshots.name,
            layers=layers,
            files=self.sandboxes.files(record),
        )
        return _OnDisk(document, inside, path, view)

    async def _module(self, record: Record, found: "_OnDisk") -> Json:
        """What its module is; {} when that cannot be told, or not soon, because it is still being compiled."""
        if found.view is not None or not found.module:
            return found.view or {}
        inside, path = found.inside, found.module
        with contextlib.suppress(WherryError, TimeoutError):
            async with asyncio.timeout(_MODULE_PATIENCE):
                return self._views.view(inside, await self.services.compiler.ensure(path, fuel=has_fuel(record)))
        return {}

    async def _usage(self, live: Live) -> Json:
        if live.task is not None:
            with contextlib.suppress(WherryError):  # it is just ending
                return usage((await live.task.stats()).get("wasm"))
        return dict(live.record.state.usage)

    async def wait(self, ref: str, condition: str = "not-running") -> Awaitable[Json]:
        """Registers now; awaiting what it returns gives ``{"StatusCode": n}`` with ``"Error"`` where there is one.

        InvalidArgument: there is no such condition.
        """
        if condition not in CONDITIONS:
            raise InvalidArgument(f"invalid condition: {condition[:40]!r} (known: {', '.join(CONDITIONS)})")
        return self.registry.get(ref).wait(cast("Condition", condition))

    async def logs(self, ref: str, query: LogQuery) -> AsyncIterator[Batch]:
        """``await`` it (that raises what is wrong), then iterate: lists of ``("stdout" | "stderr", bytes)``."""
        return await self._logbook.read(self.registry.get(ref).record, query)

    async def is_tty(self, ref: str) -> bool:
        """Whether the container has a terminal: its output is then one raw stream."""
        return self.registry.get(ref).record.tty

    async def attach(self, ref: str, options: AttachOptions) -> AttachSession:
        """A session that misses nothing from now on; before the start it waits for it. Conflict: it is paused."""
        live = self.registry.get(ref)
        if live.record.state.status == "paused":
            raise Conflict(f"container {ref} is paused, unpause the container before attach")
        if live.gone or live.record.state.status in ("removing", "dead"):
            raise Conflict(f"container {ref} is being removed")
        record = live.record
        session = await attached(
            self.supervisor.run_of(live).streams, options, lambda until: self._logbook.replay(record, options, until)
        )
        self.tell(record, "attach")
        return session

    async def resize(self, ref: str, height: int, width: int) -> None:
        """Cells. Conflict when it does not run."""
        live = self.registry.get(ref)
        await live.process().resize(width, height)
        self.tell(live.record, "resize", height=str(height), width=str(width))

    async def top(self, ref: str, ps_args: str = "") -> Json:
        """Conflict when it does not run; InvalidArgument: ps does not know these arguments."""
        live = self.registry.get(ref)
        task, programs = live.process(), {}
        if live.record.kind == "wasm":
            programs = {task.pid: " ".join(live.record.args), **live.exec_programs}
        alone = _has_no_cgroup(live.record, self.services.config)
        pids = await asyncio.to_thread(neighbours, task.pid) if alone else await task.pids()
        return await top(pids, ps_args, programs)

    async def stats(self, ref: str, *, stream: bool = True, one_shot: bool = False) -> AsyncIterator[Json]:
        """``await`` it, then iterate: one line a second while it runs, two samples for one line without ``stream``."""
        return self._stats(self.registry.get(ref), stream=stream, one_shot=one_shot)

    async def _stats(self, live: Live, *, stream: bool, one_shot: bool) -> AsyncIterator[Json]:
        before = await self._sample(live, None)
        if one_shot or before["read"] == ZERO:
            yield before
            return
        while True:
            if stream:
                yield before
            await asyncio.sleep(_STATS_INTERVAL)
            if live.gone:
                return
            before = await self._sample(live, before)
            if not stream:
                yield before
                return

    async def _sample(self, live: Live, before: Json | None) -> Json:
        try:
            task = live.process()
            figures = {} if _has_no_cgroup(live.record, self.services.config) else await task.stats()
        except WherryError:
            # Not running, or just ended: docker answers with an empty line.
            return stats.stopped(live.record)
        shares_network = live.record.host_config["NetworkMode"] == "host"
        machine = await asyncio.to_thread(stats.measure, task.pid, shares_network=shares_network)
        return stats.stats(live.record, figures, self.services.clock(), machine, before)

    async def path_stat(self, ref: str, path: str) -> Json:
        """See `Files.stat`."""
        return await self._files.stat(self.registry.get(ref), ref, path)

    async def archive(self, ref: str, path: str) -> tuple[Json, AsyncIterator[bytes]]:
        """See `Files.read`."""
        return await self._files.read(self.registry.get(ref), ref, path)

    async def unarchive(
        self, ref: str, path: str, chunks: AsyncIterator[bytes], *, keep_kinds: bool = False, own: bool = False
    ) -> None:
        """See `Files.write`."""
        live = self.registry.get(ref)
        self._looked.pop(live.record.id, None)  # its module may be another one now
        await self._files.write(live, ref, path, chunks, keep_kinds=keep_kinds, own=own)
        self._looked.pop(live.record.id, None)

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """See `Files.export`."""
        return await self._files.export(self.registry.get(ref))

    async def changes(self, ref: str) -> JsonList:
        """What the container changed in its rootfs: ``{"Path", "Kind"}``, 0 changed, 1 added, 2 deleted."""
        live = self.registry.get(ref)
        return await asyncio.to_thread(changes, self.services.snapshots, live.record.id)


def _has_no_cgroup(record: Record, config: EngineConfig) -> bool:
    """Whether its runtime, which looks at cgroups, can tell its processes and figures from the engine's own."""
    return config.rootless and record.kind == "linux"


@contextlib.contextmanager
def _allocating() -> Iterator[None]:
    """Say of what is wrong with a name that it is a new one, as docker does."""
    try:
        yield
    except WherryError as error:
        raise type(error)(f"Error when allocating new name: {error}") from None
