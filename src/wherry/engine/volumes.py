"""Volumes of the Engine API: one method a route, Docker-shaped JSON in and out; and what containers do with them.

A volume is in use while a container's record names it, running or not, or while one is being made that will. How
mounts are written down lies in spec/mounts.py, the files in core/volumes.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from wherry.core.volumes.store import Volume, VolumeStore
from wherry.engine.copyup import copy_up
from wherry.engine.document import checked, is_object, is_text, is_text_map
from wherry.engine.filters import boolean, labels_match
from wherry.engine.filters import checked as checked_filters
from wherry.engine.patterns import search
from wherry.engine.record import MountPoint, Record
from wherry.engine.services import Publisher
from wherry.engine.spec.mounts import LOCAL, volume_options
from wherry.engine.times import rfc3339
from wherry.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, WherryError

Json = dict[str, Any]
Jsons = list[Json]
Names = list[str]
Filters = Mapping[str, Sequence[str]]

ANONYMOUS: Final = "com.docker.volume.anonymous"
"""Label of those that nobody named; docker's."""
_KNOWN: Final = ("dangling", "driver", "label", "label!", "name")
_PRUNE_KNOWN: Final = ("all", "label", "label!")
_FORMS: Final = {
    "Name": (is_text, ""),
    "Driver": (is_text, LOCAL),
    "DriverOpts": (is_text_map, {}),
    "Labels": (is_text_map, {}),
    "ClusterVolumeSpec": (is_object, None),
}


