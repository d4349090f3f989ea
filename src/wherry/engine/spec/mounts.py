"""What a container mounts besides its rootfs: HostConfig's Binds, Mounts and Tmpfs, the image's VOLUMEs and what other
containers lend, as mount points. Pure.

Whether a source exists, and making it, is the caller's matter: see containers/creation.py and volumes.py.
Source: Docker Engine API v1.51, Mount and MountPoint.
"""

import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from wherry.engine.document import is_number
from wherry.engine.record import MountPoint
from wherry.errors import InvalidArgument

_PROPAGATIONS: Final = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
# Words that change nothing here: there is no SELinux, and no remote filesystem whose cache they could tune.
_LABELS: Final = frozenset({"z", "Z"})
_CONSISTENCIES: Final = frozenset({"cached", "delegated", "consistent", "default"})
# Of each group a mode may have one word. ``nocopy`` and ``copy`` are about volumes only.
_MODES: Final = (frozenset({"ro", "rw"}), _LABELS, _PROPAGATIONS, frozenset({"copy", "nocopy"}), _CONSISTENCIES)
LOCAL: Final = "local"
"""The one volume driver."""


def mount_points(
    host: Mapping[str, Any], image_volumes: Iterable[str] = (), lent: Sequence[MountPoint] = ()
) -> tuple[MountPoint, ...]:
    """Sorted so that a folder comes before what is mounted in it. Volumes have no source yet, and the anonymous ones no
    name. What the user names covers what other containers lend, and both cover the image's volumes. InvalidArgument."""
    driver = volume_driver(host["VolumeDriver"])
    own = [
        *(_bind(text) for text in host["Binds"] or ()),
        *(_mount(entry) for entry in host["Mounts"] or ()),
        *(_tmpfs(path, options) for path, options in (host["Tmpfs"] or {}).items()),
    ]
    found = {point.destination: point for point in lent}
    seen: set[str] = set()
    for point in own:
        if point.destination in seen:
            raise InvalidArgument(f"Duplicate mount point: {point.destination}")
        seen.add(point.destination)
        found[point.destination] = point
    for path in image_volumes:
        destination = _destination(path)
        found.setdefault(destination, MountPoint("volume", "", destination, anonymous=True, driver=driver))
    return tuple(sorted(found.values(), key=lambda point: (point.destination.count("/"), point.destination)))


def volumes_from(text: str) -> tuple[str, bool]:
    """One of HostConfig.VolumesFrom, ``CONTAINER[:ro|:rw]``: the container, and whether it lends for writing."""
    name, _, mode = text.partition(":")
    if not name:
        raise InvalidArgument("volumes-from specification cannot be an empty string")
    words = [word for word in mode.split(",") if word]
    _check_mode(words, mode)
    if (_PROPAGATIONS | {"copy", "nocopy"}) & set(words):
        raise InvalidArgument(f"invalid mode: {mode[:60]}")
    return name, "ro" not in words


def lend(points: Iterable[MountPoint], *, writable: bool) -> list[MountPoint]:
    """The mounts that a container gives to another one: all but tmpfs, which is nobody else's."""
    return [
        replace(point, writable=point.writable and writable, copy=False, mode="" if writable else "ro")
        for point in points
        if point.type != "tmpfs"
    ]


def volume_driver(name: str) -> str:
    """InvalidArgument: there is no driver but the local one."""
    if name not in ("", LOCAL):
        raise InvalidArgument(f'error looking up volume plugin {name[:80]}: plugin "{name[:80]}" not found')
    return LOCAL


def volume_options(host: Mapping[str, Any], destination: str) -> Mapping[str, Any]:
    """The VolumeOptions that `--mount` gave to what is mounted at ``destination``; empty when there are none."""
    for entry in host["Mounts"] or ():
        if entry.get("Type") == "volume" and posixpath.normpath(entry["Target"]) == destination:
            found: Mapping[str, Any] = entry.get("VolumeOptions") or {}
            return found
    return {}


def to_spec(points: Sequence[MountPoint]) -> list[dict[str, Any]]:
    """The runtime spec's ``mounts``."""
    result = []
    for point in points:
        mode = "rw" if point.writable else "ro"
        if point.type == "tmpfs":
            options = ["nosuid", "nodev", "noexec", mode, *point.options]
            result.append({"destination": point.destination, "type": "tmpfs", "source": "tmpfs", "options": options})
        else:
            options = ["rbind" if point.recursive else "bind", mode, point.propagation, *point.options]
            result.append(
                {"destination": point.destination, "type": "bind", "source": point.source, "options": options}
            )
    return result


