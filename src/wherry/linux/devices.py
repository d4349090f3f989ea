"""Device nodes of this machine: what a path is, and all there are below a folder."""

import os
import stat
from dataclasses import dataclass

from wherry.errors import InvalidArgument, NotFound

# Folders of /dev that hold no devices of the machine but mounts of their own; runc leaves the same ones out.
_PASSED_OVER = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """``kind`` is c or b; ``mode`` the permission bits."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


def node_at(path: str) -> DeviceNode:
    """The node that ``path`` names, links followed. NotFound; InvalidArgument: it is no device."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFound(f"{path}: {(error.strerror or '').lower()}") from None
    found = _node(path, status)
    if found is None:
        raise InvalidArgument(f"{path}: not a device node")
    return found


def nodes_below(folder: str) -> list[DeviceNode]:
    """Every node below ``folder``, sorted; consoles and links are left out. What cannot be read is passed over."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _PASSED_OVER)
        for path in (os.path.join(place, name) for name in sorted(names) if name != "console"):
            try:
                node = _node(path, os.lstat(path))
            except OSError:
                continue
            found += [node] if node else []
    return found


def _node(path: str, status: os.stat_result) -> DeviceNode | None:
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
    if not kind:
        return None
    numbers = os.major(status.st_rdev), os.minor(status.st_rdev)
    return DeviceNode(path, kind, *numbers, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
