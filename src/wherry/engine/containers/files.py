"""The files of a container, for those outside of it: `docker cp` and `docker export`, whether it runs or not.

A running container is reached through its own root (``/proc/PID/root``), so that what it mounts is there too. Of one
that does not run nothing is mounted: its layers and volumes are read and written where they lie, as the kernel would
show them. In either case each path is walked by descriptors and ends within the container, whatever links it meets.
Source: Docker Engine API v1.51, ContainerArchive, PutContainerArchive, ContainerExport.
"""

import asyncio
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

from wherry.core.diff.apply import Manner, extract
from wherry.core.diff.tar_writer import archived
from wherry.core.diff.target import Root, Target
from wherry.core.diff.unpack import target_of
from wherry.core.diff.view import Found, Place, View
from wherry.core.faults import translating
from wherry.core.threads import blocking
from wherry.engine.containers.ahead import Ahead
from wherry.engine.containers.announce import Announcer
from wherry.engine.containers.launch import find_user
from wherry.engine.containers.live import Live
from wherry.engine.containers.pins import Pins
from wherry.engine.record import MountPoint, Record
from wherry.engine.services import EngineServices
from wherry.engine.times import rfc3339
from wherry.engine.transfer import InThreads, receive, temporary_file
from wherry.errors import FailedPrecondition, InvalidArgument, NotFound

Json = dict[str, Any]

# Go's os.FileMode, in which the API tells modes: the kind and the special bits lie above the permissions.
_GO_KINDS: Final = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS: Final = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


@dataclass(frozen=True, slots=True)
class _Opened:
    """The files as they are now; ``target`` is where to write."""

    view: View
    target: Target


class Files:
    """Reads and writes what containers see; see the module."""

    def __init__(self, services: EngineServices, ahead: Ahead, tell: Announcer) -> None:
        self._services = services
        self._ahead = ahead
        self._tell = tell

    async def stat(self, live: Live, ref: str, path: str) -> Json:
        """What X-Docker-Container-Path-Stat says of ``path``. NotFound."""
        with ExitStack() as stack:
            opened = await self._open(live, stack)
            return (await blocking(_look, opened.view, path, ref))[1]

    async def read(self, live: Live, ref: str, path: str) -> tuple[Json, AsyncIterator[bytes]]:
        """The same, and an archive of it. NotFound."""
        with ExitStack() as stack:
            opened = await self._open(live, stack)
            found, document = await blocking(_look, opened.view, path, ref)
            self._tell(live.record, "archive-path")
            return document, _archive(opened.view, found, _base(_absolute(path)), stack.pop_all())

    async def export(self, live: Live) -> AsyncIterator[bytes]:
        """An archive of the whole rootfs, volumes left out; its names begin with no ``./``, as docker's."""
        with ExitStack() as stack:
            opened = await blocking(self._open_layers, live.record, stack, mounts=False)
            self._tell(live.record, "export")
            return _archive(opened.view, opened.view.find(b"/", follow=True), b"", stack.pop_all())

    async def write(
        self, live: Live, ref: str, path: str, chunks: AsyncIterator[bytes], *, keep_kinds: bool, own: bool
    ) -> None:
        """Unpack an archive into the folder ``path``. ``keep_kinds``: see `Manner`; ``own``: everything becomes the
        container's user's. NotFound; InvalidArgument: it is no folder, it is read-only, or the archive is wrong."""
        with await asyncio.to_thread(temporary_file, self._services.config) as file:
            await receive(file, chunks, "the archive")
            async with live.lock:
                if live.gone:
                    raise NotFound(f"No such container: {ref}")
                # A task made ahead has mounted the rootfs, and may have read the module that is about to be replaced.
                await self._ahead.drop(live)
                with ExitStack() as stack:
                    opened = await self._open_locked(live, stack)
                    await blocking(self._extract, live.record, opened, file, path, ref, keep_kinds, own)
        self._tell(live.record, "extract-to-dir")

    def _extract(
        self, record: Record, opened: _Opened, file: BinaryIO, path: str, ref: str, keep_kinds: bool, own: bool
    ) -> None:
        found = _find(opened.view, path, ref, follow=True)
        if not found.is_folder:
            raise InvalidArgument("extraction point is not a directory")
        _check_writable(record, found.place)
        owner = None
        if own and record.config["User"]:
            user = find_user(record.config["User"], (), self._services.snapshots.layers(record.id))
            owner = (user.uid, user.gid)
        file.seek(0)
        manner = Manner(at=found.place, layer=False, keep_kinds=keep_kinds, owner=owner)
        with translating(f"copy to {path[:200]} in container {ref}"):
            extract(file, opened.target, manner)

    async def _open(self, live: Live, stack: ExitStack) -> _Opened:
        """What must be closed goes on ``stack``: whoever is cancelled in the middle closes it too."""
        async with live.lock:
            if live.gone:
                raise NotFound(f"No such container: {live.record.id}")
            return await self._open_locked(live, stack)

    async def _open_locked(self, live: Live, stack: ExitStack) -> _Opened:
        """With the lock held: what runs cannot be restarted meanwhile."""
        if live.task is not None:
            root = await blocking(_open_root, live.task.pid, stack)
            if root and (await live.task.state()).status in ("running", "paused"):
                # It lives, so that root was its own.
                view = stack.enter_context(View([root], hollow=_KERNELS))
                return _Opened(view, Target(root + "/.", own=os.geteuid() == 0))
            if not root and self._services.snapshots.name != "copy":
                raise FailedPrecondition(
                    f"the files of container {live.record.id[:12]} cannot be reached while it runs, for it runs in a "
                    "user namespace: stop it first, or run the engine as root"
                )
        return await blocking(self._open_layers, live.record, stack, mounts=True)

    def _open_layers(self, record: Record, stack: ExitStack, *, mounts: bool) -> _Opened:
        """Of a container that does not run; ``mounts``: with its volumes. What is to be mounted gets its place, as the
        start would make it."""
        snapshots = self._services.snapshots
        target = target_of(snapshots, record.id, own=os.geteuid() == 0)
        pins = Pins()
        stack.callback(pins.release)
        view = stack.enter_context(View(snapshots.layers(record.id)))
        places: dict[Place, str] = {}
        for point in pins.hold(record, here=True).mounts if mounts else ():
            if point.type != "tmpfs" and os.path.exists(point.source):
                places[_mounted(view, replace(target, mounts=places), point)] = point.source
        folders = {place: source for place, source in places.items() if os.path.isdir(source)}
        return _Opened(view, replace(target, mounts=folders))


