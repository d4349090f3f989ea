"""Bundles: the folder a runtime is given for one container. Made whole or not at all, removed without crossing a mount.

``<root>/<container id>/`` holds config.json, rootfs/, task.json: what the engine must know to find the task again, and
the ``log`` FIFO of the shim that was started for it, if one was. All calls block; run them in a thread.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from wherry.core.spares import Spares
from wherry.core.tasks.tasks import TaskIO
from wherry.errors import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from wherry.linux import mounts

# containerd pkg/identifiers: what it takes for a container's id, for an exec's too.
_ID = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_RECORD = "task.json"
_CONFIG = "config.json"
_OCTAL = re.compile(rb"\\([0-7]{3})")
_NEW, _OLD = ".new-", ".old-"  # no id begins with a dot
_RECORD_LIMIT = 1 << 20
_UMOUNT_NOFOLLOW = 0x8  # umount2(2): never follow a symlink somebody put in rootfs' place


@dataclass(frozen=True, slots=True)
class Record:
    """task.json: ``binary`` is the shim's path, ``address`` where it answers ("" until it was launched), ``version``
    that of its Task service."""

    runtime: str
    binary: str
    io: TaskIO
    environ: Mapping[str, str] = field(default_factory=dict)
    grouped: bool = False
    address: str = ""
    version: int = 2


_FIELDS = tuple(item.name for item in fields(Record))


def check_id(identifier: str) -> str:
    """``identifier`` itself. InvalidArgument: containerd's shims would refuse it, or it would leave its folder."""
    if len(identifier) > 76 or not _ID.fullmatch(identifier):
        raise InvalidArgument(
            f"invalid id {identifier[:80]!r}: letters, digits and single . _ - between them, up to 76"
        )
    return identifier


class Bundles:
    """All bundles of an engine, below ``root``."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._retired = os.path.join(os.path.dirname(root), "retired")
        self._spares = Spares(self._retired)

    def open(self) -> None:
        """Make the folder and clear away what a killed engine left half made or half removed."""
        os.makedirs(self._root, 0o711, exist_ok=True)
        os.makedirs(self._retired, 0o711, exist_ok=True)
        left = [os.path.join(self._root, name) for name in os.listdir(self._root) if name.startswith((_NEW, _OLD))]
        for path in (*left, *(os.path.join(self._retired, name) for name in os.listdir(self._retired))):
            with contextlib.suppress(OSError):  # what is still busy now is tried again next time
                _clear(path)

    def close(self) -> None:
        """Remove what is kept for the next bundles."""
        self.trim(-1)

    def trim(self, seconds: float) -> bool:
        """Remove what has been kept for longer than that; whether anything is left."""
        return self._spares.trim(seconds)

    def path(self, container_id: str) -> str:
        return os.path.join(self._root, check_id(container_id))

    def ids(self) -> Iterator[str]:
        """Containers that have a bundle."""
        return (name for name in sorted(os.listdir(self._root)) if _ID.fullmatch(name))

    def create(self, container_id: str, spec: Mapping[str, Any], record: Record) -> str:
        """Make a bundle and return its path. AlreadyExists; ResourceExhausted: no room."""
        path = self.path(container_id)
        making = os.path.join(self._root, _NEW + container_id)
        try:
            if not self._spares.take(making):
                _make(making)
            _fill(making, spec, record)
            os.rename(making, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                _clear(making)
            if os.path.lexists(path):
                raise AlreadyExists(f"container {container_id} has a task already") from None
            raise ResourceExhausted(f"cannot make the bundle of {container_id}: {error.strerror}") from None
        return path

    def make_log(self, container_id: str) -> str:
        """The path of the FIFO that a shim about to be started writes its log to. ResourceExhausted: no room."""
        path = os.path.join(self.path(container_id), "log")
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
        except OSError as error:
            raise ResourceExhausted(f"cannot make the log of {container_id}'s shim: {error.strerror}") from None
        return path

    def record(self, container_id: str) -> Record:
        """NotFound: no bundle; DataLoss: its record cannot be read."""
        path = os.path.join(self.path(container_id), _RECORD)
        try:
            with open(path, "rb") as file:
                values = json.loads(file.read(_RECORD_LIMIT))
            return Record(**(values | {"io": TaskIO(**values["io"])}))
        except FileNotFoundError:
            raise NotFound(f"container {container_id} has no task") from None
        except (ValueError, TypeError, KeyError):
            raise DataLoss(f"{path} is damaged: the task of {container_id} cannot be found by it") from None

    def update(self, container_id: str, record: Record) -> None:
        """Replace the record. NotFound."""
        path = self.path(container_id)
        try:
            _write(os.path.join(path, _RECORD), _encode(record))
        except FileNotFoundError:
            raise NotFound(f"container {container_id} has no task") from None
        except OSError as error:
            raise ResourceExhausted(f"cannot write the record of {container_id}: {error.strerror}") from None

    def shim_address(self, container_id: str) -> str:
        """What the shim itself noted in ``address``, "" if nothing: for an engine killed before it noted the answer."""
        try:
            with open(os.path.join(self.path(container_id), "address"), encoding="utf-8") as file:
                return file.read(4096).strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def retire(self, container_id: str) -> Callable[[], None]:
        """`remove` in two halves: from now on there is none, which takes a rename in memory; what is returned removes
        the files, and blocks. A killed engine's next start does, too."""
        path = self.path(container_id)
        try:
            retired = os.path.join(self._retired, f"{container_id}-{os.stat(path).st_ino}")
            os.rename(path, retired)
        except OSError:  # there is none, or it cannot be: then that is to be said
            return lambda: self.remove(container_id)
        return lambda: self._recycle(retired)

    def _recycle(self, path: str) -> None:
        """Keep a retired bundle for one to come: where many files came and went, a filesystem takes longer to make one
        than all else of a bundle takes."""
        if not (_is_as_made(path) and self._spares.keep(path)):
            _remove_retired(path)

    def remove(self, container_id: str) -> None:
        """Unmount its rootfs if it is mounted, and remove it. FailedPrecondition: it cannot be; none is no error."""
        path = self.path(container_id)
        removing = os.path.join(self._root, _OLD + container_id)
        try:
            _clear_rootfs(path)
            _clear(removing)
            os.rename(path, removing)
            _remove_folder(removing)
        except FileNotFoundError:
            return
        except OSError as error:
            raise FailedPrecondition(f"cannot remove the bundle {path}: {error.strerror}") from None


