"""Making a container: the request, the image and the machine become a record and a snapshot, or nothing at all."""

import asyncio
import contextlib
import marshal
import os
import platform as machine
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from wherry.core.metadata.transactions import promptly
from wherry.core.snapshots.snapshotter import LaidSnapshot
from wherry.engine import names, runtimes, signals
from wherry.engine.containers import fit
from wherry.engine.containers.ahead import Ahead
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.changes import MARK
from wherry.engine.containers.folders import Folders
from wherry.engine.containers.httpcheck import target_of
from wherry.engine.containers.launch import Laid, Launcher, Plan, find_module, find_user
from wherry.engine.containers.live import Live
from wherry.engine.containers.registry import Registry
from wherry.engine.containers.request import CreateRequest, merged, parse
from wherry.engine.containers.twins import Twin, Twins, folders_of
from wherry.engine.containers.warnings import foreign_platform, warnings
from wherry.engine.networks import settings
from wherry.engine.networks.registry import NetworkRegistry
from wherry.engine.networks.request import PREDEFINED
from wherry.engine.record import MountPoint, Record
from wherry.engine.services import EngineServices, RunnableImage, RunnableImages
from wherry.engine.spec.devices import throttles
from wherry.engine.spec.devices import wanted as wanted_devices
from wherry.engine.spec.grants import split
from wherry.engine.spec.mounts import lend, mount_points, volumes_from
from wherry.engine.spec.process import capabilities, rlimits
from wherry.engine.spec.security import security
from wherry.engine.spec.wasm import fuel, http, names_modules
from wherry.engine.volumes import Volumes
from wherry.errors import InvalidArgument, NotFound, WherryError
from wherry.linux.files import open_regular
from wherry.oci.mount import Mount

T = TypeVar("T")

_MAGIC = 4
_KEPT_ENTRIES = 512
_KEPT_REQUESTS = 16
_LONGEST_REQUEST = 16 << 10
_DETERMINATE = 2
"""marshal's version whose bytes depend on the value alone, not on who else holds parts of it."""