class Volumes:
    """``records`` are those of all containers; ``clock`` and ``new_id`` as in `EngineServices`."""

    def __init__(
        self,
        store: VolumeStore,
        records: Callable[[], Iterable[Record]],
        events: Publisher,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._records = records
        self._events = events
        self._clock = clock
        self._new_id = new_id
        self._changing = asyncio.Lock()
        self._held: Counter[str] = Counter()

    async def create(self, body: Any) -> Json:
        """Body of POST /volumes/create. One that is there already is the answer, if it is of the same driver and
        options. InvalidArgument; NotFound: the driver; Conflict: it has other options."""
        wanted = checked(body, _FORMS, "volume configuration")
        if wanted["Driver"] not in ("", LOCAL):
            driver = wanted["Driver"][:80]
            raise NotFound(f'error looking up volume plugin {driver}: plugin "{driver}" not found')
        if wanted["ClusterVolumeSpec"]:
            raise InvalidArgument("cluster volumes need a swarm, which is not offered")
        labels = dict(wanted["Labels"])
        if not wanted["Name"]:
            labels[ANONYMOUS] = ""
        name = wanted["Name"] or self._new_id()
        async with self._changing:
            volume = await self._have(name, labels, wanted["DriverOpts"])
        return self._json(volume)

    async def recover(self) -> None:
        """After the containers were found: decide about what a killed engine was making or removing."""
        volumes = await asyncio.to_thread(lambda: list(self._store.walk()))
        left = [volume.name for volume in volumes if volume.provisional]
        used = self._users()
        await asyncio.to_thread(self._store.mark, [name for name in left if name in used], provisional=False)
        await self.discard(name for name in left if name not in used)

    async def _have(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str], *, provisional: bool = False
    ) -> Volume:
        """The volume, made unless it is there."""
        new = Volume(name, self._clock() / 1e9, labels, options, provisional)
        try:
            await asyncio.to_thread(self._store.create, new)
        except AlreadyExists:
            there = await asyncio.to_thread(self._store.get, name)
            if options and dict(there.options) != dict(options):
                raise Conflict(
                    f"volume {name} already exists with other options: remove it first, or leave the options out"
                ) from None
            return there
        except InvalidArgument as error:
            raise InvalidArgument(f"create {name[:255]}: {error}") from error
        self._tell("create", name)
        return new

    async def list(self, filters: Filters | None = None) -> Json:
        """``{"Volumes", "Warnings"}``. InvalidArgument: a filter."""
        wanted = checked_filters(filters, _KNOWN)
        used = self._users()
        found = await asyncio.to_thread(lambda: list(self._store.walk()))
        shown = [self._json(volume) for volume in found if _chosen(volume, wanted, used)]
        return {"Volumes": shown, "Warnings": None}

    async def inspect(self, name: str) -> Json:
        """NotFound."""
        return self._json(await asyncio.to_thread(self._store.get, name))

    async def remove(self, name: str, *, force: bool = False) -> None:
        """NotFound, but for ``force``; Conflict: a container has it."""
        async with self._changing:
            try:
                await asyncio.to_thread(self._store.get, name)
                await self._remove(name)
            except NotFound:
                if not force:
                    raise

    def _check_free(self, name: str) -> None:
        users = self._users().get(name, [])
        if users or self._held[name]:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")

    async def _remove(self, name: str) -> None:
        self._check_free(name)
        await asyncio.to_thread(self._store.remove, name)
        self._tell("destroy", name)

    async def prune(self, filters: Filters, *, named: bool = False) -> Json:
        """Remove what no container has: anonymous ones, or with the filter ``all``, or ``named``, all of them."""
        wanted = checked_filters(filters, _PRUNE_KNOWN)
        everything = named or ("all" in wanted and boolean("all", wanted["all"]))
        deleted, freed = [], 0
        for volume in await asyncio.to_thread(lambda: list(self._store.walk())):
            if not _labelled(volume, wanted) or not (everything or ANONYMOUS in volume.labels):
                continue
            try:
                async with self._changing:
                    self._check_free(volume.name)  # first: measuring takes as long as there are files
                    size = (await asyncio.to_thread(self._store.usage, volume.name)).size
                    await self._remove(volume.name)
            except (NotFound, Conflict):
                continue
            deleted.append(volume.name)
            freed += size
        self._events.publish("volume", "prune", "", {"reclaimed": str(freed)})
        return {"VolumesDeleted": deleted, "SpaceReclaimed": freed}

    async def usage(self) -> Jsons:
        """What `docker system df` says of each."""
        used = self._users()

        def measured(volume: Volume) -> Json:
            size = self._store.usage(volume.name).size
            return {**self._json(volume), "UsageData": {"Size": size, "RefCount": len(used.get(volume.name, ()))}}

        volumes = await asyncio.to_thread(lambda: list(self._store.walk()))
        return [await asyncio.to_thread(measured, volume) for volume in volumes]

    def _users(self) -> dict[str, Names]:
        """The ids of the containers that have a volume, by its name."""
        found: dict[str, Names] = {}
        for record in self._records():
            for name in {point.name for point in record.mounts if point.type == "volume"}:
                found.setdefault(name, []).append(record.id)
        return found

    @contextlib.asynccontextmanager
    async def provided(self, record: Record, layers: Callable[[], Sequence[str]]) -> AsyncIterator[Record]:
        """The record with its volumes made and named; while inside, they are not to be removed, and when the block
        fails, the anonymous ones are. ``layers`` gives the host folders of its image (it blocks), of which what lies
        at a volume's place is copied into an empty one."""
        made: Names = []
        held: Names = []
        try:
            async with self._changing:
                points = [await self._provide(record, point, made) for point in record.mounts]
                held = [point.name for point in points if point.type == "volume"]
                self._held.update(held)
            empty = [point for point in points if point.type == "volume" and point.copy and not point.subpath]
            if empty:
                used = self._users()
                shared = {name for name in held if name in used or self._held[name] > 1}
                await asyncio.to_thread(self._fill, layers, empty, shared)
            yield replace(record, mounts=tuple(points))
        except BaseException:
            self._let_go(held)
            await self.discard(made)
            raise
        self._let_go(held)
        if made:
            await asyncio.to_thread(self._store.mark, made, provisional=False)

    def _let_go(self, names: Names) -> None:
        self._held.subtract(names)
        self._held += Counter()  # forget those at nought

    def _fill(self, layers: Callable[[], Sequence[str]], points: Iterable[MountPoint], shared: set[str]) -> None:
        found = layers()
        for point in points:
            own = point.source == self._store.mountpoint(point.name)  # not a folder from elsewhere
            copy_up(found, point, alone=own and point.name not in shared)

    async def _provide(self, record: Record, point: MountPoint, made: Names) -> MountPoint:
        if point.type != "volume" or point.source:
            return point
        options = volume_options(record.host_config, point.destination)
        driver = options.get("DriverConfig") or {}
        labels = checked(options, {"Labels": (is_text_map, {})}, "volume options")["Labels"]
        settings = checked(driver, {"Options": (is_text_map, {})}, "volume driver options")["Options"]
        name = point.name or self._new_id()
        if point.anonymous:
            labels = {**labels, ANONYMOUS: ""}
            made.append(name)
        volume = await self._have(name, labels, settings, provisional=point.anonymous)
        folder = await asyncio.to_thread(self._store.folder, volume.name)
        return replace(point, name=volume.name, source=os.path.join(folder, point.subpath) if point.subpath else folder)

    @contextlib.asynccontextmanager
    async def leaving(self, record: Record) -> AsyncIterator[None]:
        """While inside, the container's record is deleted; then its anonymous volumes are removed. If the engine is
        killed in between, `recover` does it."""
        names = [point.name for point in record.mounts if point.type == "volume" and point.anonymous]
        if not names:
            yield
            return
        await asyncio.to_thread(self._store.mark, names, provisional=True)
        try:
            yield
            await self.discard(names)
        finally:
            # Of what is left, somebody else has a use.
            with contextlib.suppress(WherryError):
                await asyncio.to_thread(self._store.mark, names, provisional=False)

    async def discard(self, names: Iterable[str]) -> None:
        """Remove volumes that a container had to itself; those that another one has too stay."""
        for name in names:
            try:
                async with self._changing:
                    await self._remove(name)
            except WherryError:
                continue  # somebody else has it, or took it away

    def _json(self, volume: Volume) -> Json:
        return {
            "CreatedAt": rfc3339(int(volume.created) * 1_000_000_000),
            "Driver": self._store.driver,
            "Labels": dict(volume.labels) or None,
            "Mountpoint": self._store.mountpoint(volume.name),
            "Name": volume.name,
            "Options": dict(volume.options) or None,
            "Scope": "local",
        }

    def _tell(self, action: str, name: str) -> None:
        self._events.publish("volume", action, name, {"driver": self._store.driver})


def _chosen(volume: Volume, wanted: Filters, used: Mapping[str, Sequence[str]]) -> bool:
    return (
        _labelled(volume, wanted)
        and ("dangling" not in wanted or boolean("dangling", wanted["dangling"]) == (volume.name not in used))
        and ("driver" not in wanted or LOCAL in wanted["driver"])
        and ("name" not in wanted or any(search(pattern, volume.name) for pattern in wanted["name"]))
    )


def _labelled(volume: Volume, wanted: Filters) -> bool:
    return labels_match(wanted.get("label", ()), volume.labels) and not any(
        labels_match((label,), volume.labels) for label in wanted.get("label!", ())
    )