def _remove_retired(path: str) -> None:
    try:
        _clear_rootfs(path)
        _remove_folder(path)
    except OSError as error:
        raise FailedPrecondition(f"cannot remove the bundle {path}: {error.strerror}") from None


def _is_as_made(path: str) -> bool:
    """Whether nobody has put anything into a bundle, or mounted anything in it."""
    try:
        rootfs = os.path.join(path, "rootfs")
        same = os.stat(rootfs, follow_symlinks=False).st_dev == os.stat(path).st_dev
        return same and set(os.listdir(path)) == {"rootfs", _CONFIG, _RECORD} and not os.listdir(rootfs)
    except OSError:
        return False


def _make(path: str) -> None:
    try:
        os.mkdir(path, 0o711)
    except FileExistsError:  # a killed engine's
        _clear(path)
        os.mkdir(path, 0o711)
    os.mkdir(os.path.join(path, "rootfs"), 0o711)


def _fill(path: str, spec: Mapping[str, Any], record: Record) -> None:
    for name, data in ((_CONFIG, json.dumps(spec, separators=(",", ":")).encode()), (_RECORD, _encode(record))):
        # Written over what was there, not emptied first: its blocks are used again.
        handle = os.open(os.path.join(path, name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with open(handle, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            file.truncate()


def _encode(record: Record) -> bytes:
    document = {name: getattr(record, name) for name in _FIELDS} | {"io": asdict(record.io)}
    return json.dumps(document, separators=(",", ":")).encode()


def _write(path: str, data: bytes) -> None:
    # No fsync: bundles live as long as their tasks do, and a machine that went down has none left.
    temporary = path + ".tmp"
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, path)


def _clear(path: str) -> None:
    """Remove a bundle's folder, which may be there in part."""
    if os.path.lexists(path):
        _clear_rootfs(path)
        shutil.rmtree(path)


def _clear_rootfs(bundle: str) -> None:
    """Unmount and remove ``rootfs``. It is walked into only when surely nothing is mounted in the bundle: were it still
    mounted, that would delete the container's files."""
    rootfs = os.path.join(bundle, "rootfs")
    try:
        # Mostly it is empty and nothing is mounted there, or this would refuse. To unmount first would be to wait, for
        # milliseconds, for whoever makes or ends a mount namespace just then.
        os.rmdir(rootfs)
        return
    except FileNotFoundError:
        return
    except OSError:
        _unmount(rootfs)
    try:
        os.rmdir(rootfs)
    except FileNotFoundError:
        return
    except OSError:
        if _mounted_below(bundle):
            raise
        shutil.rmtree(rootfs)


def _remove_folder(path: str) -> None:
    """`shutil.rmtree`, quick for a folder of files."""
    try:
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
    except OSError:  # a folder is in it
        shutil.rmtree(path)


def _mounted_below(path: str) -> bool:
    """Whether anything is mounted at ``path`` or below it. Source: proc_pid_mountinfo(5)."""
    inside = os.fsencode(os.path.realpath(path))
    with open("/proc/self/mountinfo", "rb") as file:
        points = (_OCTAL.sub(lambda found: bytes((int(found[1], 8),)), line.split(b" ")[4]) for line in file)
        return any(point == inside or point.startswith(inside + b"/") for point in points)


def _unmount(path: str) -> None:
    """Detach whatever is mounted there, however often."""
    while True:
        try:
            mounts.umount(path, mounts.MNT_DETACH | _UMOUNT_NOFOLLOW)
        except OSError:  # EINVAL: nothing is mounted; EPERM: a user without privilege cannot have mounted it
            return