class Creation:
    """Creates containers."""

    def __init__(
        self,
        services: EngineServices,
        images: RunnableImages,
        registry: Registry,
        volumes: Volumes,
        networks: NetworkRegistry,
        folders: Folders,
        launcher: Launcher,
        ahead: Ahead,
        twins: Twins,
        tell: Announcer,
    ) -> None:
        self._services = services
        self._images = images
        self._registry = registry
        self._volumes = volumes
        self._networks = networks
        self._folders = folders
        self._launcher = launcher
        self._ahead = ahead
        self._twins = twins
        self._tell = tell
        self._requests: dict[bytes, CreateRequest] = {}
        self._entries: dict[tuple[tuple[str, ...], str, str, tuple[str, ...]], tuple[str, str, bytes]] = {}

    async def create(self, name: str | None, body: Any, platform: str | None) -> dict[str, Any]:
        """See `Containers.create`."""
        wanted = names.check(name) if name else ""
        asked = marshal.dumps(body, _DETERMINATE)
        request = self._requests.get(asked) or parse(body)
        image = await self._images.runnable(request.image, platform)
        kind = marshal.dumps((asked, platform, image.id), _DETERMINATE)
        record = await self._take_twin(kind, wanted)
        if record is None:
            record = await self._new(wanted, request, image, again=self._twins.was_asked(kind))
        if _may_have_twins(record):
            self._remember(asked, request)
            self._twins.asked(kind, lambda: self._twin(request, image))
        foreign = [] if platform else foreign_platform(image.platform, self._services.config.default_platform)
        told = [*foreign, *warnings(record, rootless=self._services.config.rootless)]
        if record.kind == "linux":
            told += await asyncio.to_thread(fit.discarded, record.host_config)
        return {"Id": record.id, "Warnings": told}

    def _remember(self, asked: bytes, request: CreateRequest) -> None:
        """What a request means, for the next one like it: nobody changes it."""
        if len(asked) <= _LONGEST_REQUEST:
            self._requests[asked] = request
        if len(self._requests) > _KEPT_REQUESTS:
            del self._requests[next(iter(self._requests))]

    async def _new(self, wanted: str, request: CreateRequest, image: RunnableImage, *, again: bool) -> Record:
        container_id = self._services.new_id()
        wanted = wanted or names.invent(self._services.random, self._registry.is_taken)
        self._registry.reserve(wanted, container_id)
        try:
            record = self._record(container_id, wanted, request, image)
            if any(point.type == "volume" for point in record.mounts):
                async with self._volumes.provided(record, lambda: self._layers(image)) as record:
                    record = await self._create(record, image, at_hand=False)
            else:
                record = await self._create(record, image, at_hand=again and self._is_at_hand(record))
        except BaseException:
            if container_id not in self._registry:
                self._registry.release(wanted, container_id)
            raise
        return record

    def _is_at_hand(self, record: Record) -> bool:
        """Whether making one more of a kind waits for no disk: what was read for the last one is in memory still, and
        no folder is to be made. To a thread and back takes as long as all of it, and more where many ask at once."""
        return self._services.snapshots.has_spare() and self._folders.has_spare(record)

    async def _do(self, make: Callable[[], T], *, at_hand: bool) -> T:
        return make() if at_hand else await asyncio.to_thread(make)

    async def _create(self, record: Record, image: RunnableImage, *, at_hand: bool) -> Record:
        with self._ahead.place() as ahead:
            made = await self._do(lambda: self._make(record, image, ahead), at_hand=at_hand)
            record, live = made.record, Live(made.record)
            try:
                await promptly(self._services.transactions, lambda: self._store(record, made.snapshot))
            except (WherryError, OSError):
                if made.laid is not None:
                    await self._launcher.discard(made.laid)
                    with contextlib.suppress(OSError):  # the next start of the engine removes what nobody owns
                        await asyncio.to_thread(self._folders.remove, record.id)
                raise
            if made.laid is not None:
                self._ahead.begin(live, made.laid)
            self._registry.adopt([live])
            self._tell(record, "create")
            compiled = made.uncompiled and await self._compile(record, made.uncompiled)
            early = compiled and ahead
            if early and not await asyncio.to_thread(self._launcher.wants_network, record, made.uncompiled):
                self._ahead.begin(live, None)
        return record

    async def _twin(self, request: CreateRequest, image: RunnableImage) -> Twin | None:
        """All of a container but its name and its record."""
        record = self._record(self._services.new_id(), "", request, image)
        folders, made = await self._do(
            lambda: (folders_of(self._layers(image)), self._make(record, image)), at_hand=self._is_at_hand(record)
        )
        live = Live(made.record)
        try:
            if made.laid is not None:
                return Twin(live, made.snapshot, *await self._ahead.make(live, made.laid), folders)
        except BaseException:
            await asyncio.to_thread(made.snapshot.drop)
            raise
        await asyncio.to_thread(made.snapshot.drop)
        return None

    async def _take_twin(self, kind: bytes, wanted: str) -> Record | None:
        """The container that was made already, if there is one; it only needs to be named and written down."""
        twin = self._twins.take(kind)
        if twin is None:
            return None
        live, name = twin.live, wanted or names.invent(self._services.random, self._registry.is_taken)
        live.record = record = replace(live.record, name=name, created=self._services.clock())
        fits = False
        try:
            self._registry.reserve(name, record.id)
            fits = await promptly(self._services.transactions, lambda: self._store_twin(twin))
        finally:
            if not fits:
                self._registry.release(name, record.id)
                await self._twins.discard(twin)
        if not fits:
            return None
        self._ahead.adopt(live, twin.run, twin.task)
        self._registry.adopt([live])
        self._tell(record, "create")
        return record

    def _store_twin(self, twin: Twin) -> bool:
        fits = twin.fits()
        if fits:
            self._store(twin.live.record, twin.snapshot)
        return fits

    def _store(self, record: Record, snapshot: LaidSnapshot) -> None:
        """The record and its snapshot in one transaction, or neither."""
        snapshot.keep(also=lambda: self._registry.store_new(record))

    async def _compile(self, record: Record, module: str) -> bool:
        """So that no start has to; what is wrong with it is told by the start, as docker does."""
        try:
            await self._launcher.compile(record.args[0], module, record)
        except WherryError:
            return False
        return True

    def _record(self, container_id: str, name: str, request: CreateRequest, image: RunnableImage) -> Record:
        """All but the runtime, which depends on the entry's first bytes. What can be wrong is found out here."""
        config = merged(request.config, image.config.config)
        host = dict(request.host)
        shares_name = "host" in (host["UTSMode"], host["NetworkMode"])
        if host["NetworkMode"].startswith(settings.JOINED):
            self._check_joined(config, host)
        config["Hostname"] = config["Hostname"] or (machine.node() if shares_name else container_id[:12])
        defaults = self._services.config.adjustable
        if not host["LogConfig"]["Type"]:
            options = {**defaults.log_options, **host["LogConfig"]["Config"]}
            host["LogConfig"] = {"Type": defaults.log_driver, "Config": options}
        self._services.logs.check(host["LogConfig"]["Type"], host["LogConfig"]["Config"])
        rlimits(host["Ulimits"] or ())
        capabilities((wanted := split(host)).add, wanted.drop)
        security(host["SecurityOpt"] or ())
        wanted_devices(host)
        throttles(host)
        target_of(config, host)
        if config["StopSignal"]:
            signals.parse(config["StopSignal"])
        for text in host["Links"] or ():
            linked = text.partition(":")[0]
            self._named(linked, f"could not get container for {linked[:100]}: ")
        return Record(
            id=container_id,
            name=name,
            created=self._services.clock(),
            image=request.image,
            image_id=image.id,
            image_name=image.name,
            platform=str(image.platform),
            runtime="",
            kind="wasm",
            networks=self._network(request, host),
            config=config,
            host_config=host,
            mounts=mount_points(host, config["Volumes"], self._lent(host["VolumesFrom"] or ())),
        )

    def _network(self, request: CreateRequest, host: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The networks by their own names. InvalidArgument: there is none of a name, which docker's CLI would take for
        a missing image if it were NotFound."""
        found = {}
        try:
            for ref, entry in request.networks.items():
                network = self._networks.get(ref)
                settings.check(network.name, entry)
                found[network.name] = entry
                if host["NetworkMode"] == ref:
                    host["NetworkMode"] = network.name
        except NotFound as error:
            raise InvalidArgument(str(error)) from None
        return found

    def _check_joined(self, config: dict[str, Any], host: dict[str, Any]) -> None:
        """A container in another one's network has its names too. InvalidArgument, as docker words it."""
        clashes = (
            (config["Hostname"], "hostname and the network mode"),
            (host["Dns"], "dns and the network mode"),
            (host["ExtraHosts"], "custom host-to-IP mapping and the network mode"),
            (host["PortBindings"] or host["PublishAllPorts"], "port publishing and the container type network mode"),
        )
        for given, words in clashes:
            if given:
                raise InvalidArgument(f"conflicting options: {words}")
        other = self._named(host["NetworkMode"].removeprefix(settings.JOINED)).record
        host["NetworkMode"] = f"{settings.JOINED}{other.id}"
        config["Hostname"] = other.config["Hostname"]

    def _lent(self, specs: Sequence[str]) -> list[MountPoint]:
        """What other containers lend by `--volumes-from`. InvalidArgument."""
        found: list[MountPoint] = []
        for text in specs:
            name, writable = volumes_from(text)
            found += lend(self._named(name).record.mounts, writable=writable)
        return found

    def _named(self, ref: str, told: str = "") -> Live:
        """InvalidArgument: there is none, which docker's CLI would take for a missing image if it were NotFound."""
        try:
            return self._registry.get(ref)
        except NotFound as error:
            raise InvalidArgument(f"{told}{error}") from None

    def _layers(self, image: RunnableImage) -> Sequence[str]:
        return self._services.snapshots.layers(image.snapshot) if image.snapshot else ()

    def _make(self, record: Record, image: RunnableImage, ahead: bool = True) -> "_Made":
        """What blocks and a task needs, all of it in one thread, or in the event loop if it `_is_at_hand`.

        Nothing is written down yet: folders, a bundle and a task without records are nobody's, and the next start of
        the engine removes them.
        """
        snapshots = self._services.snapshots
        base = self._layers(image)
        user = find_user(record.config["User"], record.host_config["GroupAdd"] or (), base)
        path, module, magic = self._entry(record, base)
        entry = runtimes.Entry(image.platform.is_wasm, image.annotations, magic)
        runtime = runtimes.choose(
            record.host_config["Runtime"], entry, self._services.config.runtimes, self._services.tasks.known_runtimes
        )
        host = {**record.host_config, "Runtime": runtime.name}
        record = replace(record, runtime=runtime.name, kind=runtime.kind, host_config=host)
        if record.kind == "wasm":
            fuel(record)  # what is wrong with it is told before anything is made
            http(record)
        if record.kind == "linux" and split(host).of_modules:
            capabilities(host["CapAdd"] or (), host["CapDrop"] or ())  # refuses them
        fit.check(host)
        _make_binds(record)
        snapshot = snapshots.lay(record.id, image.snapshot)
        if record.kind == "linux":
            _mark(snapshot.mounts)
        if record.kind != "wasm" or not module or names_modules(record):
            return _Made(record, snapshot)
        if not self._launcher.is_compiled(module, record):
            return _Made(record, snapshot, uncompiled=module)
        plan = Plan(snapshot.mounts, user, (path, *record.args[1:]), module)
        early = ahead and not self._launcher.wants_network(record, module)
        return _Made(record, snapshot, self._lay(record, plan) if early else None)

    def _entry(self, record: Record, base: Sequence[str]) -> tuple[str, str, bytes]:
        """`_entry_file`, remembered: what lies in an image's layers does not change, but volumes can cover it."""
        if record.mounts:
            return _entry_file(record, base)
        words = () if "/" in record.args[0] else tuple(record.config["Env"])  # PATH is among them
        key = (tuple(base), record.args[0], record.config["WorkingDir"], words)
        found = self._entries.get(key)
        if found is None:
            found = _entry_file(record, base)
            if sum(map(len, (*key[1:3], *words))) <= _LONGEST_REQUEST:
                self._entries[key] = found
            if len(self._entries) > _KEPT_ENTRIES:
                self._entries.clear()
        return found

    def _lay(self, record: Record, plan: Plan) -> Laid | None:
        """What goes wrong here is not told: the start does the same again and tells it."""
        try:
            return self._launcher.lay(record, plan, self._launcher.plain_joint(record))
        except (WherryError, OSError):
            return None


@dataclass(frozen=True, slots=True)
class _Made:
    """What the blocking part made: ``laid`` for the task to come, if it could be; ``uncompiled`` is the host path of a
    module that is still to be compiled, "" if there is none."""

    record: Record
    snapshot: LaidSnapshot
    laid: Laid | None = None
    uncompiled: str = ""


def _may_have_twins(record: Record) -> bool:
    """Whether the next one like it can be made before it has a name, and whatever becomes of others meanwhile: of
    networks, of a container whose network it shares. Lines to syslog tell the name."""
    return (
        record.kind == "wasm"
        and not record.mounts
        and not record.host_config["VolumesFrom"]
        and not record.host_config["NetworkMode"].startswith(settings.JOINED)
        and set(record.networks) <= set(PREDEFINED)
        and record.host_config["LogConfig"]["Type"] != "syslog"
    )


def _entry_file(record: Record, layers: Sequence[str]) -> tuple[str, str, bytes]:
    """The path of the file that is run, that on the host, and its beginning; all empty when it is not there yet."""
    try:
        inside, path = find_module(record, layers)
        with open(open_regular(path), "rb") as file:
            return inside, path, file.read(_MAGIC)
    except (NotFound, InvalidArgument, OSError):
        return "", "", b""


def _mark(mounts: Sequence[Mount]) -> None:
    """Lay the empty file by which programs tell that they run in a container of docker's. Blocks, shortly."""
    options = dict(option.partition("=")[::2] for option in mounts[0].options)
    # An image may have it, or a link of its name: that stays as it is.
    with contextlib.suppress(OSError):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(os.path.join(options.get("upperdir") or mounts[0].source, MARK), flags, 0o755))


def _make_binds(record: Record) -> None:
    """Folders that ``-v`` names and the host lacks are made, as docker does; --mount wants them there.

    InvalidArgument: it is not there and may not be, or cannot be, made.
    """
    strict = {
        posixpath.normpath(entry["Source"])
        for entry in record.host_config["Mounts"] or ()
        if entry["Type"] == "bind" and not (entry.get("BindOptions") or {}).get("CreateMountpoint")
    }
    for point in record.mounts:
        if point.type != "bind" or os.path.lexists(point.source):
            continue
        if point.source in strict:
            raise InvalidArgument(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
            )
        try:
            os.makedirs(point.source, 0o755, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                f"error while creating mount source path '{point.source}': {error.strerror}"
            ) from None