def _bind(text: str) -> MountPoint:
    """``SOURCE:DESTINATION[:OPTIONS]``; a source that is no path is a volume's name."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[0] or not parts[1]:
        raise InvalidArgument(f"invalid volume specification: '{text[:200]}': SOURCE:DESTINATION[:OPTIONS] is wanted")
    source = parts[0]
    try:
        destination = _destination(parts[1])
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid volume specification: '{text[:200]}': {error}") from None
    mode = parts[2] if len(parts) > 2 else ""
    words = mode.split(",") if mode else []
    _check_mode(words, mode)
    propagation = next((word for word in words if word in _PROPAGATIONS), "")
    writable = "ro" not in words
    if source.startswith("/"):
        return MountPoint(
            "bind", posixpath.normpath(source), destination, writable, (), propagation or "rprivate", mode=mode
        )
    if propagation:
        raise InvalidArgument(f"invalid volume specification: '{text[:200]}': field BindOptions must not be specified")
    return MountPoint(
        "volume", "", destination, writable, mode=mode or "z", name=source, driver=LOCAL, copy="nocopy" not in words
    )


def _check_mode(words: Sequence[str], mode: str) -> None:
    for word in words:
        if not any(word in group for group in _MODES):
            raise InvalidArgument(f"invalid mode: {mode[:60]}")
    if any(len(group.intersection(words)) > 1 for group in _MODES) or len(set(words)) != len(words):
        raise InvalidArgument(f"invalid mode: {mode[:60]}")


def _mount(entry: Mapping[str, Any]) -> MountPoint:
    """One of HostConfig.Mounts, as `--mount` makes them."""
    kind, source, target = entry.get("Type"), entry.get("Source") or "", entry.get("Target")
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise InvalidArgument(f'invalid mount config for type "{str(kind)[:30]}": mount type unknown')
    if not isinstance(target, str) or not target:
        raise _wrong(entry, "field Target must not be empty")
    if not isinstance(source, str) or "\0" in source + target:
        raise _wrong(entry, "Source must be a text")
    for name, own in (("BindOptions", "bind"), ("VolumeOptions", "volume"), ("TmpfsOptions", "tmpfs")):
        if entry.get(name) and kind != own and (name, kind) != ("TmpfsOptions", "bind"):
            raise _wrong(entry, f"field {name} must not be specified")
        if not isinstance(entry.get(name) or {}, dict):
            raise _wrong(entry, f"field {name} must be an object")
    try:
        destination = _destination(target)
    except InvalidArgument as error:
        raise _wrong(entry, str(error)) from None
    return make(entry, source, destination)


def _mount_bind(entry: Mapping[str, Any], source: str, destination: str) -> MountPoint:
    options = entry.get("BindOptions") or {}
    if not source:
        raise _wrong(entry, "field Source must not be empty")
    if not source.startswith("/"):
        raise _wrong(entry, f"invalid mount path: '{source[:200]}' mount path must be absolute")
    propagation = options.get("Propagation") or "rprivate"
    if propagation not in _PROPAGATIONS:
        raise _wrong(entry, f"invalid propagation mode: {str(propagation)[:30]}")
    forced = bool(options.get("ReadOnlyForceRecursive"))
    if forced and (not entry.get("ReadOnly") or propagation != "rprivate" or options.get("NonRecursive")):
        raise _wrong(entry, "ReadOnlyForceRecursive needs ReadOnly, recursion and the propagation rprivate")
    return MountPoint(
        "bind",
        posixpath.normpath(source),
        destination,
        not entry.get("ReadOnly"),
        ("rro",) if forced else (),
        propagation,
        recursive=not options.get("NonRecursive"),
    )


def _mount_volume(entry: Mapping[str, Any], source: str, destination: str) -> MountPoint:
    options = entry.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    if not isinstance(driver, dict):
        raise _wrong(entry, "field DriverConfig must be an object")
    if entry.get("ReadOnly") and not source:
        raise _wrong(entry, "must not set ReadOnly mode when using anonymous volumes")
    subpath = options.get("Subpath") or ""
    if subpath and not source:
        raise _wrong(entry, "must not set Subpath when using anonymous volumes")
    if not isinstance(subpath, str) or subpath.startswith("/") or ".." in subpath.split("/"):
        raise _wrong(entry, "subpath must be a relative path within the volume")
    return MountPoint(
        "volume",
        "",
        destination,
        not entry.get("ReadOnly"),
        mode="z",
        name=source,
        driver=volume_driver(str(driver.get("Name") or "")),
        copy=not options.get("NoCopy") and not subpath,
        anonymous=not source,
        subpath=posixpath.normpath(subpath) if subpath else "",
    )


def _mount_tmpfs(entry: Mapping[str, Any], source: str, destination: str) -> MountPoint:
    if source:
        raise _wrong(entry, "field Source must not be specified")
    options = _tmpfs_options(entry.get("TmpfsOptions") or {})
    return MountPoint("tmpfs", "", destination, not entry.get("ReadOnly"), options)


_KINDS: Final = {"bind": _mount_bind, "volume": _mount_volume, "tmpfs": _mount_tmpfs}


def _wrong(entry: Mapping[str, Any], why: str) -> InvalidArgument:
    return InvalidArgument(f'invalid mount config for type "{entry.get("Type")}": {why}')


def _tmpfs_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    size, mode = options.get("SizeBytes") or 0, options.get("Mode") or 0
    if not (is_number(size) and is_number(mode) and size >= 0 and 0 <= mode < 1 << 32):
        raise InvalidArgument('invalid mount config for type "tmpfs": SizeBytes and Mode must be numbers')
    return (*((f"size={size}",) if size else ()), *((f"mode={mode:o}",) if mode else ()))


def _tmpfs(path: str, options: str) -> MountPoint:
    words = [word for word in options.split(",") if word]
    bad = [word for word in words if word.partition("=")[0] not in _TMPFS_WORDS]
    if bad:
        raise InvalidArgument(f"invalid tmpfs option {json.dumps([word[:60] for word in bad])}")
    kept = tuple(word for word in words if word not in ("ro", "rw"))
    return MountPoint("tmpfs", "", _destination(path), "ro" not in words, kept)


_TMPFS_WORDS: Final = frozenset(
    "size mode uid gid nr_inodes nr_blocks mpol noexec exec nosuid suid nodev dev ro rw sync noatime nodiratime "
    "relatime strictatime".split()
)


def _destination(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path[:200]}' mount path must be absolute")
    clean = posixpath.normpath(path)
    if clean in ("/", "//"):
        raise InvalidArgument("invalid specification: destination can't be '/'")
    return clean.replace("//", "/", 1)