_KERNELS: Final = frozenset({(b"dev",), (b"proc",), (b"sys",)})
"""What the kernel makes up in a container that runs. Much of it has no end; it can be asked for by name."""


def _open_root(pid: int, stack: ExitStack) -> str:
    """The path by which this process has the root of that one; "" when it may not."""
    try:
        handle = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ""
    stack.callback(os.close, handle)
    return f"/proc/self/fd/{handle}"


def _mounted(view: View, target: Target, point: MountPoint) -> Place:
    """Cover the place of a mount; it is made if it is not there."""
    try:
        return view.mount(point.destination, point.source)
    except NotFound:
        with translating(f"make {point.destination}"), Root(target) as root:
            root.folder(tuple(os.fsencode(part) for part in point.destination.split("/") if part))
        return view.mount(point.destination, point.source)


def _absolute(path: str) -> str:
    """From the root on, ``.`` and ``..`` resolved by their letters, as docker does; a slash or ``/.`` at the end is
    kept: it asks for what a link leads to."""
    if "\0" in path:
        raise InvalidArgument("invalid path: it has a NUL character")
    clean = posixpath.normpath("/" + path).replace("//", "/", 1)
    if path.endswith("/.") or path == ".":
        return clean.rstrip("/") + "/."
    return clean if clean == "/" or not path.endswith("/") else clean + "/"


def _base(path: str) -> bytes:
    """The name under which an archive has what is at ``path``."""
    return os.fsencode(posixpath.basename(path.rstrip("/")) or "/")


def _find(view: View, path: str, ref: str, *, follow: bool) -> Found:
    try:
        with translating(f"look at {path[:200]}"):
            return view.find(os.fsencode(path), follow=follow)
    except (NotFound, UnicodeEncodeError):
        raise NotFound(f"Could not find the file {path[:1000]} in container {ref}") from None


def _look(view: View, path: str, ref: str) -> tuple[Found, Json]:
    absolute = _absolute(path)
    ends = absolute.endswith(("/", "/."))
    found = _find(view, absolute, ref, follow=ends)
    if ends and not found.is_folder:
        raise NotFound(f"Could not find the file {path[:1000]} in container {ref}: it is not a directory")
    status = found.status
    mode = stat.S_IMODE(status.st_mode) & 0o777 | _GO_KINDS.get(stat.S_IFMT(status.st_mode), 0)
    mode |= sum(go for bit, go in _GO_BITS.items() if status.st_mode & bit)
    return found, {
        "name": os.fsdecode(_base(absolute)),
        "size": status.st_size,
        "mode": mode,
        "mtime": rfc3339(status.st_mtime_ns),
        "linkTarget": _leads_to(view, absolute, found) if found.link else "",
    }


def _leads_to(view: View, path: str, found: Found) -> str:
    """Where a link ends, or if it ends nowhere, where it points."""
    try:
        return "/" + os.fsdecode(b"/".join(view.find(os.fsencode(path), follow=True).place))
    except (NotFound, InvalidArgument):
        folder = "/" + os.fsdecode(b"/".join(found.place[:-1]))
        return posixpath.normpath(posixpath.join(folder, os.fsdecode(found.link)))


def _archive(view: View, found: Found, name: bytes, opened: ExitStack) -> AsyncIterator[bytes]:
    def parts() -> Iterator[bytes]:
        with translating("read the container's files"):
            yield from archived(view.walk(found, name))

    return InThreads(parts(), opened.close)


def _check_writable(record: Record, place: Place) -> None:
    """InvalidArgument, in docker's words: nothing may be written there."""
    path = "/" + os.fsdecode(b"/".join(place))
    covering = [point for point in record.mounts if (path + "/").startswith(point.destination + "/")]
    if covering:
        if not max(covering, key=lambda point: len(point.destination)).writable:
            raise InvalidArgument("mounted volume is marked read-only")
    elif record.host_config["ReadonlyRootfs"]:
        raise InvalidArgument("container rootfs is marked read-only")
